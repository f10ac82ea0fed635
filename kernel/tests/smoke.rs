//! The machine is there.
#![no_std]
#![no_main]

#[gosched::test]
fn main_runs() {
    assert!(gosched::runtime::num_cpu() >= 1);
}

gosched::test_main!();

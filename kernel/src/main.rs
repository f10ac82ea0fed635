//! The default image.
#![no_std]
#![no_main]

use gosched::{go, println, runtime, sync::WaitGroup};

#[gosched::main]
fn main() {
    println!(
        "main is goroutine {} on {} CPUs",
        runtime::goid(),
        runtime::num_cpu()
    );
    let wg = WaitGroup::new();
    for i in 0..10 {
        wg.go(move || println!("hello from {i} on cpu {}", runtime::cpu()));
    }
    wg.wait();
    go(|| ());
}

//! Costs of the scheduler's own operations.
#![no_std]
#![no_main]

use gosched::runtime;
use gosched::testing::Bencher;

/// One `Gosched` with nobody else to run.
#[gosched::bench]
fn gosched_1(b: &mut Bencher) {
    b.iter(runtime::gosched);
}

gosched::bench_main!();

//! What handing over to a coroutine costs. `ICOUNT=1 SMP=1 cargo bench --bench coro` counts
//! instructions: there one nanosecond of guest time is one instruction.
#![no_std]
#![no_main]

use core::hint::black_box;

use gosched::coro::{Coroutine, pull};
use gosched::{Bencher, current, park, spawn};

/// One switch: half of a resume, which goes there and comes back.
#[gosched::bench]
fn coro_switch(b: &mut Bencher) {
    const SWITCHES: u64 = 1000;
    let mut coroutine = Coroutine::new(|yielder| while yielder.yield_(()) {});
    b.iter_batched(SWITCHES, || {
        for _ in 0..SWITCHES / 2 {
            black_box(coroutine.resume());
        }
    });
}

/// Makes one, takes a value, and ends it.
#[gosched::bench]
fn coro_new_stop(b: &mut Bencher) {
    b.iter(|| {
        let mut ones = pull(|yield_| while yield_(1) {});
        ones.next()
    });
}

/// What it is to be compared with: one of two switches of a pair that goes through the run queue.
#[gosched::bench]
fn park_unpark_switch(b: &mut Bencher) {
    const SWITCHES: u64 = 1000;
    let me = current();
    let other = spawn(move || {
        loop {
            park();
            me.unpark();
        }
    });
    b.iter_batched(SWITCHES, || {
        for _ in 0..SWITCHES / 2 {
            other.goroutine().unpark();
            park();
        }
    });
}

/// Spawns one with a handle and waits for its value.
#[gosched::bench]
fn spawn_join(b: &mut Bencher) {
    b.iter(|| spawn(|| 1u64).join().ok());
}

gosched::bench_main!();

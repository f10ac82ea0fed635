//! Work that is made while a CPU gives up looking for it, or sleeps: somebody runs it at once.
//!
//! Who made it keeps its own CPU, and its slice is longer than its patience: neither a tick nor a
//! preemption helps out where a wake-up was lost. When work comes, a CPU has found nothing a
//! random time ago, short enough to meet it at each step on its way to sleep.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{Procs, Random, Slice, await_waiting, has_procs, has_steady_clock};
use gosched::arch;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};
use gosched::{chan, go, runtime};

/// The host may not run a CPU for as long.
const PATIENCE_NS: u64 = 10_000_000_000;
/// No test goes on for longer: with more CPUs than the host has, each turn takes one of its slices.
const BUDGET_NS: u64 = 3_000_000_000;
/// A CPU is asleep not later than 2 to the power of this, in nanoseconds, after its last goroutine.
const WAY_TO_SLEEP: u64 = 17;

/// The numbers below `n`, as far as there is time.
fn in_time(n: usize) -> impl Iterator<Item = usize> {
    let end = arch::nanotime() + BUDGET_NS;
    (0..n).take_while(move |_| arch::nanotime() < end)
}

/// Keeps the CPU until `condition` holds. False if the patience is over.
fn spins_until(condition: impl Fn() -> bool) -> bool {
    let end = arch::nanotime() + PATIENCE_NS;
    while !condition() {
        if arch::nanotime() > end {
            return false;
        }
        arch::pause();
    }
    true
}

fn spin_ns(ns: u64) {
    let end = arch::nanotime() + ns;
    while arch::nanotime() < end {
        arch::pause();
    }
}

/// Slices that do not end here, from now on.
fn endless_slices() -> Slice {
    let slice = Slice::of_us(10 * PATIENCE_NS / 1000);
    time::sleep(Duration::from_millis(1)); // the next one is of that length
    slice
}

/// Would catch a CPU that goes to sleep without a last look at the queues after it has taken itself
/// off the count of those who look, and a submitter who wakes nobody.
#[gosched::test]
fn work_against_a_cpu_that_gives_up() {
    if !has_procs(2) || !has_steady_clock() {
        return;
    }
    let _two = Procs::new(2);
    let _slice = endless_slices();
    let done = Arc::new(AtomicUsize::new(0));
    let mut random = Random::new(1);
    for i in in_time(20_000) {
        let count = done.clone();
        go(move || {
            count.fetch_add(1, Ordering::Release);
        });
        let runs = spins_until(|| done.load(Ordering::Acquire) > i);
        assert!(runs, "number {i} waits for a CPU, and one sleeps");
        // Short times as often as long ones: how long each step takes differs between machines.
        let most_ns = 1 << random.below(WAY_TO_SLEEP + 1);
        spin_ns(random.below(most_ns));
    }
}

/// As many as there are Ps are readied by one, and each stays: would catch a `ready` that wakes
/// nobody, and a CPU that was woken, finds work, and does not wake the next.
#[gosched::test]
fn all_that_are_readied_run_at_once() {
    let procs = runtime::gomaxprocs(0);
    if !has_procs(2) || !has_steady_clock() {
        return;
    }
    let _slice = endless_slices();
    for _ in in_time(20) {
        let (tx, rx) = chan::bounded::<()>(0);
        let there = Arc::new(AtomicUsize::new(0));
        let come = move || {
            there.fetch_add(1, Ordering::Relaxed);
            let all = spins_until(|| there.load(Ordering::Relaxed) == procs);
            assert!(all, "some wait for a CPU, and some CPUs sleep");
        };
        let group = WaitGroup::new();
        for _ in 1..procs {
            let (rx, come) = (rx.clone(), come.clone());
            group.go(move || {
                assert!(rx.recv().is_err());
                come();
            });
        }
        await_waiting(procs - 1, "chan receive");
        drop(tx);
        come();
        group.wait();
    }
}

/// A CPU that sleeps for a later timer is woken when another one, which is about to sleep too, has
/// armed an earlier one. If not, the CPU that keeps watch over the others finds it, 250 ms later:
/// hence the median of many.
#[gosched::test]
fn an_earlier_timer_wakes_who_sleeps_for_a_later_one() {
    if !has_procs(2) || !has_steady_clock() {
        return;
    }
    let duration = Duration::from_millis(2);
    let mut late: Vec<Duration> = in_time(15)
        .map(|_| {
            spin_ns(3_000_000); // another CPU takes the timers over, and sleeps
            let start = Instant::now();
            time::sleep(duration);
            start.elapsed() - duration
        })
        .collect();
    late.sort_unstable();
    let median = late[late.len() / 2];
    assert!(median < Duration::from_millis(100), "late by {median:?}");
}

gosched::test_main!();

//! Sleeping: never early, in order, hardly late, whoever is busy or idle.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Procs, Slice, applies};
use gosched::chan;
use gosched::runtime;
use gosched::sched::SCHED;
use gosched::sched::model::{self, Model};
use gosched::sched::preempt;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration, Instant};

#[gosched::test]
fn time_never_goes_back_on_whatever_cpu() {
    let group = WaitGroup::new();
    for cpu in 0..runtime::num_cpu() {
        group.go(move || {
            let _pin = runtime::pin(cpu);
            let mut last = Instant::now();
            for _ in 0..10_000 {
                let now = Instant::now();
                assert!(now >= last);
                last = now;
            }
        });
    }
    group.wait();
    let mut last = runtime::nanotime();
    for i in 0..100 {
        let _pin = runtime::pin(i % runtime::num_cpu());
        let now = runtime::nanotime();
        assert!(
            now >= last,
            "time went back by {} ns between CPUs",
            last - now
        );
        last = now;
    }
}

/// Go's TestSleep, from nothing to 10 ms, with all other CPUs idle.
#[gosched::test]
fn sleep_is_never_early() {
    for micros in [0, 1, 10, 100, 1000, 10_000] {
        let duration = Duration::from_micros(micros);
        let start = Instant::now();
        time::sleep(duration);
        assert!(start.elapsed() >= duration);
    }
}

/// Go's TestOverflowSleep: a sleep beyond the end of time neither wraps nor ends.
#[gosched::test]
fn endless_sleeps_do_not_end() {
    let woken = Arc::new(AtomicUsize::new(0));
    for duration in [
        Duration::MAX,
        Duration::from_nanos(u64::MAX),
        Duration::from_secs(1 << 40),
    ] {
        let woken = woken.clone();
        gosched::go(move || {
            time::sleep(duration);
            woken.fetch_add(1, Ordering::Relaxed);
        });
    }
    time::sleep(Duration::from_millis(20));
    assert_eq!(woken.load(Ordering::Relaxed), 0);
}

/// Sleepers that differ by 10 ms wake in the order of their deadlines (Go's TestAfterQueuing).
#[gosched::test]
fn sleepers_wake_in_order() {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let group = WaitGroup::new();
    for slot in [5_u64, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0] {
        let woken = woken.clone();
        group.go(move || {
            let until = start + Duration::from_millis(20 + slot * 20);
            time::sleep(until - Instant::now());
            woken.lock().push((Instant::now() - start, slot));
        });
    }
    group.wait();
    let woken = woken.lock();
    for (at, slot) in woken.iter() {
        assert!(*at >= Duration::from_millis(20 + slot * 20));
    }
    assert_eq!(woken.len(), 13);
}

/// Ten thousand timers in all heaps at once, and none is lost.
#[gosched::test]
fn ten_thousand_sleepers_wake() {
    let woken = Arc::new(AtomicUsize::new(0));
    let group = WaitGroup::new();
    for i in 0..10_000_u64 {
        let woken = woken.clone();
        group.go(move || {
            time::sleep(Duration::from_micros(i * 7919 % 50_000));
            woken.fetch_add(1, Ordering::Relaxed);
        });
    }
    group.wait();
    assert_eq!(woken.load(Ordering::Relaxed), 10_000);
}

/// Timers of Ps that are retired go on (Go's procresize), and a new P's idle M keeps them.
#[gosched::test]
fn timers_survive_a_change_of_gomaxprocs() {
    let all = runtime::gomaxprocs(0);
    let group = WaitGroup::new();
    for i in 0..200_u64 {
        group.go(move || time::sleep(Duration::from_millis(5 + i % 30)));
    }
    for n in [1, all, 1, all.div_ceil(2), all] {
        runtime::gomaxprocs(n);
        time::sleep(Duration::from_millis(3));
    }
    group.wait();
}

/// A sleeper that is locked to its M, whose P is left idle, wakes while all other CPUs are busy.
#[gosched::test]
#[allow(clippy::missing_spin_loop, reason = "hogs are not polite")]
fn a_locked_sleeper_wakes_among_hogs() {
    static STOP: AtomicBool = AtomicBool::new(false);
    if preempt::mode() != preempt::Mode::Async {
        return;
    }
    STOP.store(false, Ordering::Relaxed);
    let group = WaitGroup::new();
    runtime::lock_os_thread();
    for _ in 0..2 * runtime::num_cpu() {
        group.go(|| while !STOP.load(Ordering::Relaxed) {});
    }
    for _ in 0..10 {
        time::sleep(Duration::from_millis(1));
    }
    STOP.store(true, Ordering::Relaxed);
    runtime::unlock_os_thread();
    group.wait();
}

/// As `std::thread::sleep_until`: a steady rate, and nothing to wait for in the past.
#[gosched::test]
fn sleep_until_keeps_a_rate_and_never_wakes_early() {
    let start = Instant::now();
    time::sleep_until(start - Duration::from_secs(1));
    time::sleep_until(start);
    let mut next = start;
    for _ in 0..50 {
        next += Duration::from_micros(300);
        time::sleep_until(next);
        assert!(Instant::now() >= next, "early");
    }
}

/// The middle one of so many measurements, and the longest.
fn median_and_max(n: usize, mut measure: impl FnMut() -> Duration) -> (Duration, Duration) {
    let mut all: Vec<Duration> = (0..n).map(|_| measure()).collect();
    all.sort_unstable();
    (all[n / 2], all[n - 1])
}

/// A sleep of 10 us is not one of a millisecond, as Go's is (#44343).
#[gosched::test]
fn a_short_sleep_is_short() {
    let duration = Duration::from_micros(10);
    let (median, max) = median_and_max(100, || {
        let start = Instant::now();
        time::sleep(duration);
        start.elapsed() - duration
    });
    gosched::println!("sleep(10us) is late by {median:?} in the median, {max:?} at most");
    assert!(median < Duration::from_millis(1), "{median:?}");
}

/// A timer that comes due preempts a goroutine that never parks and calls nothing, on the only P,
/// at once. Would catch a sleeper that waits for the end of the hog's slice: Go's wakes up to 20 ms
/// late. The slice is a thousand times as long as usual, so that a sleeper that has to wait for its
/// end even once (behind the global queue's turn, each 61st slice) shows as the maximum.
#[gosched::test]
fn a_due_timer_preempts_a_hog() {
    // With one queue for all, a hog that was preempted stands in it before the sleeper.
    let orderly = model::get() == Model::Gmp && SCHED.chaos.load(Ordering::Relaxed) == 0;
    let exact = preempt::mode() == preempt::Mode::Async;
    if !applies(orderly && exact, "sched=gmp, preempt=async, and no chaos") {
        return;
    }
    let _one = Procs::new(1);
    let _slice = Slice::of_us(10_000_000);
    // Into a slice of that length: the end of the one that it is in would put it behind the hog.
    time::sleep(Duration::from_millis(1));
    let stop = Arc::new(AtomicBool::new(false));
    let group = WaitGroup::new();
    let stopped = stop.clone();
    group.go(move || hog(&stopped));
    // Shorter than a busy host stops the guest for now and then, which happens where the timer is
    // set: then it is due when its sleeper has just parked, and a second time in a row in the
    // global queue's turn, where the hog goes first, for a short slice (`find::first_of_global`).
    let duration = Duration::from_millis(1);
    let (median, max) = median_and_max(50, || {
        let start = Instant::now();
        time::sleep(duration);
        start.elapsed() - duration
    });
    let (of_timer, max_of_timer) = median_and_max(50, || {
        let due = chan::after(duration).recv().unwrap();
        Instant::now() - due
    });
    stop.store(true, Ordering::Relaxed);
    group.wait();
    gosched::println!("beside a hog, sleep is late by {median:?} in the median, {max:?} at most");
    gosched::println!("beside a hog, a timer is late by {of_timer:?}, {max_of_timer:?} at most");
    // How late depends on how busy the host is; not by a slice.
    assert!(max.max(max_of_timer) < Duration::from_secs(5), "a slice");
}

#[inline(never)]
#[allow(clippy::missing_spin_loop, reason = "hogs are not polite")]
fn hog(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {}
}

gosched::test_main!();

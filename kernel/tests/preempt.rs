//! Preemption: nobody waits for a goroutine that does not yield, and nothing is lost on the way.
//!
//! The kernel's mode is a boot option, so these tests read it and assert what must hold in it:
//! `async` preempts everything, `coop` what calls functions, `off` nothing.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gosched::runtime;
use gosched::sched::preempt::{Mode, mode};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};

/// Preemptions so far, of either kind.
fn taken() -> u64 {
    let stats = runtime::stats();
    stats
        .ps
        .iter()
        .map(|p| p.preempt_taken + p.preempt_async)
        .sum()
}

#[inline(never)]
fn small(x: u64) -> u64 {
    black_box(x) + 1
}

/// Runs `hog` on one P and says whether another goroutine could stop it.
fn is_stopped(hog: fn(&AtomicBool) -> bool) -> bool {
    static STOP: AtomicBool = AtomicBool::new(false);
    static STOPPED: AtomicBool = AtomicBool::new(false);
    STOP.store(false, Ordering::Relaxed);
    let before = runtime::gomaxprocs(1);
    let group = WaitGroup::new();
    group.go(|| STOP.store(true, Ordering::Relaxed));
    // Spawned last, so it runs first.
    group.go(move || STOPPED.store(hog(&STOP), Ordering::Relaxed));
    group.wait();
    runtime::gomaxprocs(before);
    STOPPED.load(Ordering::Relaxed)
}

/// Go's TestAsyncPreempt: a loop without any call on the only P lets another goroutine run.
#[gosched::test]
fn a_loop_without_calls_is_preempted_asynchronously_only() {
    // The pure spin: not even the clock is read, since a call would be a safe point.
    fn hog(stop: &AtomicBool) -> bool {
        let mut turns = 1_u64 << 28;
        while turns > 0 && !stop.load(Ordering::Relaxed) {
            turns -= 1;
        }
        turns > 0
    }
    assert_eq!(is_stopped(hog), mode() == Mode::Async);
}

/// Go's TestPreemption: a loop that calls functions yields at their entries.
#[gosched::test]
fn a_loop_with_calls_is_preempted_unless_off() {
    fn hog(stop: &AtomicBool) -> bool {
        let mut turns = 1_u64 << 26;
        while turns > 0 && !stop.load(Ordering::Relaxed) {
            turns -= small(0);
        }
        turns > 0
    }
    assert_eq!(is_stopped(hog), mode() != Mode::Off);
}

/// Go's TestTimerFairness and more: with a hog on every P a sleeper wakes all the same.
#[gosched::test]
#[allow(clippy::missing_spin_loop, reason = "hogs are not polite")]
fn sleepers_wake_while_hogs_hold_all_cpus() {
    if mode() != Mode::Async {
        return;
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    STOP.store(false, Ordering::Relaxed);
    let group = WaitGroup::new();
    for _ in 0..2 * runtime::num_cpu() {
        group.go(|| while !STOP.load(Ordering::Relaxed) {});
    }
    for _ in 0..20 {
        time::sleep(Duration::from_millis(1));
    }
    STOP.store(true, Ordering::Relaxed);
    group.wait();
}

/// Nothing preempts, moves or delays a goroutine that turned preemption off, and the request that
/// came meanwhile is taken when it turns it on.
#[gosched::test]
fn preempt_off_holds_and_the_request_is_kept() {
    static OTHER: AtomicUsize = AtomicUsize::new(0);
    OTHER.store(0, Ordering::Relaxed);
    let before = runtime::gomaxprocs(1);
    let group = WaitGroup::new();
    group.go(|| {
        OTHER.fetch_add(1, Ordering::Relaxed);
    });
    let guard = runtime::preempt_off();
    let cpu = runtime::cpu();
    let end = Instant::now() + Duration::from_millis(60);
    while Instant::now() < end {
        assert_eq!(runtime::cpu(), cpu, "moved while preemption is off");
        small(0);
    }
    assert_eq!(
        OTHER.load(Ordering::Relaxed),
        0,
        "preempted while preemption is off"
    );
    let before_taken = taken();
    drop(guard);
    runtime::safepoint();
    if mode() != Mode::Off {
        assert!(taken() > before_taken, "the request was lost");
    }
    group.wait();
    runtime::gomaxprocs(before);
}

gosched::test_main!();

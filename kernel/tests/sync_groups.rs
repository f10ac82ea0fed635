//! WaitGroup and ErrGroup.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{Random, await_waiting};
use gosched::sync::{ErrGroup, Once, WaitGroup};
use gosched::time::{self, Duration, Instant};
use gosched::{go, runtime};

const WAITS: &str = "sync.WaitGroup.Wait";

/// Go's TestWaitGroup: wait returns after the last done and not before, again and again. Catches a
/// wait that returns early, and a group that can be used once.
#[gosched::test]
fn waitgroup_waits_for_all_and_can_be_used_again() {
    let (group, exited) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
    for round in 1..=8 {
        for _ in 0..16 {
            let exited = exited.clone();
            group.go(move || {
                runtime::gosched();
                exited.fetch_add(1, Ordering::SeqCst);
            });
        }
        group.wait();
        assert_eq!(exited.load(Ordering::SeqCst), 16 * round);
    }
}

/// Go's TestWaitGroupRace: what was done before `done` is seen after the wait. Catches a missing
/// ordering, and a last `done` that misses the waiter.
#[gosched::test]
fn what_was_done_is_seen() {
    for _ in 0..3000 {
        let (group, n) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..2 {
            let n = n.clone();
            group.go(move || {
                n.fetch_add(1, Ordering::Relaxed);
            });
        }
        group.wait();
        assert_eq!(n.load(Ordering::Relaxed), 2, "returned too early");
    }
}

/// Catches a release that forgets somebody.
#[gosched::test]
fn waitgroup_wakes_all_waiters() {
    let gate = WaitGroup::new();
    gate.add(1_u8);
    let waiters = WaitGroup::new();
    for _ in 0..100 {
        let gate = gate.clone();
        waiters.go(move || gate.wait());
    }
    await_waiting(100, WAITS);
    gate.done();
    waiters.wait();
}

/// Never early, and only then. Catches a limit that is a hint, and a wait that the last done does
/// not end.
#[gosched::test]
fn waitgroup_wait_timeout_says_which() {
    let group = WaitGroup::new();
    group.add(1);
    let (d, start) = (Duration::from_millis(2), Instant::now());
    assert!(!group.wait_timeout(d) && start.elapsed() >= d);
    assert!(!group.wait_deadline(start) && !group.wait_timeout(Duration::ZERO));
    let waiter = group.clone();
    let ended = WaitGroup::new();
    ended.go(move || assert!(waiter.wait_timeout(Duration::from_secs(3600))));
    await_waiting(1, WAITS);
    group.done();
    ended.wait();
    assert!(group.wait_timeout(Duration::ZERO));
}

/// Limits that end while the last one is done: 10,000 rounds. Catches a waiter that is counted
/// after it gave up (the next round is then told misuse), and one that says "done" too early.
#[gosched::test]
fn limits_race_with_the_last_done() {
    let (group, mut random) = (WaitGroup::new(), Random::new(0));
    let busy = Arc::new(AtomicUsize::new(0));
    let mut gave_up = 0;
    for _ in 0..10_000 {
        busy.store(1, Ordering::Relaxed);
        let (busy_there, spins) = (busy.clone(), random.below(3000));
        group.go(move || {
            (0..spins).for_each(|_| spin_loop());
            busy_there.store(0, Ordering::Relaxed);
        });
        if group.wait_timeout(random.micros(30)) {
            assert_eq!(busy.load(Ordering::Relaxed), 0, "too early");
        } else {
            gave_up += 1;
            group.wait();
        }
    }
    assert!(gave_up > 0, "no limit ended");
}

/// Go's TestWaitGroupMisuse.
#[gosched::test]
#[should_panic(expected = "sync: negative WaitGroup counter")]
fn below_zero_is_told() {
    let group = WaitGroup::new();
    group.add(1);
    group.done();
    group.done();
}

/// A waiter was released, and before it returned the next round began. It depends on who is
/// quicker, so it is tried until it happens.
#[gosched::test]
#[should_panic(expected = "sync: WaitGroup is reused before previous Wait has returned")]
fn reuse_during_a_wait_is_told() {
    let group = WaitGroup::new();
    loop {
        group.add(1);
        let (other, ended) = (group.clone(), Arc::new(Once::new()));
        let end = ended.clone();
        go(move || {
            await_waiting(1, WAITS);
            let off = runtime::preempt_off();
            other.done();
            other.add(1);
            drop(off);
            // It was not told: the waiter was quick.
            time::sleep(Duration::from_micros(100));
            other.done();
            end.call_once(|| ());
        });
        group.wait();
        ended.wait();
        group.wait();
    }
}

/// Catches a `go` that is not done when its goroutine ends in the middle, by a hang.
#[gosched::test]
fn goexit_counts_as_done() {
    let group = WaitGroup::new();
    for _ in 0..10 {
        group.go(|| runtime::goexit());
    }
    group.wait();
}

/// Catches an error that is lost, or another than the first, or one told twice.
#[gosched::test]
fn the_first_error_is_told() {
    let group = ErrGroup::new();
    let failed = Arc::new(Once::new());
    for n in 0..10 {
        let failed = failed.clone();
        group.go(move || match n {
            0..5 => Ok(()),
            5 => Err(n),
            _ => {
                failed.wait();
                Err(n)
            }
        });
    }
    assert_eq!(group.wait_timeout(Duration::from_millis(5)), None);
    failed.call_once(|| ());
    assert_eq!(group.wait(), Err(5));
    assert_eq!(group.wait(), Ok(()));
    group.clone().go(|| Err(11));
    assert_eq!(group.wait_timeout(Duration::from_secs(3600)), Some(Err(11)));
}

/// Catches a limit that lets one more in, or is never used up, or blocks for good.
#[gosched::test]
fn a_limit_is_kept() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let group = ErrGroup::<()>::new();
    group.set_limit(3);
    for n in 0..300 {
        group.go(move || {
            let now = RUN.fetch_add(1, Ordering::SeqCst) + 1;
            MOST.fetch_max(now, Ordering::SeqCst);
            if n % 10 == 0 {
                time::sleep(Duration::from_micros(100));
            }
            RUN.fetch_sub(1, Ordering::SeqCst);
            if n % 50 == 0 {
                runtime::goexit();
            }
            Ok(())
        });
    }
    assert_eq!(group.wait(), Ok(()));
    assert!(MOST.load(Ordering::SeqCst) <= 3, "too many at a time");
    // All permits are back.
    let gate = Arc::new(Once::new());
    for _ in 0..3 {
        let gate = gate.clone();
        assert!(group.try_go(move || {
            gate.wait();
            Ok(())
        }));
    }
    assert!(!group.try_go(|| Ok(())));
    assert!(!group.go_timeout(|| Ok(()), Duration::from_millis(1)));
    let blocked = WaitGroup::new();
    let other = group.clone();
    blocked.go(move || other.go(|| Ok(())));
    await_waiting(1, "sync.Semaphore.Acquire");
    gate.call_once(|| ());
    blocked.wait();
    assert_eq!(group.wait(), Ok(()));
}

/// Go's TestGoLimit's words. Catches a limit that is exchanged under those who count on it.
#[gosched::test]
#[should_panic(
    expected = "errgroup: modify limit while 1 goroutines in the group are still active"
)]
fn another_limit_meanwhile_is_told() {
    let group = ErrGroup::<()>::new();
    group.set_limit(1);
    let gate = Arc::new(Once::new());
    let hold = gate.clone();
    group.go(move || {
        hold.wait();
        Ok(())
    });
    go(move || {
        time::sleep(Duration::from_millis(5));
        gate.call_once(|| ());
    });
    group.set_limit(2);
}

gosched::test_main!();

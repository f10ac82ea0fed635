//! Mutex and WaitGroup.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::runtime;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration};

/// Go's TestMutex: an unprotected counter under the lock comes out right, with yields and
/// preemptions inside.
#[gosched::test]
fn mutex_excludes() {
    static COUNTER: Mutex<u64> = Mutex::new(0);
    let group = WaitGroup::new();
    for i in 0..20 {
        group.go(move || {
            for n in 0..2000 {
                let mut counter = COUNTER.lock();
                let value = *counter;
                if (n + i) % 97 == 0 {
                    runtime::gosched();
                }
                *counter = value + 1;
            }
        });
    }
    group.wait();
    assert_eq!(*COUNTER.lock(), 40_000);
}

#[gosched::test]
fn try_lock_never_waits() {
    let mutex = Mutex::new(1);
    let held = mutex.lock();
    assert!(mutex.try_lock().is_none());
    drop(held);
    assert_eq!(mutex.try_lock().map(|v| *v), Some(1));
}

/// Goroutines that hold the lock asleep do not keep its waiters from their CPUs.
#[gosched::test]
fn waiters_park_and_wake() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for _ in 0..50 {
        group.go(|| {
            let guard = MUTEX.lock();
            assert_eq!(INSIDE.fetch_add(1, Ordering::Relaxed), 0, "two inside");
            time::sleep(Duration::from_micros(50));
            INSIDE.fetch_sub(1, Ordering::Relaxed);
            drop(guard);
        });
    }
    group.wait();
}

/// Go's TestWaitGroup: wait returns after the last done and not before, again and again.
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

#[gosched::test]
fn waitgroup_wakes_all_waiters() {
    let gate = WaitGroup::new();
    gate.add(1);
    let waiters = WaitGroup::new();
    for _ in 0..100 {
        let gate = gate.clone();
        waiters.go(move || gate.wait());
    }
    time::sleep(Duration::from_millis(1));
    gate.done();
    waiters.wait();
}

#[gosched::test]
fn waitgroup_wait_timeout_says_which() {
    let group = WaitGroup::new();
    group.add(1);
    assert!(!group.wait_timeout(Duration::from_millis(2)));
    group.done();
    assert!(group.wait_timeout(Duration::from_secs(60)));
}

#[gosched::test]
#[should_panic(expected = "sync: negative WaitGroup counter")]
fn waitgroup_misuse_panics_in_gos_words() {
    let group = WaitGroup::new();
    group.add(1);
    group.done();
    group.done();
}

gosched::test_main!();

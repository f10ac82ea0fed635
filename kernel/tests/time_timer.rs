//! Timers that call a function: never early, once, in order, and stop and reset say the truth
//! whatever races with them.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Procs, eventually};
use gosched::chan;
use gosched::go;
use gosched::runtime;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration, Instant, Timer};

const HOUR: Duration = Duration::from_secs(3600);

/// Long enough for whatever is wrong to happen.
const A_WHILE: Duration = Duration::from_millis(20);

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Go's TestAfterFunc: each call starts the next timer and then waits. Would catch calls that run
/// on the scheduler's stack, or wait for those of other timers.
#[gosched::test]
fn calls_of_different_timers_do_not_wait_for_each_other() {
    fn step(left: usize, group: &WaitGroup, end: &chan::Receiver<()>) {
        if left == 0 {
            return group.done();
        }
        let (next, of_next) = (group.clone(), end.clone());
        let _timer = Timer::after_func(Duration::ZERO, move || step(left - 1, &next, &of_next));
        assert!(end.recv().is_err());
    }
    let (tx, end) = chan::bounded(0);
    let last = WaitGroup::new();
    last.add(1);
    let first = last.clone();
    go(move || step(10, &first, &end));
    last.wait();
    drop(tx);
}

/// Go's TestAfterStop. Would catch a stopped timer that fires, and a second stop that is true.
#[gosched::test]
fn stop_prevents_the_call() {
    let called = Count::default();
    let timers: Vec<Timer> = (0..100_u64)
        .map(|i| {
            let called = called.clone();
            Timer::after_func(Duration::from_millis(5 + i % 7), move || called.add())
        })
        .collect();
    let stopped = timers.iter().filter(|timer| timer.stop()).count();
    assert!(eventually(|| called.get() + stopped == 100));
    time::sleep(A_WHILE);
    assert_eq!(called.get() + stopped, 100);
    assert!(timers.iter().all(|timer| !timer.stop()));
}

/// Go's TestReset: true for a timer that is to come, false for one that has fired or was stopped,
/// and never early. Would catch the old time that still counts.
#[gosched::test]
fn reset_says_whether_the_call_was_to_come() {
    let (tx, rx) = chan::bounded(10);
    let start = Instant::now();
    let timer = Timer::after_func(HOUR, move || tx.send(Instant::now()).unwrap());
    assert!(timer.reset(Duration::from_millis(3)));
    assert!(rx.recv().unwrap() - start >= Duration::from_millis(3));
    for _ in 0..3 {
        let start = Instant::now();
        assert!(!timer.reset(Duration::from_millis(2)), "it had fired");
        assert!(rx.recv().unwrap() - start >= Duration::from_millis(2));
    }
    assert!(!timer.reset(HOUR));
    assert!(timer.stop());
    assert!(!timer.reset(Duration::ZERO), "it was stopped");
    assert!(rx.recv().is_ok());
    assert!(rx.recv_timeout(A_WHILE).unwrap_err().is_timeout());
}

/// Later, by a reset just before it is due: never at the old time.
#[gosched::test]
fn a_timer_that_is_put_off_is_never_early() {
    let (tx, rx) = chan::bounded(1);
    let timer = Timer::after_func(HOUR, move || tx.send(Instant::now()).unwrap());
    for _ in 0..100 {
        timer.reset(Duration::from_micros(200));
        let mut start = Instant::now();
        let mut pending = true;
        for _ in 0..10 {
            time::sleep(Duration::from_micros(100));
            start = Instant::now();
            if !timer.reset(Duration::from_micros(200)) {
                pending = false;
                break;
            }
        }
        let mut at = rx.recv().unwrap();
        if !pending {
            // The call was on its way: this is the one of the last reset.
            at = rx.recv().unwrap();
        }
        assert!(at - start >= Duration::from_micros(200), "early");
    }
}

/// Calls of one timer are one after the other even if it fires again during a call.
#[gosched::test]
fn calls_of_one_timer_are_serialised() {
    let inside = Arc::new(AtomicBool::new(false));
    let called = Count::default();
    let (counted, entered) = (called.clone(), inside.clone());
    let timer = Timer::after_func(HOUR, move || {
        assert!(!entered.swap(true, Ordering::Relaxed), "two at once");
        time::sleep(Duration::from_millis(3));
        entered.store(false, Ordering::Relaxed);
        counted.add();
    });
    for n in 1..=5 {
        assert_eq!(timer.reset(Duration::ZERO), n == 1);
        // Until it has fired; the call before may still last.
        while timer.stop() {
            timer.reset(Duration::ZERO);
            time::sleep(Duration::from_micros(50));
        }
    }
    assert!(eventually(|| called.get() == 5));
}

/// A timer that nobody holds fires all the same, and gives back what its function owns.
#[gosched::test]
fn a_dropped_timer_fires_and_is_freed() {
    let owned = Arc::new(());
    let called = Count::default();
    for _ in 0..100 {
        let (owned, called) = (owned.clone(), called.clone());
        drop(Timer::after_func(Duration::from_millis(1), move || {
            let _used = &owned;
            called.add();
        }));
    }
    assert!(eventually(
        || called.get() == 100 && Arc::strong_count(&owned) == 1
    ));
}

/// Go's TestAfterQueuing: thirteen timers with ties, due in the order of their times.
#[gosched::test]
fn timers_fire_in_order() {
    let fired = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    for slot in [5_u64, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0] {
        let fired = fired.clone();
        let after = Duration::from_millis(20 + slot * 20);
        let _timer = Timer::after_func(after, move || {
            assert!(start.elapsed() >= after, "early");
            fired.lock().push(slot);
        });
    }
    assert!(eventually(|| fired.lock().len() == 13));
}

/// Go's TestAfterFuncStarvation (#65178): on one P, two goroutines that hand a value back and forth
/// inherit each other's slice; a timer runs all the same.
#[gosched::test]
fn a_busy_pair_on_one_p_does_not_starve_a_timer() {
    let _one = Procs::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let (ping_tx, ping_rx) = chan::bounded::<()>(0);
    let (pong_tx, pong_rx) = chan::bounded::<()>(0);
    let group = WaitGroup::new();
    let stopped = stop.clone();
    group.go(move || {
        while !stopped.load(Ordering::Relaxed) {
            ping_tx.send(()).unwrap();
            pong_rx.recv().unwrap();
        }
    });
    group.go(move || {
        for () in ping_rx {
            pong_tx.send(()).unwrap();
        }
    });
    let _timer = Timer::after_func(Duration::from_micros(1), move || {
        stop.store(true, Ordering::Relaxed);
    });
    group.wait();
}

/// Go's TestTimerModifiedEarlier and TestAdjustTimers: resets forth and back, from many CPUs, lose
/// no timer.
#[gosched::test]
fn rapid_resets_lose_no_timer() {
    let group = WaitGroup::new();
    for i in 0..8_u64 {
        group.go(move || {
            let (tx, rx) = chan::bounded(1);
            let timer = Timer::after_func(HOUR, move || tx.send(()).unwrap());
            for n in 0..300 {
                let near = Duration::from_micros((i + n) % 40);
                let last = Duration::from_micros(i * n % 30);
                assert_eq!(timer.reset(HOUR), n == 0, "it has fired");
                for far in [near, HOUR, last] {
                    if !timer.reset(far) {
                        rx.recv().unwrap();
                    }
                    if n % 16 == 0 {
                        time::sleep(Duration::from_micros(n % 50));
                    }
                }
                rx.recv().unwrap();
            }
        });
    }
    group.wait();
}

/// Stop and reset by several goroutines at once: each arming is either stopped by exactly one, or
/// replaced by exactly one, or fires.
#[gosched::test]
fn each_arming_ends_in_one_way() {
    let called = Count::default();
    let counted = called.clone();
    let timer = Arc::new(Timer::after_func(Duration::ZERO, move || counted.add()));
    let (armed, prevented) = (Count::default(), Count::default());
    armed.add();
    let group = WaitGroup::new();
    for i in 0..4_u64 {
        let (timer, armed, prevented) = (timer.clone(), armed.clone(), prevented.clone());
        group.go(move || {
            for n in 0..2000 {
                let before = match (n + i) % 3 {
                    0 => timer.stop(),
                    _ => {
                        armed.add();
                        timer.reset(Duration::from_micros(n % 4))
                    }
                };
                if before {
                    prevented.add();
                }
                if n % 8 == 0 {
                    runtime::gosched();
                }
            }
        });
    }
    group.wait();
    assert!(eventually(|| called.get() + prevented.get() == armed.get()));
    time::sleep(A_WHILE);
    assert_eq!(called.get() + prevented.get(), armed.get());
}

gosched::test_main!();

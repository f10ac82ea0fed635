//! Condvar: whom a notification wakes, in which order, and that none is lost.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod common;

use core::sync::atomic::{AtomicUsize, Ordering};

use common::{Random, await_waiting, rounds};
use gosched::sync::{Condvar, Mutex, WaitGroup};
use gosched::time::{self, Duration, Instant};
use gosched::{chan, go, runtime};

const WAITS: &str = "sync.Cond.Wait";

/// Go's TestCondSignal. Catches a notification that wakes none or several.
#[gosched::test]
fn notify_one_wakes_exactly_one() {
    static MUTEX: Mutex<usize> = Mutex::new(0);
    static CONDVAR: Condvar = Condvar::new();
    let group = WaitGroup::new();
    for _ in 0..20 {
        group.go(|| *CONDVAR.wait(MUTEX.lock()) += 1);
    }
    await_waiting(20, WAITS);
    for awake in 1..=20 {
        CONDVAR.notify_one();
        await_waiting(20 - awake, WAITS);
        assert!(common::eventually(|| *MUTEX.lock() == awake));
    }
    CONDVAR.notify_one();
    group.wait();
}

/// Go's TestCondSignalGenerations: waiters that come while others are woken are woken in their
/// turn. Catches any other order.
#[gosched::test]
fn waiters_are_woken_in_order() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static CONDVAR: Condvar = Condvar::new();
    let (running, ran) = chan::bounded(100);
    let (awake, woken) = chan::bounded(100);
    for i in 0..100 {
        let (running, awake) = (running.clone(), awake.clone());
        go(move || {
            let guard = MUTEX.lock();
            running.send(()).unwrap();
            let guard = CONDVAR.wait(guard);
            awake.send(i).unwrap();
            drop(guard);
        });
        if i > 0 {
            assert_eq!(woken.recv(), Ok(i - 1));
        }
        ran.recv().unwrap();
        let guard = MUTEX.lock();
        CONDVAR.notify_one();
        drop(guard);
    }
    assert_eq!(woken.recv(), Ok(99));
}

/// Go's TestCondBroadcast: again and again. Catches one who is forgotten, or woken twice.
#[gosched::test]
fn notify_all_wakes_all_once() {
    const N: usize = 100;
    static ROUND: Mutex<usize> = Mutex::new(0);
    static CONDVAR: Condvar = Condvar::new();
    static AWAKE: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for _ in 0..N {
        group.go(|| {
            let mut guard = ROUND.lock();
            for round in 1..=10 {
                guard = CONDVAR.wait(guard);
                assert_eq!(*guard, round, "woken without a notification");
                AWAKE.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 1..=10 {
        await_waiting(N, WAITS);
        *ROUND.lock() += 1;
        CONDVAR.notify_all();
        assert!(common::eventually(
            || AWAKE.load(Ordering::Relaxed) == round * N
        ));
    }
    group.wait();
}

/// Go's TestCondSignalStealing: one waits, and while it is notified another begins to wait. Catches
/// a newcomer that gets the notification of the one before it.
#[gosched::test]
fn a_newcomer_steals_no_notification() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static CONDVAR: Condvar = Condvar::new();
    for _ in 0..1000 {
        let (began, begin) = chan::bounded(1);
        let (first_awake, first) = chan::bounded(1);
        go(move || {
            let guard = MUTEX.lock();
            began.send(()).unwrap();
            drop(CONDVAR.wait(guard));
            first_awake.send(()).unwrap();
        });
        begin.recv().unwrap();
        drop(MUTEX.lock());
        let (second_awake, second) = chan::bounded(1);
        go(move || {
            let _ = second_awake.send(());
            drop(CONDVAR.wait(MUTEX.lock()));
            let _ = second_awake.send(());
        });
        second.recv().unwrap();
        CONDVAR.notify_one();
        first
            .recv_timeout(Duration::from_secs(20))
            .expect("its notification went elsewhere");
        // The second one may not have begun.
        while second.try_recv().is_err() {
            CONDVAR.notify_one();
            runtime::gosched();
        }
    }
}

/// Two hand a turn to and fro, without the mutex when they notify: 10,000 rounds. Catches a
/// notification lost between unlocking and parking, by a hang.
#[gosched::test]
fn no_notification_is_lost_before_parking() {
    static TURN: Mutex<u32> = Mutex::new(0);
    static CONDVAR: Condvar = Condvar::new();
    let group = WaitGroup::new();
    for me in 0..2 {
        group.go(move || {
            for _ in 0..5000 {
                let mut turn = CONDVAR.wait_while(TURN.lock(), |turn| *turn % 2 != me);
                *turn += 1;
                drop(turn);
                CONDVAR.notify_one();
            }
        });
    }
    group.wait();
    assert_eq!(*TURN.lock(), 10_000);
}

/// Never early, and the mutex is held again. Catches a limit that is a hint.
#[gosched::test]
fn wait_timeout_waits_that_long() {
    let (mutex, condvar) = (Mutex::new(1), Condvar::new());
    let (d, start) = (Duration::from_millis(3), Instant::now());
    let (guard, result) = condvar.wait_timeout(mutex.lock(), d);
    assert!(result.timed_out() && start.elapsed() >= d);
    assert!(mutex.try_lock().is_none());
    let (guard, result) = condvar.wait_timeout(guard, Duration::ZERO);
    assert!(result.timed_out());
    let (guard, result) = condvar.wait_deadline(guard, start);
    assert!(result.timed_out());
    let start = Instant::now();
    let (guard, result) = condvar.wait_timeout_while(guard, d, |n| *n == 1);
    assert!(result.timed_out() && start.elapsed() >= d);
    let (guard, result) = condvar.wait_timeout_while(guard, d, |n| *n == 2);
    assert!(!result.timed_out());
    drop(guard);
    // Nobody waits: this is not kept for later.
    condvar.notify_all();
    let (_guard, result) = condvar.wait_timeout(mutex.lock(), d);
    assert!(result.timed_out());
}

/// Catches a wait with a limit that only ever ends by the limit.
#[gosched::test]
fn wait_timeout_is_woken() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static CONDVAR: Condvar = Condvar::new();
    let group = WaitGroup::new();
    for _ in 0..10 {
        group.go(|| {
            let hour = Duration::from_secs(3600);
            let (guard, result) = CONDVAR.wait_timeout(MUTEX.lock(), hour);
            assert!(!result.timed_out());
            drop(guard);
        });
    }
    await_waiting(10, WAITS);
    CONDVAR.notify_all();
    group.wait();
}

/// The first of two waiters has a limit that ends when the notification comes, 10,000 times: either
/// it says that it was notified, or the second one is. Catches a notification spent on one that
/// says "timed out" (a hang), and one that wakes both.
#[gosched::test]
fn a_notification_is_never_spent_on_a_time_out() {
    /// Those who wait, and those who were notified.
    static STATE: Mutex<(usize, usize)> = Mutex::new((0, 0));
    static CONDVAR: Condvar = Condvar::new();
    let rounds = rounds(10_000);
    let mut random = Random::new(0);
    let (limits, next_limit) = chan::bounded::<Duration>(0);
    let (results, result) = chan::bounded(0);
    let (second, begin_second) = chan::bounded::<()>(0);
    go(move || {
        for limit in next_limit {
            let mut state = STATE.lock();
            state.0 += 1;
            second.send(()).unwrap();
            let (mut state, result) = CONDVAR.wait_timeout(state, limit);
            state.1 += usize::from(!result.timed_out());
            drop(state);
            results.send(result.timed_out()).unwrap();
        }
    });
    let others = WaitGroup::new();
    others.go(move || {
        for () in begin_second {
            let mut state = STATE.lock();
            state.0 += 1;
            CONDVAR.wait(state).1 += 1;
        }
    });
    for round in 1..=rounds {
        limits.send(random.micros(40)).unwrap();
        while STATE.lock().0 < 2 * round {
            runtime::gosched();
        }
        if random.below(2) == 0 {
            time::sleep(random.micros(20));
        }
        CONDVAR.notify_one();
        if !result.recv().unwrap() {
            // It was for the first, so the second still waits.
            let state = STATE.lock();
            assert_eq!(state.1, 2 * round - 1 - timeouts(), "one woke two");
            drop(state);
            CONDVAR.notify_one();
        } else {
            TIMEOUTS.fetch_add(1, Ordering::Relaxed);
        }
        while STATE.lock().1 < 2 * round - timeouts() {
            runtime::gosched();
        }
    }
    assert_eq!(STATE.lock().1, 2 * rounds - timeouts());
    drop(limits);
    others.wait();
}

static TIMEOUTS: AtomicUsize = AtomicUsize::new(0);

fn timeouts() -> usize {
    TIMEOUTS.load(Ordering::Relaxed)
}

gosched::test_main!();

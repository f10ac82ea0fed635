//! Once, OnceLock, LazyLock, Barrier.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod common;

use alloc::format;
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{Random, await_waiting};
use gosched::sync::{Barrier, LazyLock, Once, OnceLock, WaitGroup};
use gosched::time::{self, Duration, Instant};
use gosched::{go, runtime};

const WAITS: &str = "sync.Once.Do";

/// Go's TestOnce. Catches a second call, and a caller that goes on before the first is done.
#[gosched::test]
fn once_is_once() {
    for _ in 0..100 {
        let once = Arc::new((Once::new(), AtomicUsize::new(0)));
        let group = WaitGroup::new();
        for _ in 0..10 {
            let once = once.clone();
            group.go(move || {
                once.0.call_once(|| {
                    runtime::gosched();
                    once.1.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(once.1.load(Ordering::Relaxed), 1);
            });
        }
        group.wait();
        assert!(once.0.is_completed());
    }
}

/// Catches a caller that does not wait, or is not woken.
#[gosched::test]
fn callers_wait_for_the_first() {
    static ONCE: Once = Once::new();
    static GATE: Once = Once::new();
    let group = WaitGroup::new();
    group.go(|| ONCE.call_once(|| GATE.wait()));
    await_waiting(1, WAITS);
    for _ in 0..10 {
        group.go(|| ONCE.call_once(|| panic!("called twice")));
    }
    group.go(|| ONCE.wait());
    group.go(|| assert!(ONCE.wait_timeout(Duration::from_secs(3600))));
    await_waiting(13, WAITS);
    let (d, start) = (Duration::from_millis(2), Instant::now());
    assert!(!ONCE.wait_timeout(d) && start.elapsed() >= d);
    assert!(!ONCE.is_completed());
    GATE.call_once(|| ());
    group.wait();
}

/// Ends the goroutine that makes something, with somebody waiting for it.
fn end_inside(once: &'static Once) {
    static HOLD: Once = Once::new();
    go(move || {
        once.call_once(|| {
            HOLD.wait();
            runtime::goexit();
        });
    });
    await_waiting(1, WAITS);
    go(|| {
        time::sleep(Duration::from_millis(2));
        HOLD.call_once(|| ());
    });
}

/// Go's TestOnce with Goexit inside. Catches a waiter that sleeps on when nobody will be done.
#[gosched::test]
#[should_panic(expected = "Once instance has previously been poisoned")]
fn goexit_inside_poisons_for_waiters() {
    static ONCE: Once = Once::new();
    end_inside(&ONCE);
    ONCE.call_once(|| ());
}

/// Catches poison that is not told, and one that cannot be cured.
#[gosched::test]
fn call_once_force_cures() {
    static ONCE: Once = Once::new();
    let group = WaitGroup::new();
    group.go(|| ONCE.call_once(|| runtime::goexit()));
    group.wait();
    assert!(!ONCE.is_completed());
    ONCE.call_once_force(|state| assert!(state.is_poisoned()));
    ONCE.call_once(|| panic!("done already"));
}

/// Catches a hang.
#[gosched::test]
#[should_panic(expected = "sync: Once called from inside its own closure")]
fn recursion_is_told() {
    let once = Once::new();
    once.call_once(|| once.call_once(|| ()));
}

/// Several try to set it, and one does. Catches a value set twice, lost or dropped twice.
#[gosched::test]
fn one_of_many_sets_the_value() {
    for _ in 0..100 {
        let cell = Arc::new(OnceLock::new());
        let won = Arc::new(AtomicUsize::new(0));
        let value = Arc::new(());
        let group = WaitGroup::new();
        for i in 0..10 {
            let (cell, won, value) = (cell.clone(), won.clone(), value.clone());
            group.go(move || {
                if i % 2 == 0 {
                    won.fetch_add(usize::from(cell.set(value).is_ok()), Ordering::Relaxed);
                } else {
                    cell.get_or_init(|| {
                        won.fetch_add(1, Ordering::Relaxed);
                        value
                    });
                }
            });
        }
        group.wait();
        assert_eq!(won.load(Ordering::Relaxed), 1);
        assert!(common::eventually(|| Arc::strong_count(&value) == 2));
        drop(cell);
        assert!(common::eventually(|| Arc::strong_count(&value) == 1));
    }
}

/// Catches a wait that is not ended by the value, and one that is ended by something else.
#[gosched::test]
fn a_value_is_waited_for() {
    static CELL: OnceLock<u32> = OnceLock::new();
    let group = WaitGroup::new();
    group.go(|| assert_eq!(*CELL.wait(), 5));
    group.go(|| assert_eq!(CELL.wait_timeout(Duration::from_secs(3600)), Some(&5)));
    await_waiting(2, WAITS);
    assert_eq!(CELL.wait_timeout(Duration::from_millis(1)), None);
    // The first to make it ends instead; those who wait do not mind.
    let failed = WaitGroup::new();
    failed.go(|| {
        CELL.get_or_init(|| runtime::goexit());
    });
    failed.wait();
    await_waiting(2, WAITS);
    assert_eq!(CELL.set(5), Ok(()));
    group.wait();
}

/// What `std::sync::OnceLock` has besides. Catches a method that leaves the state wrong.
#[gosched::test]
fn a_cell_is_emptied_and_filled() {
    let mut cell = OnceLock::from(1);
    *cell.get_mut().unwrap() += 1;
    assert_eq!(format!("{cell:?}"), "OnceLock(2)");
    assert_eq!(cell.clone(), cell);
    assert_eq!(cell.take(), Some(2));
    assert_eq!(cell.take(), None);
    assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
    assert_eq!(*cell.get_or_init(|| 3), 3);
    assert_eq!(cell.into_inner(), Some(3));
}

/// Catches a value that is made early, or twice.
#[gosched::test]
fn a_lazy_value_is_made_once() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static LAZY: LazyLock<usize> = LazyLock::new(|| MADE.fetch_add(1, Ordering::Relaxed) + 5);
    assert_eq!(MADE.load(Ordering::Relaxed), 0);
    assert_eq!(format!("{LAZY:?}"), "LazyLock(<uninit>)");
    let group = WaitGroup::new();
    for _ in 0..10 {
        group.go(|| assert_eq!(*LAZY, 5));
    }
    group.wait();
    let captured = Cell::new(7);
    let local = LazyLock::new(|| captured.take());
    assert_eq!((*local, *local, captured.get()), (7, 7, 0));
}

/// Catches a hang, or a value out of nothing.
#[gosched::test]
#[should_panic(expected = "LazyLock instance has previously been poisoned")]
fn a_lazy_value_whose_maker_ended_is_told() {
    static LAZY: LazyLock<usize> = LazyLock::new(|| runtime::goexit());
    let group = WaitGroup::new();
    group.go(|| assert_eq!(*LAZY, 0));
    group.wait();
    let _ = *LAZY;
}

/// Again and again: nobody goes on before all have come, and each time one leads. Catches a barrier
/// that opens early or mixes generations.
#[gosched::test]
fn all_come_before_any_goes() {
    const N: usize = 8;
    const ROUNDS: usize = 200;
    static BARRIER: Barrier = Barrier::new(N);
    static CAME: AtomicUsize = AtomicUsize::new(0);
    static LED: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for _ in 0..N {
        group.go(|| {
            for round in 1..=ROUNDS {
                CAME.fetch_add(1, Ordering::SeqCst);
                let leads = BARRIER.wait().is_leader();
                LED.fetch_add(usize::from(leads), Ordering::SeqCst);
                assert!(CAME.load(Ordering::SeqCst) >= round * N, "went too early");
            }
        });
    }
    group.wait();
    assert_eq!(LED.load(Ordering::SeqCst), ROUNDS);
}

/// Catches an arrival that still counts after its time is up.
#[gosched::test]
fn who_gives_up_did_not_come() {
    static BARRIER: Barrier = Barrier::new(2);
    let (d, start) = (Duration::from_millis(2), Instant::now());
    assert!(BARRIER.wait_timeout(d).is_none() && start.elapsed() >= d);
    assert!(BARRIER.wait_deadline(start).is_none());
    let group = WaitGroup::new();
    group.go(|| assert!(!BARRIER.wait().is_leader()));
    await_waiting(1, "sync.Barrier.Wait");
    assert!(
        BARRIER
            .wait_timeout(Duration::from_secs(3600))
            .unwrap()
            .is_leader()
    );
    group.wait();
}

/// Limits that end while the barrier opens: 10,000 rounds. Catches one that is counted and says
/// that it gave up, or goes on and was not counted.
#[gosched::test]
fn limits_race_with_opening() {
    const N: usize = 3;
    static BARRIER: Barrier = Barrier::new(N);
    static WENT: AtomicUsize = AtomicUsize::new(0);
    static LED: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for i in 0..5 {
        group.go(move || {
            let mut random = Random::new(i);
            for _ in 0..2000 {
                if let Some(result) = BARRIER.wait_timeout(random.micros(50)) {
                    WENT.fetch_add(1, Ordering::Relaxed);
                    LED.fetch_add(usize::from(result.is_leader()), Ordering::Relaxed);
                }
            }
        });
    }
    group.wait();
    assert_eq!(
        WENT.load(Ordering::Relaxed),
        N * LED.load(Ordering::Relaxed)
    );
    assert!(
        BARRIER.wait_timeout(Duration::from_millis(1)).is_none(),
        "somebody is left"
    );
}

gosched::test_main!();

//! Mutex: exclusion, fairness, limits.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Random, await_waiting, eventually, rounds, waiting};
use gosched::sync::{Mutex, MutexGuard, WaitGroup};
use gosched::time::{self, Duration, Instant};
use gosched::{go, runtime};

const WAITS: &str = "sync.Mutex.Lock";

/// Go's TestMutex: an unprotected counter under the lock comes out right, with yields and
/// preemptions inside. Catches two holders at a time.
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

/// Go's HammerMutex: as above, and every third attempt does not wait. Catches a try_lock that takes
/// what is handed over or being unlocked, or that leaves a bit behind.
#[gosched::test]
fn lock_and_try_lock_mixed() {
    static COUNTER: Mutex<u64> = Mutex::new(0);
    static GOT: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for _ in 0..10 {
        group.go(|| {
            for n in 0..3000 {
                let guard = match n % 3 {
                    0 => COUNTER.try_lock(),
                    _ => Some(COUNTER.lock()),
                };
                if let Some(mut counter) = guard {
                    *counter += 1;
                    GOT.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    group.wait();
    assert_eq!(*COUNTER.lock() as usize, GOT.load(Ordering::Relaxed));
}

/// Go's TestMutex: TryLock's results. Catches a try_lock that waits or lies.
#[gosched::test]
fn try_lock_never_waits() {
    let mutex = Mutex::new(1);
    let held = mutex.lock();
    assert!(mutex.is_locked());
    assert!(mutex.try_lock().is_none());
    drop(held);
    assert!(!mutex.is_locked());
    assert_eq!(mutex.try_lock().map(|v| *v), Some(1));
}

/// Goroutines that hold the lock asleep do not keep its waiters from their CPUs, and each waiter is
/// woken. Catches lost wake-ups.
#[gosched::test]
fn waiters_park_and_wake() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    let held = MUTEX.lock();
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
    await_waiting(50, WAITS);
    drop(held);
    group.wait();
}

/// Go's TestMutexFairness: one that always comes back at once does not keep the other out. Catches
/// a mutex without starvation mode, which takes for ever on few CPUs.
#[gosched::test]
fn a_hog_does_not_starve_a_waiter() {
    static MUTEX: Mutex<()> = Mutex::new(());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let group = WaitGroup::new();
    group.go(move || {
        while !stopped.load(Ordering::Relaxed) {
            let guard = MUTEX.lock();
            time::sleep(Duration::from_micros(100));
            drop(guard);
        }
    });
    let start = Instant::now();
    for _ in 0..10 {
        time::sleep(Duration::from_micros(100));
        drop(MUTEX.lock());
    }
    assert!(start.elapsed() < Duration::from_secs(10), "starved");
    stop.store(true, Ordering::Relaxed);
    group.wait();
}

/// How many of the waiters that [`starve`] looks at have ended.
type Ended = AtomicUsize;

/// Makes the one waiter wait for over 1 ms and wakes it in vain. Returns when it waits anew, or has
/// ended: it may have been quicker, or given up.
fn starve(
    mutex: &'static Mutex<()>,
    held: MutexGuard<'static, ()>,
    ended: &Ended,
) -> MutexGuard<'static, ()> {
    let before = ended.load(Ordering::Relaxed);
    let has_ended = || ended.load(Ordering::Relaxed) > before;
    assert!(eventually(|| waiting(WAITS) == 1 || has_ended()));
    time::sleep(Duration::from_micros(1200));
    drop(held);
    let held = mutex.lock();
    assert!(eventually(|| waiting(WAITS) == 1 || has_ended()));
    held
}

/// Go's TestSemaHandoff, and Mutex's starvation mode: a starving waiter has the mutex before its
/// unlocker has it again. Catches newcomers that take what is being handed over.
#[gosched::test]
fn the_starving_come_first() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static ENDED: Ended = Ended::new(0);
    let group = WaitGroup::new();
    for round in 1..=200 {
        let held = MUTEX.lock();
        group.go(|| {
            let guard = MUTEX.lock();
            ENDED.fetch_add(1, Ordering::Relaxed);
            drop(guard);
        });
        drop(starve(&MUTEX, held, &ENDED));
        let again = MUTEX.lock();
        assert_eq!(ENDED.load(Ordering::Relaxed), round, "passed over");
        drop(again);
        group.wait();
    }
}

/// The only waiter starves, then its time is up. Catches a mutex that stays in starvation mode with
/// nobody to hand it to, which nobody can ever lock.
#[gosched::test]
fn starvation_ends_with_the_last_waiter() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static ENDED: Ended = Ended::new(0);
    let group = WaitGroup::new();
    for _ in 0..50 {
        let held = MUTEX.lock();
        group.go(|| {
            drop(MUTEX.lock_timeout(Duration::from_millis(6)));
            ENDED.fetch_add(1, Ordering::Relaxed);
        });
        let held = starve(&MUTEX, held, &ENDED);
        group.wait();
        drop(held);
        assert!(MUTEX.try_lock().is_some());
    }
}

/// Never early, and nothing is held afterwards. Catches a limit that is a hint.
#[gosched::test]
fn lock_timeout_waits_that_long() {
    let mutex = Mutex::new(());
    let held = mutex.lock();
    let d = Duration::from_millis(3);
    let start = Instant::now();
    assert!(mutex.lock_timeout(d).is_none());
    assert!(start.elapsed() >= d);
    assert!(mutex.lock_deadline(start + d).is_none());
    assert!(mutex.try_lock_for(Duration::ZERO).is_none());
    drop(held);
    assert!(mutex.try_lock_for(Duration::ZERO).is_some());
    assert!(mutex.try_lock_until(start).is_some());
    assert!(mutex.lock_timeout(Duration::MAX).is_some());
}

/// Catches a wait with a limit that only ever ends by the limit.
#[gosched::test]
fn lock_timeout_is_woken() {
    static MUTEX: Mutex<()> = Mutex::new(());
    let held = MUTEX.lock();
    let group = WaitGroup::new();
    group.go(|| assert!(MUTEX.lock_timeout(Duration::from_secs(3600)).is_some()));
    await_waiting(1, WAITS);
    drop(held);
    group.wait();
}

/// Limits that end while the mutex is unlocked or handed over: 10,000 rounds. Catches a wake-up
/// spent on one that has given up (all sleep on), and one that holds and says it does not.
#[gosched::test]
fn limits_race_with_unlocking() {
    static COUNTER: Mutex<usize> = Mutex::new(0);
    static GOT: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for i in 0..10 {
        group.go(move || {
            let mut random = Random::new(i);
            for round in 0..rounds(1000) {
                // One in ten without a limit: it would sleep on.
                let guard = if round as u64 % 10 == i {
                    Some(COUNTER.lock())
                } else {
                    COUNTER.lock_timeout(random.micros(120))
                };
                let Some(mut counter) = guard else {
                    continue;
                };
                *counter += 1;
                GOT.fetch_add(1, Ordering::Relaxed);
                match random.below(8) {
                    0 => time::sleep(random.micros(60)),
                    1 => runtime::gosched(),
                    _ => {}
                }
            }
        });
    }
    group.wait();
    let counter = COUNTER.try_lock().expect("nobody holds it");
    assert_eq!(*counter, GOT.load(Ordering::Relaxed));
    assert!(*counter >= rounds(1000), "those without a limit");
}

/// Catches a guard of a part that unlocks twice, or never, or gives another part.
#[gosched::test]
fn a_mapped_guard_unlocks_once() {
    let pair = Mutex::new((1, "one"));
    let mut number = MutexGuard::map(pair.lock(), |pair| &mut pair.0);
    assert!(pair.try_lock().is_none());
    *number += 1;
    drop(number);
    assert_eq!(*pair.lock(), (2, "one"));
    // SAFETY: the guard is forgotten, and its reference with it.
    unsafe {
        core::mem::forget(pair.lock());
        pair.force_unlock();
    }
    assert!(pair.try_lock().is_some());
}

/// What `std::sync::Mutex` has besides. Catches a trait or a bound that is missing.
#[gosched::test]
fn it_is_made_shown_and_taken_apart() {
    let mut mutex = Mutex::from(1);
    *mutex.get_mut() += 1;
    assert_eq!(format!("{mutex:?}"), "Mutex { data: 2, .. }");
    let held = mutex.lock();
    assert_eq!(
        format!("{mutex:?} {held:?} {held}"),
        "Mutex { data: <locked>, .. } 2 2"
    );
    drop(held);
    assert_eq!(mutex.into_inner(), 2);
    assert_eq!(*Mutex::<u8>::default().lock(), 0);
    let unsized_value: &Mutex<[u8]> = &Mutex::new([1, 2]);
    unsized_value.lock()[0] = 3;
    assert_eq!(unsized_value.lock()[0], 3);
}

/// A goroutine that ends with the guard in hand leaves it locked, as the documentation says; others
/// can give up. Catches a waiter that cannot.
#[gosched::test]
fn goexit_leaves_it_locked() {
    static MUTEX: Mutex<()> = Mutex::new(());
    let group = WaitGroup::new();
    group.add(1);
    let done = group.clone();
    go(move || {
        let _guard = MUTEX.lock();
        done.done();
        runtime::goexit();
    });
    group.wait();
    assert!(MUTEX.lock_timeout(Duration::from_millis(1)).is_none());
}

gosched::test_main!();

//! Semaphore and Pool.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use common::{Procs, Random, await_waiting, waiting};
use gosched::sync::{Pool, Semaphore, WaitGroup};
use gosched::time::{self, Duration, Instant};
use gosched::{chan, runtime};

const WAITS: &str = "sync.Semaphore.Acquire";

/// Go's HammerSemaphore, by weights. Catches permits that are given out twice, or lost.
#[gosched::test]
fn permits_are_never_exceeded() {
    static SEMAPHORE: Semaphore = Semaphore::new(10);
    static HELD: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for i in 0..20 {
        group.go(move || {
            let n = i % 10 + 1;
            for round in 0..200 {
                SEMAPHORE.acquire(n);
                assert!(HELD.fetch_add(n, Ordering::SeqCst) + n <= 10, "too many");
                if round % 16 == 0 {
                    runtime::gosched();
                }
                HELD.fetch_sub(n, Ordering::SeqCst);
                SEMAPHORE.release(n);
            }
        });
    }
    group.wait();
    assert_eq!(SEMAPHORE.available(), 10);
}

/// Go's TestLargeAcquireDoesntStarve, exactly: those who come later wait behind the large one, even
/// if there is enough for them. Catches small ones that slip past.
#[gosched::test]
fn a_large_wish_holds_small_ones_back() {
    static SEMAPHORE: Semaphore = Semaphore::new(10);
    let (order, came) = chan::bounded(3);
    SEMAPHORE.acquire(6);
    for (waiters, n) in [(1, 8), (2, 1), (3, 2)] {
        let order = order.clone();
        gosched::go(move || {
            SEMAPHORE.acquire(n);
            order.send(n).expect("the test receives");
        });
        await_waiting(waiters, WAITS);
    }
    assert_eq!(SEMAPHORE.available(), 4);
    assert!(!SEMAPHORE.try_acquire(1), "overtaken");
    SEMAPHORE.release(5);
    // 9 are free: for the large one and one of 1; not for the one of 2.
    let mut first = [came.recv(), came.recv()];
    first.sort_by_key(|n| n.unwrap_or(0));
    assert_eq!(first, [Ok(1), Ok(8)]);
    await_waiting(1, WAITS);
    SEMAPHORE.release(1);
    assert!(waiting(WAITS) == 1, "there is 1 and 2 are wanted");
    SEMAPHORE.release(1);
    assert_eq!(came.recv(), Ok(2));
    SEMAPHORE.release(10);
    assert_eq!(SEMAPHORE.available(), 10);
}

/// Catches those behind a large wish that sleep on when its time is up.
#[gosched::test]
fn a_large_wish_that_gives_up_lets_others_through() {
    static SEMAPHORE: Semaphore = Semaphore::new(4);
    let group = WaitGroup::new();
    SEMAPHORE.acquire(2);
    group.go(|| assert!(!SEMAPHORE.acquire_timeout(4, Duration::from_millis(20))));
    await_waiting(1, WAITS);
    for _ in 0..2 {
        group.go(|| SEMAPHORE.acquire(1));
    }
    group.wait();
    SEMAPHORE.release(4);
    assert_eq!(SEMAPHORE.available(), 4);
}

/// Go: an acquire that can never succeed does not block others. Catches one that does, and one that
/// succeeds.
#[gosched::test]
fn more_than_there_are_never_come() {
    static SEMAPHORE: Semaphore = Semaphore::new(2);
    let group = WaitGroup::new();
    group.go(|| assert!(!SEMAPHORE.acquire_timeout(3, Duration::from_millis(10))));
    await_waiting(1, WAITS);
    SEMAPHORE.acquire(2);
    SEMAPHORE.release(2);
    group.wait();
    assert!(!SEMAPHORE.try_acquire(3));
}

/// Never early, and nothing is taken. Catches a limit that is a hint.
#[gosched::test]
fn limits_are_kept() {
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    let guard = SEMAPHORE.acquire_guard(1);
    assert!(SEMAPHORE.try_acquire_guard(1).is_none());
    let (d, start) = (Duration::from_millis(2), Instant::now());
    assert!(!SEMAPHORE.acquire_timeout(1, d) && start.elapsed() >= d);
    assert!(!SEMAPHORE.acquire_deadline(1, start));
    let group = WaitGroup::new();
    group.go(|| assert!(SEMAPHORE.acquire_timeout(1, Duration::from_secs(3600))));
    await_waiting(1, WAITS);
    drop(guard);
    group.wait();
    SEMAPHORE.release(1);
    assert!(SEMAPHORE.acquire_timeout(0, Duration::ZERO));
    assert!(SEMAPHORE.acquire_timeout(1, Duration::ZERO));
}

/// Limits that end while permits are released: 10,000 rounds. Catches permits given to one that has
/// given up, and given up by one that has them.
#[gosched::test]
fn limits_race_with_releases() {
    static SEMAPHORE: Semaphore = Semaphore::new(4);
    static HELD: AtomicUsize = AtomicUsize::new(0);
    let group = WaitGroup::new();
    for i in 0..10 {
        group.go(move || {
            let mut random = Random::new(i);
            for round in 0..1000 {
                let n = random.below(4) as usize + 1;
                if round % 10 == 0 {
                    SEMAPHORE.acquire(n);
                } else if !SEMAPHORE.acquire_timeout(n, random.micros(80)) {
                    continue;
                }
                assert!(HELD.fetch_add(n, Ordering::SeqCst) + n <= 4, "too many");
                if random.below(4) == 0 {
                    time::sleep(random.micros(30));
                }
                HELD.fetch_sub(n, Ordering::SeqCst);
                SEMAPHORE.release(n);
            }
        });
    }
    group.wait();
    assert_eq!(SEMAPHORE.available(), 4);
}

/// Go's TestWeightedPanic.
#[gosched::test]
#[should_panic(expected = "semaphore: released more than held")]
fn releasing_too_much_is_told() {
    let semaphore = Semaphore::new(2);
    semaphore.acquire(1);
    semaphore.release(2);
}

/// A value of which is known where it is: 0 made, 1 in the pool, 2 delivered; dropped with 3.
struct Token {
    index: usize,
    places: Arc<Vec<AtomicU8>>,
}

impl Token {
    fn moves(&self, from: u8, to: u8) {
        let before = self.places[self.index].swap(to, Ordering::Relaxed);
        assert_eq!(before, from, "a value is in two places");
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let before = self.places[self.index].swap(3, Ordering::Relaxed);
        assert_ne!(before, 3, "dropped twice");
    }
}

/// Go's TestPoolDequeue and TestPoolChain: some put, others take, from all Ps; each value comes out
/// once or is dropped. Catches a value that two get, or that is lost.
#[gosched::test]
fn each_value_is_delivered_once() {
    const EACH: usize = 5000;
    const PRODUCERS: usize = 4;
    let places: Vec<_> = (0..EACH * PRODUCERS).map(|_| AtomicU8::new(0)).collect();
    let places = Arc::new(places);
    let pool = Arc::new(Pool::new(|| -> Token {
        unreachable!("try_get makes none")
    }));
    let delivered = Arc::new(AtomicUsize::new(0));
    let producers = WaitGroup::new();
    for i in 0..PRODUCERS {
        let (pool, places) = (pool.clone(), places.clone());
        producers.go(move || {
            for n in 0..EACH {
                let index = i * EACH + n;
                let token = Token {
                    index,
                    places: places.clone(),
                };
                token.moves(0, 1);
                pool.put(token);
                if n % 64 == 0 {
                    runtime::gosched();
                }
            }
        });
    }
    let consumers = WaitGroup::new();
    let stop = Arc::new(AtomicUsize::new(0));
    for _ in 0..4 {
        let (pool, delivered, stop) = (pool.clone(), delivered.clone(), stop.clone());
        consumers.go(move || {
            loop {
                match pool.try_get() {
                    Some(token) => {
                        token.moves(1, 2);
                        delivered.fetch_add(1, Ordering::Relaxed);
                    }
                    None if stop.load(Ordering::Acquire) == 1 => return,
                    None => runtime::gosched(),
                }
            }
        });
    }
    producers.wait();
    stop.store(1, Ordering::Release);
    consumers.wait();
    assert!(delivered.load(Ordering::Relaxed) > 0);
    drop(pool);
    assert!(common::eventually(|| Arc::strong_count(&places) == 1));
    let gone = |place: &AtomicU8| place.load(Ordering::Relaxed) == 3;
    assert!(places.iter().all(gone), "a value is lost");
}

/// Counts how many of it are alive.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Catches a pool that grows without bound, and one that never gives anything back.
#[gosched::test]
fn a_pool_is_bounded_and_trimmed() {
    let _procs = Procs::new(1);
    let alive = Arc::new(AtomicUsize::new(0));
    let made = alive.clone();
    let pool = Pool::new(move || Counted::new(&made));
    let many: Vec<_> = (0..1000).map(|_| pool.get()).collect();
    many.into_iter().for_each(|value| pool.put(value));
    let kept = alive.load(Ordering::Relaxed);
    assert!((2..=257).contains(&kept), "{kept} are kept");
    // Twice: in the first second they were put there, in the second they were not needed.
    for _ in 0..2 {
        time::sleep(Duration::from_millis(1010));
        let (one, two) = (pool.get(), pool.get());
        pool.put(one);
        pool.put(two);
    }
    let kept = alive.load(Ordering::Relaxed);
    assert!(kept <= 3, "{kept} are kept though 2 are needed");
    drop(pool);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// Catches a pool that does not use again what it has.
#[gosched::test]
fn what_is_put_back_is_used_again() {
    let _procs = Procs::new(1);
    let pool = Pool::new(|| 0);
    (1..=3).for_each(|n| pool.put(n));
    let mut got = [pool.get(), pool.get(), pool.get()];
    got.sort_unstable();
    assert_eq!((got, pool.get(), pool.try_get()), ([1, 2, 3], 0, None));
}

gosched::test_main!();

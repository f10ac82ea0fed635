//! RwLock: who may be inside with whom, who comes in when, limits.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::format;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{Procs, Random, await_waiting};
use gosched::runtime;
use gosched::sync::{Barrier, RwLock, RwLockWriteGuard, WaitGroup};
use gosched::time::{self, Duration, Instant};

const READS: &str = "sync.RWMutex.RLock";
const WRITES: &str = "sync.RWMutex.Lock";

const WRITER: usize = 10_000;

/// Counts who is inside, and looks whether they may be together.
struct Activity(AtomicUsize);

impl Activity {
    fn read(&self) {
        let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        assert!((1..WRITER).contains(&n), "a reader among {n}");
        (0..50).for_each(|_| spin_loop());
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn write(&self) {
        let n = self.0.fetch_add(WRITER, Ordering::SeqCst) + WRITER;
        assert_eq!(n, WRITER, "a writer among others");
        (0..50).for_each(|_| spin_loop());
        self.0.fetch_sub(WRITER, Ordering::SeqCst);
    }
}

fn hammer(readers: usize, rounds: usize) {
    static LOCK: RwLock<Activity> = RwLock::new(Activity(AtomicUsize::new(0)));
    let group = WaitGroup::new();
    for i in 0..readers + 2 {
        group.go(move || {
            for _ in 0..rounds {
                if i < 2 {
                    LOCK.write().write();
                } else {
                    LOCK.read().read();
                }
            }
        });
    }
    group.wait();
    assert!(LOCK.try_write().is_some(), "nobody is inside");
}

/// Go's HammerRWMutex: two writers and some readers, with one to all Ps. Catches a reader beside a
/// writer, and one who is never let in.
#[gosched::test]
fn writers_exclude_all_others() {
    let all = runtime::gomaxprocs(0);
    for procs in [1, 2, all] {
        let _procs = Procs::new(procs.min(all));
        for readers in [1, 3, 10] {
            hammer(readers, 300);
        }
    }
}

/// Go's TestParallelReaders: each reader waits inside for all the others. Catches a lock that lets
/// in one at a time, by a hang.
#[gosched::test]
fn readers_are_inside_together() {
    static LOCK: RwLock<()> = RwLock::new(());
    static ALL: Barrier = Barrier::new(10);
    let group = WaitGroup::new();
    for _ in 0..10 {
        group.go(|| {
            let _reader = LOCK.read();
            ALL.wait();
        });
    }
    group.wait();
}

/// Go's TestRWMutex: the results of the tries. Catches a try that waits or lies.
#[gosched::test]
fn tries_never_wait() {
    let lock = RwLock::new(1);
    let reader = lock.try_read().expect("nobody writes");
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    drop(reader);
    let writer = lock.try_write().expect("nobody is inside");
    assert!(lock.try_read().is_none() && lock.try_write().is_none());
    drop(writer);
    assert_eq!(lock.try_read().map(|value| *value), Some(1));
}

/// Catches a lock whose readers keep a writer out for ever.
#[gosched::test]
fn a_waiting_writer_holds_new_readers_back() {
    static LOCK: RwLock<u32> = RwLock::new(0);
    let group = WaitGroup::new();
    let first = LOCK.read();
    group.go(|| *LOCK.write() += 1);
    await_waiting(1, WRITES);
    assert!(LOCK.try_read().is_none());
    assert!(LOCK.read_timeout(Duration::from_millis(1)).is_none());
    group.go(|| assert_eq!(*LOCK.read(), 1, "before the writer"));
    await_waiting(1, READS);
    drop(first);
    group.wait();
}

/// Catches writers that keep the readers out for ever.
#[gosched::test]
fn held_back_readers_come_before_the_next_writer() {
    static LOCK: RwLock<u32> = RwLock::new(0);
    let group = WaitGroup::new();
    let first = LOCK.write();
    for _ in 0..5 {
        group.go(|| assert_eq!(*LOCK.read(), 0, "after the second writer"));
    }
    await_waiting(5, READS);
    group.go(|| *LOCK.write() += 1);
    await_waiting(1, WRITES);
    drop(first);
    group.wait();
    assert_eq!(*LOCK.read(), 1);
}

/// Catches a writer that gives up and leaves its sign at the door.
#[gosched::test]
fn a_writer_that_gives_up_lets_readers_in() {
    static LOCK: RwLock<()> = RwLock::new(());
    let group = WaitGroup::new();
    let first = LOCK.read();
    group.go(|| assert!(LOCK.write_timeout(Duration::from_millis(30)).is_none()));
    await_waiting(1, WRITES);
    for _ in 0..5 {
        group.go(|| drop(LOCK.read()));
    }
    // The first reader is still inside.
    group.wait();
    assert!(LOCK.try_read().is_some());
    drop(first);
    assert!(LOCK.try_write().is_some());
}

/// Catches a downgrade that lets a writer in between, or keeps readers out.
#[gosched::test]
fn a_downgraded_writer_reads_on() {
    static LOCK: RwLock<u32> = RwLock::new(0);
    let group = WaitGroup::new();
    let mut writer = LOCK.write();
    *writer = 1;
    let readers = WaitGroup::new();
    readers.go(|| assert_eq!(*LOCK.read(), 1));
    group.go(|| *LOCK.write() = 2);
    await_waiting(1, READS);
    await_waiting(1, WRITES);
    let reader = RwLockWriteGuard::downgrade(writer);
    readers.wait();
    assert_eq!(*reader, 1);
    drop(reader);
    group.wait();
    assert_eq!(*LOCK.read(), 2);
}

/// Never early. Catches a limit that is a hint, and a lock that is held afterwards.
#[gosched::test]
fn limits_are_kept() {
    let lock = RwLock::new(());
    let d = Duration::from_millis(2);
    let writer = lock.write();
    let start = Instant::now();
    assert!(lock.read_timeout(d).is_none());
    assert!(lock.write_timeout(d).is_none());
    assert!(start.elapsed() >= 2 * d);
    assert!(lock.read_deadline(start).is_none() && lock.write_deadline(start).is_none());
    drop(writer);
    assert!(lock.try_read_for(d).is_some() && lock.try_write_for(d).is_some());
    assert!(lock.try_read_until(start).is_some() && lock.try_write_until(start).is_some());
}

/// Limits that end while others come and leave: 10,000 rounds. Catches a writer or reader that is
/// counted though it gave up, or is not though it is inside, and readers held back by nobody.
#[gosched::test]
fn limits_race_with_coming_and_leaving() {
    static LOCK: RwLock<Activity> = RwLock::new(Activity(AtomicUsize::new(0)));
    let group = WaitGroup::new();
    for i in 0..10 {
        group.go(move || {
            let mut random = Random::new(i);
            for round in 0..1000 {
                let limit = random.micros(100);
                if random.below(3) == 0 {
                    if let Some(activity) = LOCK.write_timeout(limit) {
                        activity.write();
                        pause(&mut random);
                    }
                } else if round % 10 == 0 {
                    LOCK.read().read();
                } else if let Some(activity) = LOCK.read_timeout(limit) {
                    activity.read();
                    pause(&mut random);
                }
            }
        });
    }
    group.wait();
    let lock = LOCK.try_write().expect("nobody is inside");
    assert_eq!(lock.0.load(Ordering::Relaxed), 0);
}

fn pause(random: &mut Random) {
    match random.below(8) {
        0 => time::sleep(random.micros(50)),
        1 => runtime::gosched(),
        _ => {}
    }
}

/// What `std::sync::RwLock` has besides. Catches a trait or a bound that is missing.
#[gosched::test]
fn it_is_made_shown_and_taken_apart() {
    let mut lock = RwLock::from(1);
    *lock.get_mut() += 1;
    assert_eq!(format!("{lock:?}"), "RwLock { data: 2, .. }");
    let held = lock.write();
    assert_eq!(
        format!("{lock:?} {held:?}"),
        "RwLock { data: <locked>, .. } 2"
    );
    drop(held);
    assert_eq!(lock.into_inner(), 2);
    assert_eq!(*RwLock::<u8>::default().read(), 0);
    let unsized_value: &RwLock<[u8]> = &RwLock::new([1, 2]);
    assert_eq!(unsized_value.read().len(), 2);
    // SAFETY: the guards are forgotten, and their references with them.
    unsafe {
        core::mem::forget(unsized_value.read());
        unsized_value.force_unlock_read();
        core::mem::forget(unsized_value.write());
        unsized_value.force_unlock_write();
    }
    assert!(unsized_value.try_write().is_some());
}

gosched::test_main!();

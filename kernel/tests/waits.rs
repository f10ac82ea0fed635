//! The wait-for graph: deadlocks that are there are found and named, beside others that run. The
//! goroutines stay in them. That no others are found is the matter of the suite `waits_alive`.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;
mod load;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use common::has_steady_clock;
use gosched::chan;
use gosched::observe::waits;
use gosched::runtime::{self, Deadlock};
use gosched::sync::{Barrier, Condvar, Mutex, RwLock, Semaphore, WaitGroup};
use gosched::time::{self, Duration};
use gosched::{go, park, spawn};
use load::{Load, deadlock_of};

const MS: Duration = Duration::from_millis(1);

/// Numbers of goroutines, which do not count as pointers.
type Ids = [AtomicU64; 4];

/// The running goroutine is number `i` of these.
fn enlist(ids: &Ids, i: usize) {
    ids[i].store(runtime::goid(), Ordering::Release);
}

fn get(ids: &Ids, i: usize) -> u64 {
    ids[i].load(Ordering::Acquire)
}

/// Calls `f` on a stack that is gone afterwards, with what it leaves there.
fn elsewhere(f: impl FnOnce() + Send + 'static) {
    spawn(f).join().unwrap();
}

/// The numbers of the goroutines of the cycle, in order.
fn cycle(deadlock: &Deadlock) -> Vec<u64> {
    let mut goids: Vec<u64> = deadlock.cycle.iter().map(|waiter| waiter.goid).collect();
    goids.sort_unstable();
    goids
}

/// Waits until the goroutine of this number is found in a deadlock, and gives it.
fn found(goid: &AtomicU64) -> Deadlock {
    found_one_of(&[goid]).1
}

/// Waits until one of these goroutines, which do the same, is found in a deadlock, and says which.
/// A word that is left on a live stack from earlier may look like a pointer to what one of them
/// waits for; not to what each of them does.
fn found_one_of(goids: &[&AtomicU64]) -> (usize, Deadlock) {
    for _ in 0..60 {
        for (i, goid) in goids.iter().enumerate() {
            if let Some(deadlock) = deadlock_of(goid.load(Ordering::Acquire)) {
                gosched::print!("{deadlock}");
                return (i, deadlock);
            }
        }
        time::sleep(MS);
    }
    let mut table = alloc::string::String::new();
    waits::table(&mut table, &waits::waits().waiters);
    panic!("no deadlock of goroutine {goids:?} is found\n{table}");
}

/// What goroutine `goid` waits for in it.
fn reason(deadlock: &Deadlock, goid: u64) -> &'static str {
    let mut all = deadlock.cycle.iter().chain(&deadlock.others);
    all.find(|waiter| waiter.goid == goid).unwrap().reason
}

fn sorted<const N: usize>(mut goids: [u64; N]) -> [u64; N] {
    goids.sort_unstable();
    goids
}

/// Two mutexes in opposite order: the classic, which no reachability alone would see, as everybody
/// reaches a static.
#[gosched::test]
fn two_mutexes_in_opposite_order() {
    static A: Mutex<u32> = Mutex::new(0);
    static B: Mutex<u32> = Mutex::new(0);
    static BOTH: Barrier = Barrier::new(2);
    static IDS: Ids = [const { AtomicU64::new(0) }; 4];
    let _load = Load::steady();
    go(|| {
        enlist(&IDS, 0);
        let _a = A.lock();
        BOTH.wait();
        *B.lock() += 1;
    });
    go(|| {
        enlist(&IDS, 1);
        let _b = B.lock();
        BOTH.wait();
        *A.lock() += 1;
    });
    let deadlock = found(&IDS[0]);
    assert_eq!(cycle(&deadlock), sorted([get(&IDS, 0), get(&IDS, 1)]));
    assert!(deadlock.cycle.iter().all(|w| w.reason == "sync.Mutex.Lock"));
    assert!(deadlock.cycle[0].place.contains("kernel/tests/waits.rs:"));
}

/// A mutex that is locked twice, one whose holder has ended, and readers behind such a writer.
#[gosched::test]
fn locks_that_nobody_will_unlock() {
    static TWICE: Mutex<()> = Mutex::new(());
    static ENDED: Mutex<()> = Mutex::new(());
    static WRITTEN: RwLock<()> = RwLock::new(());
    static IDS: Ids = [const { AtomicU64::new(0) }; 4];
    go(|| {
        enlist(&IDS, 0);
        let _held = TWICE.lock();
        let _again = TWICE.lock();
    });
    go(|| {
        let _held = (ENDED.lock(), WRITTEN.write());
        go(|| {
            enlist(&IDS, 1);
            drop(ENDED.lock());
        });
        go(|| {
            enlist(&IDS, 2);
            drop(WRITTEN.read());
        });
        go(|| {
            enlist(&IDS, 3);
            drop(WRITTEN.write());
        });
        runtime::goexit();
    });
    assert_eq!(cycle(&found(&IDS[0])), [get(&IDS, 0)]);
    for goid in &IDS[1..] {
        assert!(cycle(&found(goid)).is_empty());
    }
}

/// A receive whose only sender is the receiver's own.
#[gosched::test]
fn a_receive_from_oneself() {
    static IDS: Ids = [const { AtomicU64::new(0) }; 4];
    let _load = Load::steady();
    for i in 0..IDS.len() {
        go(move || {
            enlist(&IDS, i);
            let (tx, rx) = chan::bounded::<u32>(0);
            let got = rx.recv();
            drop((got, tx));
        });
    }
    time::sleep(100 * MS);
    let (i, deadlock) = found_one_of(&IDS.each_ref());
    assert_eq!(reason(&deadlock, get(&IDS, i)), "chan receive");
}

fn start_three(ids: &'static Ids) {
    let mutex = Arc::new(Mutex::new(()));
    let wanted = mutex.clone();
    let (tx1, rx1) = chan::bounded::<u32>(0);
    let (tx2, rx2) = chan::bounded::<u32>(0);
    go(move || {
        enlist(ids, 0);
        let _held = mutex.lock();
        let got = rx1.recv();
        drop((got, tx2));
    });
    go(move || {
        enlist(ids, 1);
        let got = rx2.recv();
        let _ = got;
        tx1.send(1).unwrap();
    });
    go(move || {
        time::sleep(2 * MS);
        enlist(ids, 2);
        drop(wanted.lock());
    });
}

/// Goroutines as often as is enough to find one (see `found_one_of`).
type Several = [Ids; 5];

/// Starts `some` as often as there are places for them, each time on a stack that is gone.
fn start_several(several: &'static Several, some: fn(&'static Ids)) {
    for ids in several {
        elsewhere(move || some(ids));
        time::sleep(20 * MS);
    }
}

/// A deadlock with one who is number `i` of its places, and these.
fn found_among(several: &'static Several, i: usize) -> (&'static Ids, Deadlock) {
    let goids: Vec<&AtomicU64> = several.iter().map(|ids| &ids[i]).collect();
    let (at, deadlock) = found_one_of(&goids);
    (&several[at], deadlock)
}

/// Two that hold each other's senders, and one that waits for a mutex of theirs.
#[gosched::test]
fn channels_in_a_circle_and_a_mutex() {
    static THREES: Several = [const { [const { AtomicU64::new(0) }; 4] }; 5];
    let _load = Load::steady();
    start_several(&THREES, start_three);
    let (ids, deadlock) = found_among(&THREES, 2);
    assert_eq!(cycle(&deadlock), sorted([get(ids, 0), get(ids, 1)]));
    assert_eq!(reason(&deadlock, get(ids, 2)), "sync.Mutex.Lock");
}

fn start_joiners(ids: &'static Ids) {
    let (tx, rx) = chan::bounded(1);
    let first = spawn(move || {
        enlist(ids, 0);
        let other: gosched::JoinHandle<()> = rx.recv().unwrap();
        drop(rx);
        other.join().unwrap();
    });
    let second = spawn(move || {
        enlist(ids, 1);
        first.join().unwrap();
    });
    tx.send(second).unwrap();
    go(move || {
        enlist(ids, 2);
        let group = WaitGroup::new();
        group.add(1);
        group.wait();
    });
    go(move || {
        enlist(ids, 3);
        park();
    });
}

/// Two goroutines that join each other; one that waits for a group that nobody is of; one that
/// nobody has the handle of.
#[gosched::test]
fn joins_and_groups() {
    static FOURS: Several = [const { [const { AtomicU64::new(0) }; 4] }; 5];
    start_several(&FOURS, start_joiners);
    let (ids, deadlock) = found_among(&FOURS, 0);
    for i in 0..2 {
        assert_eq!(reason(&deadlock, get(ids, i)), "goroutine join");
    }
    for (i, words) in [(2, "sync.WaitGroup.Wait"), (3, "park")] {
        let (ids, deadlock) = found_among(&FOURS, i);
        assert_eq!(reason(&deadlock, get(ids, i)), words);
    }
}

fn start_leaks(ids: &'static Ids) {
    let (tx, rx) = chan::bounded::<u32>(0);
    let (unused, nobody) = chan::bounded::<u32>(0);
    go(move || {
        enlist(ids, 0);
        gosched::select! {
            recv(rx) -> got => got.map(drop).unwrap_or(()),
            recv(nobody) -> got => got.map(drop).unwrap_or(()),
        }
        drop((tx, unused));
    });
    go(move || {
        enlist(ids, 1);
        let pair = (Mutex::new(()), Condvar::new());
        drop(pair.1.wait(pair.0.lock()));
    });
    go(move || {
        enlist(ids, 2);
        Semaphore::new(1).acquire(2);
    });
    go(move || {
        enlist(ids, 3);
        Barrier::new(2).wait();
    });
}

/// What waits in a select, at a condition, for more permits than there are, alone at a barrier.
#[gosched::test]
fn all_kinds_of_objects_out_of_reach() {
    static FOURS: Several = [const { [const { AtomicU64::new(0) }; 4] }; 5];
    let _load = Load::steady();
    start_several(&FOURS, start_leaks);
    let reasons = [
        "select",
        "sync.Cond.Wait",
        "sync.Semaphore.Acquire",
        "sync.Barrier.Wait",
    ];
    for (i, words) in reasons.into_iter().enumerate() {
        let (ids, deadlock) = found_among(&FOURS, i);
        assert_eq!(reason(&deadlock, get(ids, i)), words);
    }
}

/// A thousand goroutines, among them two in a deadlock: the look is quick, and finds just these.
#[gosched::test]
fn two_among_a_thousand() {
    static A: Mutex<()> = Mutex::new(());
    static B: Mutex<()> = Mutex::new(());
    static BOTH: Barrier = Barrier::new(2);
    static IDS: Ids = [const { AtomicU64::new(0) }; 4];
    let (tx, rx) = chan::unbounded::<u32>();
    let workers: Vec<_> = (0..998)
        .map(|_| {
            let rx = rx.clone();
            spawn(move || rx.iter().count())
        })
        .collect();
    drop(rx);
    go(|| {
        enlist(&IDS, 0);
        let _a = A.lock();
        BOTH.wait();
        drop(B.lock());
    });
    go(|| {
        enlist(&IDS, 1);
        let _b = B.lock();
        BOTH.wait();
        drop(A.lock());
    });
    let deadlock = found(&IDS[1]);
    assert_eq!(cycle(&deadlock), sorted([get(&IDS, 0), get(&IDS, 1)]));
    let start = time::Instant::now();
    let deadlocks = runtime::deadlocks();
    let took = start.elapsed();
    gosched::println!(
        "a look at {} goroutines took {took:?}",
        runtime::num_goroutine()
    );
    assert!(!has_steady_clock() || took < Duration::from_secs(2));
    for worker in &workers {
        let dead = |d: &Deadlock| d.others.iter().any(|w| w.goid == worker.id());
        assert!(!deadlocks.iter().any(dead), "a worker is called deadlocked");
    }
    drop(tx);
    for worker in workers {
        worker.join().unwrap();
    }
}

gosched::test_main!();

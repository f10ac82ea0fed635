//! As many goroutines as there can be: a million alive, ten million one after another, thousands
//! that one P readies at once.
//!
//! Each test has a size for every run and a full one, which is ignored: `.ci/limits.sh` runs that,
//! with the memory that it needs. Numbers are counted, not estimated: who is lost, who runs twice
//! and what is not given back are each seen.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use common::{Slice, applies, await_waiting, eventually, rounds};
use gosched::chan::{self, Receiver};
use gosched::sched::model::{self, Model};
use gosched::sync::WaitGroup;
use gosched::{Goroutine, current, go, mem, park, runtime};

/// Bytes that a parked goroutine may take in all: its frame, and its parts of page tables, of the
/// side table of stacks, and of the heap.
const GOROUTINE_BYTES: usize = 4900;
/// What the heap may keep of freed memory in its caches, and the accounts be off.
const SLACK: usize = 4 << 20;

/// So much memory is in use.
fn used() -> usize {
    let usage = mem::usage();
    usage.total - usage.free
}

fn heap_used() -> usize {
    mem::usage().heap_used
}

fn counters(n: usize) -> Vec<AtomicU32> {
    (0..n).map(|_| AtomicU32::new(0)).collect()
}

/// Whether every counter has been counted up to `times`.
fn all_are(counters: &[AtomicU32], times: u32) -> bool {
    counters.iter().all(|n| n.load(Ordering::Relaxed) == times)
}

// ---- Alive at once ------------------------------------------------------------------------------

/// What becomes of a crowd that waits on one channel.
struct Crowd {
    gate: Receiver<usize>,
    /// How often each value was received.
    received: Vec<AtomicU32>,
    /// How many were told that the channel is closed.
    closed: AtomicUsize,
}

impl Crowd {
    fn wait_at_gate(&self) {
        match self.gate.recv() {
            Ok(value) => {
                self.received[value].fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.closed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// `n` goroutines park on one channel. Half of them get a value each, the others are released all
/// at once when it is closed. Each ends, and what they took is there for the next crowd.
fn gather(n: usize) {
    let (tx, gate) = chan::bounded(0);
    let crowd = Arc::new(Crowd {
        gate,
        received: counters(n / 2),
        closed: AtomicUsize::new(0),
    });
    let before = runtime::num_goroutine();
    let all = WaitGroup::new();
    for _ in 0..n {
        let crowd = crowd.clone();
        all.go(move || crowd.wait_at_gate());
    }
    await_waiting(n, "chan receive");
    assert_eq!(runtime::num_goroutine(), before + n);
    for value in 0..n / 2 {
        tx.send(value).unwrap();
    }
    assert!(eventually(|| runtime::num_goroutine() == before + n - n / 2));
    assert!(all_are(&crowd.received, 1), "a value was lost or doubled");
    drop(tx);
    all.wait();
    assert_eq!(crowd.closed.load(Ordering::Relaxed), n - n / 2);
    assert!(eventually(|| runtime::num_goroutine() == before));
}

/// Gathers a crowd twice: the first takes what it may, the second takes no more.
fn gather_twice(n: usize) {
    let (before, heap_before) = (used(), heap_used());
    gather(n);
    let (first, heap_first) = (used() - before, heap_used());
    let limit = n * GOROUTINE_BYTES + SLACK;
    assert!(first < limit, "{n} goroutines took {first} bytes");
    let kept = heap_first.saturating_sub(heap_before);
    assert!(kept < SLACK, "{kept} bytes of the heap did not come back");
    gather(n);
    let second = used() - before;
    assert!(
        second < first + SLACK,
        "{first} bytes for {n} goroutines, then {second} for as many"
    );
}

/// A waiter that a channel loses or wakes twice, a G that is not used again, a sudog or a closure
/// that is not freed.
#[gosched::test(timeout_s = 120)]
fn twenty_thousand_wait_on_one_channel() {
    gather_twice(rounds(20_000));
}

/// The same, where all that counts goroutines or is linked through them has seven digits.
#[gosched::test(timeout_s = 600)]
#[ignore = "takes 5 GiB of memory, and minutes"]
fn a_million_wait_on_one_channel() {
    let enough = mem::usage().available > 5 << 30;
    if applies(enough, "5 GiB of memory") {
        gather_twice(1_000_000);
    }
}

// ---- One after another --------------------------------------------------------------------------

/// How many goroutines of the program began and ended so far, on all Ps.
fn created_and_ended() -> (u64, u64) {
    let stats = runtime::stats();
    let sum = |of: fn(&runtime::PStats) -> u64| stats.ps.iter().map(of).sum();
    (sum(|p| p.created), sum(|p| p.ended))
}

/// Every P's spawner starts goroutines wave by wave, `total` in all; others steal and end them
/// elsewhere. Each adds its number to a sum, and memory stays what it was after the first waves.
fn spawn_in_waves(total: usize) {
    const WAVE: usize = 500;
    let spawners = runtime::gomaxprocs(0);
    let waves = total.div_ceil(spawners * WAVE);
    let sum = Arc::new(AtomicU64::new(0));
    let (created, ended) = created_and_ended();
    let before = runtime::num_goroutine();
    let run = |from: usize, to: usize| {
        let all = WaitGroup::new();
        for spawner in 0..spawners {
            let sum = sum.clone();
            all.go(move || {
                for wave in from..to {
                    spawn_wave(&sum, (wave * spawners + spawner) * WAVE, WAVE);
                }
            });
        }
        all.wait();
    };
    let warm = (waves / 10).max(2).min(waves);
    run(0, warm);
    let (warm_bytes, warm_heap) = (used(), heap_used());
    run(warm, waves);
    assert!(eventually(|| runtime::num_goroutine() == before));
    let n = (waves * spawners * WAVE) as u64;
    assert_eq!(sum.load(Ordering::Relaxed), n * (n - 1) / 2);
    let spawned = n + 2 * spawners as u64;
    let (created, ended) = (
        created_and_ended().0 - created,
        created_and_ended().1 - ended,
    );
    assert!(created >= spawned && ended >= spawned, "{created}, {ended}");
    let (bytes, heap) = (used(), heap_used());
    assert!(
        bytes < warm_bytes + SLACK && heap < warm_heap + SLACK,
        "{warm_bytes} bytes after {warm} waves, {bytes} after {waves}; heap: {warm_heap}, {heap}"
    );
}

/// Starts `n` goroutines with the numbers from `first` on, and waits for their end.
fn spawn_wave(sum: &Arc<AtomicU64>, first: usize, n: usize) {
    let wave = WaitGroup::new();
    for number in first..first + n {
        let sum = sum.clone();
        wave.go(move || {
            sum.fetch_add(number as u64, Ordering::Relaxed);
        });
    }
    wave.wait();
}

/// A goroutine that never runs or runs twice, and dead Gs that pile up where they end while others
/// are made anew where they begin.
#[gosched::test(timeout_s = 120)]
fn two_hundred_thousand_come_and_go() {
    spawn_in_waves(rounds(200_000));
}

/// The same for so long that the smallest leak is one of many MiB: a word for each goroutine is
/// 80 MB.
#[gosched::test(timeout_s = 600)]
#[ignore = "takes a minute"]
fn ten_million_come_and_go() {
    spawn_in_waves(10_000_000);
}

// ---- Readied at once ----------------------------------------------------------------------------

/// One of those that are readied.
struct Sleeper {
    /// The round that it was readied for.
    round: AtomicU32,
    /// How often it has run.
    runs: AtomicU32,
}

/// What all of them share.
struct Storm {
    sleepers: Vec<Sleeper>,
    /// How many have not run yet in this round.
    left: AtomicUsize,
    last_round: u32,
    waker: Goroutine,
}

impl Storm {
    /// Runs once whenever it is readied, until the last round.
    fn sleep(&self, me: usize) {
        let sleeper = &self.sleepers[me];
        loop {
            park();
            sleeper.runs.fetch_add(1, Ordering::Relaxed);
            let round = sleeper.round.load(Ordering::Relaxed);
            // Release: who sees that none is left sees all that they have counted.
            if self.left.fetch_sub(1, Ordering::Release) == 1 {
                self.waker.unpark();
            }
            if round == self.last_round {
                return;
            }
        }
    }

    /// One P readies all of them, and cannot be interrupted: its ring of 256 overflows into the
    /// global queue again and again while other Ps take from both.
    fn ready_all(&self, handles: &[Goroutine], round: u32) {
        self.left.store(self.sleepers.len(), Ordering::Relaxed);
        let _mine = runtime::preempt_off();
        for (sleeper, handle) in self.sleepers.iter().zip(handles) {
            sleeper.round.store(round, Ordering::Relaxed);
            handle.unpark();
        }
    }
}

/// Readies `n` goroutines `times` times. Each runs exactly once each time.
fn storm(n: usize, times: usize) {
    let new = |_| Sleeper {
        round: AtomicU32::new(0),
        runs: AtomicU32::new(0),
    };
    let storm = Arc::new(Storm {
        sleepers: (0..n).map(new).collect(),
        left: AtomicUsize::new(0),
        last_round: times as u32,
        waker: current(),
    });
    let (tx, handles) = chan::unbounded();
    let all = WaitGroup::new();
    for me in 0..n {
        let (storm, tx) = (storm.clone(), tx.clone());
        all.go(move || {
            tx.send((me, current())).unwrap();
            drop(tx); // or the list below would not end
            storm.sleep(me);
        });
    }
    drop(tx);
    let mut handles: Vec<_> = handles.iter().collect();
    assert_eq!(handles.len(), n);
    handles.sort_unstable_by_key(|(me, _)| *me);
    let handles: Vec<_> = handles.into_iter().map(|(_, handle)| handle).collect();
    let steals = || runtime::stats().ps.iter().map(|p| p.steals).sum::<u64>();
    let steals_before = steals();
    for round in 1..=times as u32 {
        await_waiting(n, "park");
        storm.ready_all(&handles, round);
        // Acquire pairs with the last one's Release.
        while storm.left.load(Ordering::Acquire) > 0 {
            park();
        }
        for (me, sleeper) in storm.sleepers.iter().enumerate() {
            let runs = sleeper.runs.load(Ordering::Relaxed);
            assert_eq!(runs, round, "of sleeper {me} in round {round}");
        }
    }
    all.wait();
    let stealing = runtime::gomaxprocs(0) > 1 && model::get() == Model::Gmp;
    assert!(
        !stealing || times < 10 || steals() > steals_before,
        "nobody stole from a P with thousands"
    );
}

/// A goroutine that is lost or put twice when a ring overflows while thieves take from it: it does
/// not run, or runs when nobody readied it.
#[gosched::test(timeout_s = 120)]
fn one_p_readies_four_thousand_at_once() {
    storm(rounds(4096), 20);
}

/// The same with short slices: the readied are preempted, and go to the global queue meanwhile.
#[gosched::test(timeout_s = 120)]
fn one_p_readies_a_thousand_under_short_slices() {
    let _slice = Slice::of_us(100);
    storm(rounds(1000), 50);
}

/// The same for longer, and with more: batches that go to the global queue are of all sizes.
#[gosched::test(timeout_s = 600)]
#[ignore = "takes a minute"]
fn one_p_readies_fifty_thousand_at_once() {
    storm(50_000, 20);
    for n in [255, 256, 257, 258, 383, 384, 385, 511, 512, 513] {
        storm(n, 50);
    }
}

/// New goroutines instead of woken ones: a spawner that does not yield fills its own ring.
#[gosched::test(timeout_s = 120)]
fn one_p_spawns_thousands_without_a_pause() {
    const N: usize = 5000;
    for _ in 0..rounds(20) {
        let ran = Arc::new(counters(N));
        let left = Arc::new(AtomicUsize::new(N));
        {
            let _mine = runtime::preempt_off();
            for me in 0..N {
                let (ran, left) = (ran.clone(), left.clone());
                go(move || {
                    ran[me].fetch_add(1, Ordering::Relaxed);
                    left.fetch_sub(1, Ordering::Release);
                });
            }
        }
        assert!(eventually(|| left.load(Ordering::Acquire) == 0));
        assert!(all_are(&ran, 1));
    }
}

gosched::test_main!();

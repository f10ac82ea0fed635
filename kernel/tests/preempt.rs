//! Preemption: nobody keeps a CPU, in the modes in which that is promised.
//!
//! A *hog* never parks. One kind calls functions, which have safe points; the other kind is a loop
//! in assembly without a single call. Hogs end by themselves after bounded work, so a promise that
//! is not kept shows as a failed assertion, not as a hang. What must *not* happen (`preempt=coop`
//! and the hog without calls, `preempt=off` and either) is told by a witness that makes no progress
//! on the only P for as long as the hog runs.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use common::{Procs, Slice, applies, has_procs};
use gosched::arch;
use gosched::chan;
use gosched::runtime;
use gosched::sched::preempt::{self, Mode};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};

/// Runs until `done` is set or `ticks` of the cycle counter are over, without a call. Whether
/// `done` was set.
#[inline(always)]
fn hog_without_calls(done: &AtomicBool, ticks: u64) -> bool {
    // SAFETY: only reads the flag and the cycle counter.
    unsafe {
        asm!(
                    "rdtsc",
                    "shl rdx, 32",
                    "or rax, rdx",
                    "add {end}, rax",
                    "2:",
                    "pause",
                    "cmp byte ptr [{done}], 0",
                    "jne 3f",
                    "rdtsc",
                    "shl rdx, 32",
                    "or rax, rdx",
                    "cmp rax, {end}",
                    "jb 2b",
                    "3:",
                    end = inout(reg) ticks => _,
                    done = in(reg) done.as_ptr(),
        out("rax") _,
                    out("rdx") _,
                    options(nostack, readonly),
                );
    }
    done.load(Ordering::Relaxed)
}

/// The same with calls.
fn hog_with_calls(done: &AtomicBool, ticks: u64) -> bool {
    let start = arch::cputicks();
    while arch::cputicks() - start < ticks {
        if looks_at(done) {
            return true;
        }
    }
    looks_at(done)
}

#[inline(never)]
fn looks_at(done: &AtomicBool) -> bool {
    black_box(done).load(Ordering::Relaxed)
}

/// Long enough for any promise to be kept, on the slowest machine.
fn patience_ticks() -> u64 {
    arch::ns_to_cputicks(20_000_000_000)
}

/// Some slices.
fn a_while_ticks() -> u64 {
    arch::ns_to_cputicks(100_000_000)
}

/// Counts up, a millisecond at a time, until told to stop; sets `done` at its fifth step.
fn witness(wg: &WaitGroup, done: &Arc<AtomicBool>, stop: &Arc<AtomicBool>) -> Arc<AtomicUsize> {
    let steps = Arc::new(AtomicUsize::new(0));
    let (done, stop, counter) = (done.clone(), stop.clone(), steps.clone());
    wg.go(move || {
        while !stop.load(Ordering::Relaxed) {
            time::sleep(Duration::from_millis(1));
            if counter.fetch_add(1, Ordering::Relaxed) == 4 {
                done.store(true, Ordering::Relaxed);
            }
        }
    });
    steps
}

/// On one P: a hog and a witness. How far the witness came while the hog ran.
fn witnessed(hog: fn(&AtomicBool, u64) -> bool, ticks: u64) -> usize {
    let _one = Procs::new(1);
    let (done, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let wg = WaitGroup::new();
    let steps = witness(&wg, &done, &stop);
    while steps.load(Ordering::Relaxed) == 0 {
        time::sleep(Duration::from_millis(1)); // the witness is under way
    }
    // No call between the two looks but the hog's.
    let before = steps.load(Ordering::Relaxed);
    hog(&done, ticks);
    let after = steps.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    wg.wait();
    after - before
}

fn endless_without_calls(done: &AtomicBool, ticks: u64) -> bool {
    hog_without_calls(done, ticks)
}

#[gosched::test]
fn a_loop_without_calls() {
    match preempt::mode() {
        Mode::Async => {
            assert!(
                witnessed(endless_without_calls, patience_ticks()) >= 3,
                "not preempted"
            );
        }
        // The hog's own entry is a safe point.
        Mode::Coop => assert!(
            witnessed(endless_without_calls, a_while_ticks()) <= 1,
            "preempted"
        ),
        Mode::Off => assert_eq!(
            witnessed(endless_without_calls, a_while_ticks()),
            0,
            "preempted"
        ),
    }
}

#[gosched::test]
fn a_loop_with_calls() {
    match preempt::mode() {
        Mode::Async | Mode::Coop => {
            assert!(
                witnessed(hog_with_calls, patience_ticks()) >= 3,
                "not preempted"
            );
        }
        Mode::Off => assert_eq!(witnessed(hog_with_calls, a_while_ticks()), 0, "preempted"),
    }
}

/// Go's `TestAsyncPreempt`: an endless empty loop, and one with stores and a spill, on one P with
/// the goroutine that ends them.
#[gosched::test]
fn several_loops_without_calls_share_one_p() {
    if !applies(preempt::mode() == Mode::Async, "preempt=async") {
        return;
    }
    let _one = Procs::new(1);
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicUsize::new(0));
    let wg = WaitGroup::new();
    for _ in 0..4 {
        let (done, ended) = (done.clone(), ended.clone());
        wg.go(move || {
            ended.fetch_add(
                usize::from(hog_without_calls(&done, patience_ticks())),
                Ordering::Relaxed,
            );
        });
    }
    for _ in 0..5 {
        runtime::gosched();
    }
    done.store(true, Ordering::Relaxed);
    wg.wait();
    assert_eq!(
        ended.load(Ordering::Relaxed),
        4,
        "the hogs ended before they were told"
    );
}

/// A hog on every P; goroutines that sleep wake all the same.
#[gosched::test]
fn sleepers_wake_while_every_cpu_is_hogged() {
    const SLEEPERS: usize = 10;
    const SLEEPS: usize = 10;
    let hog = match preempt::mode() {
        Mode::Async => endless_without_calls,
        Mode::Coop => hog_with_calls,
        Mode::Off => {
            applies(false, "preemption");
            return;
        }
    };
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::new(AtomicUsize::new(0));
    let (hogs, sleepers) = (WaitGroup::new(), WaitGroup::new());
    let ps = runtime::gomaxprocs(0);
    for _ in 0..ps {
        let (done, told) = (done.clone(), told.clone());
        hogs.go(move || {
            told.fetch_add(
                usize::from(hog(&done, 2 * patience_ticks())),
                Ordering::Relaxed,
            );
        });
    }
    for _ in 0..SLEEPERS {
        sleepers.go(move || {
            for _ in 0..SLEEPS {
                time::sleep(Duration::from_millis(1));
            }
        });
    }
    sleepers.wait();
    done.store(true, Ordering::Relaxed);
    hogs.wait();
    assert_eq!(
        told.load(Ordering::Relaxed),
        ps,
        "a hog ended before the sleepers did"
    );
}

/// Go's `TestTimerFairness`: goroutines that do nothing but hand over to each other, and so never
/// leave the scheduler idle, cannot keep a timer from firing.
#[gosched::test]
fn channel_traffic_does_not_starve_a_timer() {
    const EXCHANGES: usize = 20_000_000;
    let stop = Arc::new(AtomicBool::new(false));
    let wg = WaitGroup::new();
    for _ in 0..2 * runtime::gomaxprocs(0) {
        let (tx, rx) = chan::bounded(0);
        let stop = stop.clone();
        wg.go(move || {
            for i in 0..EXCHANGES {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                tx.send(i).expect("the receiver stays");
            }
            panic!("the timer did not fire during {EXCHANGES} exchanges");
        });
        wg.go(move || {
            let in_order = rx.into_iter().enumerate().all(|(i, value)| i == value);
            assert!(in_order, "a value was lost");
        });
    }
    time::sleep(Duration::from_millis(20));
    stop.store(true, Ordering::Relaxed);
    wg.wait();
}

/// Go's `TestPreemption`: two goroutines hand a turn over, each spinning through calls until it is
/// its own.
#[gosched::test]
fn two_spinners_take_turns() {
    const TURNS: usize = 10;
    if preempt::mode() == Mode::Off && !has_procs(2) {
        return;
    }
    let turn = Arc::new(AtomicUsize::new(0));
    let wg = WaitGroup::new();
    for me in 0..2 {
        let turn = turn.clone();
        wg.go(move || {
            let end = arch::cputicks() + patience_ticks();
            for i in 0..TURNS {
                while is_others(&turn, 2 * i + me) {
                    assert!(arch::cputicks() < end, "goroutine {me} waits for turn {i}");
                }
                turn.store(2 * i + me + 1, Ordering::Relaxed);
            }
        });
    }
    wg.wait();
    assert_eq!(turn.load(Ordering::Relaxed), 2 * TURNS);
}

#[inline(never)]
fn is_others(turn: &AtomicUsize, mine: usize) -> bool {
    black_box(turn).load(Ordering::Relaxed) != mine
}

/// A call, so that there is a safe point.
#[inline(never)]
fn have_all(counts: &[AtomicU64], wanted: u64) -> bool {
    counts.iter().all(|n| n.load(Ordering::Relaxed) >= wanted)
}

/// Two hogs on one P get about the same share of it.
#[gosched::test]
fn two_hogs_share_a_p_evenly() {
    if !applies(preempt::mode() != Mode::Off, "preemption") {
        return;
    }
    const TURNS: u64 = 100;
    let _one = Procs::new(1);
    let _slice = Slice::of_us(1000);
    let counts: Arc<[AtomicU64]> = (0..2).map(|_| AtomicU64::new(0)).collect();
    let turns: Arc<[AtomicU64]> = (0..2).map(|_| AtomicU64::new(0)).collect();
    let last = Arc::new(AtomicUsize::new(2));
    let wg = WaitGroup::new();
    for me in 0..2 {
        let (counts, turns, last) = (counts.clone(), turns.clone(), last.clone());
        wg.go(move || {
            let end = arch::cputicks() + patience_ticks();
            while !have_all(&turns, TURNS) && arch::cputicks() < end {
                counts[me].fetch_add(1, Ordering::Relaxed);
                if last.swap(me, Ordering::Relaxed) != me {
                    turns[me].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    wg.wait();
    let turns: Vec<u64> = turns.iter().map(|n| n.load(Ordering::Relaxed)).collect();
    assert!(turns.iter().all(|n| *n >= TURNS), "turns: {turns:?}");
    let counts: Vec<u64> = counts.iter().map(|n| n.load(Ordering::Relaxed)).collect();
    let ratio = counts[0].max(counts[1]) / counts[0].min(counts[1]).max(1);
    assert!(ratio < 4, "work done: {counts:?}");
}

/// Preemptions so far, of both kinds.
fn preemptions() -> u64 {
    runtime::stats()
        .ps
        .iter()
        .map(|p| p.preempt_taken + p.preempt_async)
        .sum()
}

/// With preemption off a goroutine keeps its CPU for many slices, and then gives it up.
#[gosched::test]
fn preempt_off_holds_until_its_guard_goes() {
    let _one = Procs::new(1);
    let (done, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let wg = WaitGroup::new();
    let steps = witness(&wg, &done, &stop);
    while steps.load(Ordering::Relaxed) == 0 {
        time::sleep(Duration::from_millis(1));
    }
    let guard = runtime::preempt_off();
    let before = steps.load(Ordering::Relaxed);
    {
        let _nested = runtime::preempt_off();
        hog_with_calls(&stop, a_while_ticks());
    }
    hog_without_calls(&stop, a_while_ticks());
    assert_eq!(steps.load(Ordering::Relaxed), before, "preempted");
    let before = preemptions();
    // A safe point that must not yield takes the poison off; the end of the guard puts it back.
    runtime::safepoint();
    drop(guard);
    // The request came long ago: the first safe point takes it, if no interrupt is quicker.
    runtime::safepoint();
    if preempt::mode() != Mode::Off {
        assert!(preemptions() > before, "the request was forgotten");
    }
    stop.store(true, Ordering::Relaxed);
    wg.wait();
}

/// The CPU does not change under `preempt_off`, whatever asks for it.
#[gosched::test]
fn preempt_off_keeps_the_cpu() {
    const ROUNDS: usize = 2000;
    let _slice = Slice::of_us(100);
    let wg = WaitGroup::new();
    for _ in 0..3 * runtime::gomaxprocs(0) {
        wg.go(|| {
            for _ in 0..ROUNDS {
                let guard = runtime::preempt_off();
                let cpu = runtime::cpu();
                for _ in 0..100 {
                    runtime::safepoint();
                    assert_eq!(runtime::cpu(), cpu);
                }
                drop(guard);
                runtime::safepoint();
            }
        });
    }
    wg.wait();
}

/// Arithmetic of ordinary code is not disturbed by preemption at any instruction.
#[gosched::test]
fn arithmetic_survives_short_slices() {
    fn work(seed: u64) -> (u64, u64) {
        let (mut x, mut sum) = (seed, 0.0f64);
        for i in 1..200_000u32 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(u64::from(i))
                .rotate_left(9);
            sum += 1.0 / f64::from(i) + (x >> 40) as f64;
        }
        (x, sum.to_bits())
    }
    let _slice = Slice::of_us(100);
    let wg = WaitGroup::new();
    for n in 0..4 * runtime::gomaxprocs(0) as u64 {
        wg.go(move || {
            let guard = runtime::preempt_off();
            let wanted = work(black_box(n));
            drop(guard);
            for _ in 0..5 {
                assert_eq!(work(black_box(n)), wanted);
            }
        });
    }
    wg.wait();
}

gosched::test_main!();

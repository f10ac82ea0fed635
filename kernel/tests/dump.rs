//! Dumps of goroutines while they run: each is shown at one instant of its own, with its frames,
//! and goes on as if nothing had been.
//!
//! What each test would catch: a running goroutine without frames, or with those of another one
//! (`running_ones_have_frames`); a dump that hangs on, or disturbs, goroutines that are being
//! switched, started and ended (`dumps_among_work`); one whose memory or time grows with the number
//! of goroutines that stand in few places (`ten_thousand`).
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Slice, applies, await_waiting, has_steady_clock, rounds};
use gosched::arch;
use gosched::chan::{self, Receiver};
use gosched::go;
use gosched::mem;
use gosched::observe::living;
use gosched::runtime;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};

/// The goroutine that has this number in a dump, its header and all its rows.
fn block(dump: &str, goid: u64) -> Option<&str> {
    let header = alloc::format!("goroutine {goid} [");
    dump.split("\n\n").find(|block| block.starts_with(&header))
}

/// Spins without a call until `stop`, three frames deep.
#[inline(never)]
fn outer(stop: &AtomicBool, started: &AtomicUsize) {
    black_box(middle(stop, started));
}

#[inline(never)]
fn middle(stop: &AtomicBool, started: &AtomicUsize) -> u64 {
    started.fetch_add(1, Ordering::Relaxed);
    black_box(inner(stop)) + 1
}

#[inline(never)]
fn inner(stop: &AtomicBool) -> u64 {
    let mut turns = 0;
    while !stop.load(Ordering::Relaxed) {
        turns += 1;
    }
    turns
}

/// How long dumps are taken of those that run.
const ENOUGH: Duration = Duration::from_secs(15);

#[gosched::test]
fn running_ones_have_frames() {
    let procs = runtime::gomaxprocs(0);
    // Where each CPU has an interrupt due when its turn comes, one that is asked to stand may not
    // get out of them in its time.
    if !applies(procs > 1, "two Ps") || !has_steady_clock() {
        return;
    }
    // Nobody is preempted, so that they run when the dump looks.
    let _slice = Slice::of_us(60_000_000);
    let stop = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicUsize::new(0));
    let done = WaitGroup::new();
    let mut goids = Vec::new();
    for _ in 1..procs {
        let (stop, started, done) = (stop.clone(), started.clone(), done.clone());
        done.add(1);
        let spinner = gosched::spawn(move || {
            outer(&stop, &started);
            done.done();
        });
        goids.push(spinner.goroutine().id());
    }
    while started.load(Ordering::Relaxed) < procs - 1 {
        time::sleep(Duration::from_micros(200));
    }
    let (mut running, mut dumps) = (0, 0);
    let start = Instant::now();
    // Where CPUs take turns, as in a replay, the spinners use up theirs, and a dump takes seconds.
    while dumps < rounds(20) && (dumps < 2 || start.elapsed() < ENOUGH) {
        dumps += 1;
        let dump = runtime::stack(true);
        for &goid in &goids {
            let block = block(&dump, goid).expect("it is in the dump");
            // A timer that is due may have preempted it.
            running += usize::from(block.contains("[running]:\n"));
            let frames = ["inner(...)\n", "middle(...)\n", "outer(...)\n"];
            let mut at = 0;
            for frame in frames {
                let found = block[at..].find(frame);
                at += found.unwrap_or_else(|| panic!("no {frame:?} in {block}"));
            }
            assert!(
                block.contains("created by dump::running_ones_have_frames"),
                "{block}"
            );
        }
        assert!(!dump.contains("unavailable"), "{dump}");
    }
    assert!(running >= dumps, "{running} times one was seen running");
    stop.store(true, Ordering::Relaxed);
    done.wait();
}

#[gosched::test]
fn dumps_among_work() {
    let _slice = Slice::of_us(200);
    let stop = Arc::new(AtomicBool::new(false));
    let done = WaitGroup::new();
    for _ in 0..2 * runtime::num_cpu() {
        let (stop, done) = (stop.clone(), done.clone());
        done.add(1);
        go(move || {
            let mut sum = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let (sender, receiver) = chan::bounded(1);
                let child = gosched::spawn(move || receiver.iter().sum::<u64>());
                for i in 0..20 {
                    sender.send(i).expect("the child reads");
                }
                drop(sender);
                sum += child.join().expect("the child ends");
                assert!(sum.is_multiple_of(190));
            }
            done.done();
        });
    }
    let end = arch::nanotime() + 5_000_000_000;
    let (mut dumps, mut blocks, mut unavailable) = (0, 0, 0);
    while dumps < rounds(300) && arch::nanotime() < end {
        let dump = runtime::stack(true);
        for block in dump.split("\n\n") {
            assert!(block.starts_with("goroutine "), "{block:?} in {dump}");
            blocks += 1;
        }
        unavailable += dump.matches("stack unavailable").count();
        dumps += 1;
    }
    stop.store(true, Ordering::Relaxed);
    done.wait();
    gosched::println!("{dumps} dumps of {blocks} goroutines, {unavailable} unavailable");
    assert!(unavailable <= blocks / 20 + 1);
}

#[inline(never)]
fn waits_here(closed: &Receiver<()>) {
    let result = closed.recv();
    black_box(result.is_err());
}

#[inline(never)]
fn waits_there(closed: &Receiver<()>, depth: u32) {
    if depth > 0 {
        waits_there(closed, depth - 1);
    } else {
        waits_here(closed);
    }
    black_box(depth);
}

#[gosched::test]
fn ten_thousand() {
    const N: usize = 10_000;
    if !applies(mem::usage().available > 100 << 20, "100 MiB") {
        return;
    }
    let (closes, closed) = chan::bounded::<()>(0);
    let done = WaitGroup::new();
    for i in 0..N {
        let (closed, done) = (closed.clone(), done.clone());
        done.add(1);
        go(move || {
            waits_there(&closed, i as u32 % 8);
            done.done();
        });
    }
    await_waiting(N, "chan receive");
    let used = mem::usage().heap_used;
    let (mut bytes, mut headers, mut largest, mut most) = (0, 0, 0, 0);
    let start = arch::nanotime();
    let whole = living::all(&mut |text| {
        assert!(text.ends_with('\n'));
        bytes += text.len();
        largest = largest.max(text.len());
        headers += text.matches("goroutine ").count();
        most = most.max(mem::usage().heap_used);
        true
    });
    let ns = arch::nanotime() - start;
    gosched::println!(
        "{N} goroutines, {bytes} bytes: {} us without the console",
        ns / 1000
    );
    assert!(whole && headers >= 2 * N, "{headers}");
    assert!(largest < 64 << 10, "{largest}");
    assert!(
        most < used + (2 << 20),
        "{most} bytes of heap, {used} before"
    );
    // A dump ends when it is told to.
    let mut pieces = 0;
    let whole = living::all(&mut |_| {
        pieces += 1;
        pieces < 3
    });
    assert!(!whole && pieces == 3);
    drop(closes);
    done.wait();
}

#[gosched::test]
fn one_by_its_number() {
    let own = living::one(runtime::goid()).expect("the caller is alive");
    assert!(
        own.contains("dump::one_by_its_number(...)\n\tkernel/tests/dump.rs:"),
        "{own}"
    );
    assert!(living::one(u64::MAX).is_none());
    let (closes, closed) = chan::bounded::<()>(0);
    let waiter = gosched::spawn(move || waits_there(&closed, 200));
    await_waiting(1, "chan receive");
    let text = living::one(waiter.goroutine().id()).expect("it waits");
    let frames = text.matches("waits_there(...)").count();
    assert!(
        text.contains(" frames elided...\n") && frames > 90 && frames < 101,
        "{text}"
    );
    let header: String = text.lines().take(1).collect();
    assert!(header.contains("[chan receive]"), "{header}");
    drop(closes);
}

gosched::test_main!();

//! Coroutines: `coro::Coroutine` and `coro::pull`.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::watch::{CountsDrops, count_of};
use common::{applies, eventually, rounds};
use gosched::coro::{Coroutine, Yielder, pull, pull_scoped};
use gosched::sched::preempt::{self, Mode};
use gosched::sync::Mutex;
use gosched::time::{self, Duration};
use gosched::{Builder, chan, go, goroutine_local, runtime, scope, spawn, yield_now};

/// All goroutines that a test made are gone; fewer if one of the test before was still to end.
fn assert_none_left(before: usize) {
    assert!(
        eventually(|| runtime::num_goroutine() <= before),
        "{} goroutines, {before} before\n{}",
        runtime::num_goroutine(),
        runtime::stack(true)
    );
}

/// TestPull: values in order, then none for ever; for each number of `next` before the stop.
/// A switch to the wrong side, a value twice, a goroutine that stays.
#[gosched::test]
fn pull_gives_all_values_in_order() {
    let before = runtime::num_goroutine();
    for end in 0..=5 {
        let ended = CountsDrops::counter();
        let end_of = ended.clone();
        let mut numbers = pull(move |yield_| {
            for i in 1..=3 {
                if !yield_(i) {
                    break;
                }
            }
            end_of.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(runtime::num_goroutine(), before + 1);
        for i in 1..=end {
            assert_eq!(numbers.next(), (i <= 3).then_some(i));
        }
        assert_eq!(runtime::num_goroutine(), before + usize::from(end < 4));
        numbers.stop();
        for _ in 0..2 {
            assert_eq!(numbers.next(), None);
            numbers.stop();
        }
        drop(numbers);
        assert_eq!(count_of(&ended), usize::from(end > 0));
    }
    assert_none_left(before);
}

/// TestPullImmediateStop: a body that begins although it was stopped, or a closure that is leaked.
#[gosched::test]
fn stopped_before_the_first_next_it_never_begins() {
    let before = runtime::num_goroutine();
    let drops = CountsDrops::counter();
    for stops in [true, false] {
        let owned = CountsDrops(drops.clone());
        let mut never = pull::<u32, _>(move |_| {
            let _owned = &owned;
            unreachable!("the body ran")
        });
        if stops {
            never.stop();
            assert_eq!(never.next(), None);
        }
    }
    assert_eq!(count_of(&drops), 2);
    assert_none_left(before);
}

/// A dropped coroutine whose goroutine, or what its frames own, stays for ever.
#[gosched::test]
fn dropping_a_suspended_one_ends_it() {
    let before = runtime::num_goroutine();
    let drops = CountsDrops::counter();
    for depth in 0..200 {
        let owned = CountsDrops(drops.clone());
        let mut coroutine = Coroutine::new(move |yielder: &Yielder<CountsDrops>| {
            let second = CountsDrops(owned.0.clone());
            while yielder.yield_(CountsDrops(owned.0.clone())) {}
            // Refused at once, and dropped.
            assert!(!yielder.yield_(CountsDrops(owned.0.clone())));
            drop(second);
        });
        for _ in 0..depth % 3 {
            assert!(coroutine.resume().is_some());
        }
    }
    // Yielded values, and for those that began the second, the refused one, and the owned.
    let (begun, yielded) = (67 + 66, 67 + 2 * 66);
    assert_eq!(count_of(&drops), 200 + 2 * begun + yielded);
    assert_eq!(Arc::strong_count(&drops), 1);
    assert_none_left(before);
}

/// TestPullGoexit: a goexit that ends the wrong one, or leaves whoever resumed waiting for ever.
#[gosched::test]
fn goexit_in_the_body_is_the_callers_too() {
    fn deep(n: usize) {
        match n {
            0 => runtime::goexit(),
            _ => {
                deep(n - 1);
                core::hint::black_box(n);
            }
        }
    }
    let before = runtime::num_goroutine();
    for at in 0..3 {
        let reached = CountsDrops::counter();
        let reach = reached.clone();
        let caller = spawn(move || {
            let mut exits = Coroutine::new(move |yielder| {
                for i in 0..at {
                    yielder.yield_(i);
                }
                deep(10);
            });
            for _ in 0..5 {
                exits.resume();
                reach.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(caller.join().is_err(), "the caller went on");
        assert_eq!(count_of(&reached), at);
    }
    // Also in a stop, where the body's last code runs.
    let stopper = spawn(|| {
        let mut exits = pull(|yield_| {
            yield_(1);
            runtime::goexit()
        });
        exits.next();
        exits.stop();
    });
    assert!(stopper.join().is_err());
    assert_none_left(before);
}

/// After its body's goexit it is done, for another goroutine that has it.
#[gosched::test]
fn after_goexit_it_is_done() {
    let shared = Arc::new(Mutex::new(None));
    let slot = shared.clone();
    // The value is put back before the resume, by a pointer-free detour: the handle goes over a
    // channel from within the body.
    let (tx, rx) = chan::bounded(1);
    let owner = spawn(move || {
        let mut outer = Coroutine::new(move |yielder: &Yielder<u32>| {
            let mut inner = Coroutine::new(|_: &Yielder<u32>| ());
            inner.resume();
            tx.send(inner).unwrap();
            yielder.yield_(1);
            runtime::goexit()
        });
        outer.resume();
        outer.resume();
    });
    assert!(owner.join().is_err());
    *slot.lock() = rx.recv().ok();
    let mut inner = shared.lock().take().unwrap();
    assert!(inner.is_done());
    assert_eq!(inner.resume(), None);
}

/// What the body returns: lost, or there before it has returned.
#[gosched::test]
fn the_result_comes_after_the_last_value() {
    let mut sums = Coroutine::new(|yielder| {
        let mut sum = 0;
        for i in 1..=100u64 {
            sum += i;
            yielder.yield_(i);
        }
        format!("sum {sum}")
    });
    let mut yielded = 0;
    while let Some(i) = sums.resume() {
        assert_eq!(sums.take_result(), None);
        yielded += i;
    }
    assert!(sums.is_done());
    assert_eq!(sums.take_result(), Some(format!("sum {yielded}")));
    assert_eq!(sums.take_result(), None);
}

/// Values of odd shapes: nothing, a page, aligned.
#[gosched::test]
fn values_of_all_sizes() {
    #[repr(align(4096))]
    struct Aligned([u8; 4096]);
    let mut units = pull(|yield_| while yield_(()) {});
    assert_eq!(units.by_ref().take(10).count(), 10);
    let mut pages = pull(|yield_| {
        for i in 0..=255 {
            yield_(Aligned([i; 4096]));
        }
    });
    for i in 0..=255 {
        let page = pages.next().unwrap();
        assert_eq!((&raw const page).addr() % 4096, 0);
        assert!(page.0.iter().all(|byte| *byte == i));
    }
    assert!(pages.next().is_none());
}

/// Recursion with a coroutine for each node of a tree (Go: the example of same-fringe): a deep
/// chain of resumes, each from within another body.
#[gosched::test]
fn coroutines_resume_coroutines() {
    fn walk(from: u32, to: u32, yield_: &mut dyn FnMut(u32) -> bool) {
        if to - from == 1 {
            yield_(from);
            return;
        }
        let middle = from + (to - from) / 2;
        for half in [(from, middle), (middle, to)] {
            for leaf in pull(move |y| walk(half.0, half.1, y)) {
                if !yield_(leaf) {
                    return;
                }
            }
        }
    }
    let before = runtime::num_goroutine();
    let leaves: Vec<u32> = pull(|y| walk(0, 256, y)).collect();
    assert!(leaves.into_iter().eq(0..256));
    assert_eq!(pull(|y| walk(0, 256, y)).take(10).last(), Some(9));
    assert_none_left(before);
}

/// A body that waits for others: its resumer waits with it, other goroutines run.
#[gosched::test]
fn the_body_may_block() {
    let (tx, rx) = chan::bounded(0);
    go(move || {
        for i in 0..100u32 {
            if i % 10 == 0 {
                time::sleep(Duration::from_micros(200));
            }
            tx.send(i).unwrap();
        }
    });
    let doubled = pull(move |yield_| {
        for i in &rx {
            yield_now();
            if !yield_(2 * i) {
                return;
            }
        }
    });
    assert!(doubled.eq((0..100).map(|i| 2 * i)));
}

/// Both sides say in a dump that they wait for the other.
#[gosched::test]
fn a_dump_says_coroutine() {
    let (tx, rx) = chan::bounded::<()>(0);
    let suspended = Coroutine::new(|yielder: &Yielder<u8>| {
        yielder.yield_(0);
    });
    let resumer = Builder::new()
        .name("resumer")
        .spawn(move || {
            Coroutine::new(move |_: &Yielder<u8>| {
                let _ = rx.recv();
            })
            .resume()
        })
        .unwrap();
    let waits = format!("goroutine {} [coroutine", resumer.id());
    assert!(eventually(|| runtime::stack(true).contains(&waits)));
    let dump = runtime::stack(true);
    assert!(dump.matches("[coroutine").count() >= 2, "{dump}");
    drop(tx);
    assert_eq!(resumer.join().unwrap(), None);
    drop(suspended);
}

/// A coroutine that goes from goroutine to goroutine, and from CPU to CPU: what the body keeps on
/// its stack must be seen by the next CPU.
#[gosched::test]
fn it_may_be_resumed_by_anybody() {
    const WORKERS: usize = 8;
    const EACH: usize = 2000;
    let numbers = Mutex::new(Coroutine::new(|yielder| {
        let mut next = 0usize;
        while yielder.yield_(next) {
            next += 1;
        }
    }));
    let seen: Vec<AtomicUsize> = (0..WORKERS * EACH).map(|_| AtomicUsize::new(0)).collect();
    scope(|s| {
        for _ in 0..WORKERS {
            s.spawn(|| {
                for i in 0..EACH {
                    let number = numbers.lock().resume().unwrap();
                    seen[number].fetch_add(1, Ordering::Relaxed);
                    if i % 32 == 0 {
                        yield_now();
                    }
                }
            });
        }
    });
    assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
}

/// A million switches on each of several goroutines, with preemption and stealing in between: a
/// switch that is preempted half-way, or a goroutine that runs on two CPUs.
#[gosched::test(timeout_s = 180)]
fn a_million_switches() {
    const GOROUTINES: u64 = 4;
    let each = rounds(125_000) as u64;
    scope(|s| {
        for id in 0..GOROUTINES {
            s.spawn(move || {
                let squares = pull(move |yield_| {
                    for i in 0..each {
                        if !yield_(i * i + id) {
                            return;
                        }
                    }
                });
                let mut count = 0;
                for (i, square) in (0..).zip(squares) {
                    assert_eq!(square, i * i + id);
                    count += 1;
                }
                assert_eq!(count, each);
            });
        }
    });
}

/// Two that do nothing but switch still share the CPU, and stop with the world: a switch that
/// throws requests for preemption away keeps both waiting for ever.
#[gosched::test]
fn a_pair_that_switches_can_be_preempted() {
    if !applies(preempt::mode() != Mode::Off, "preemption") {
        return;
    }
    static STOP: AtomicUsize = AtomicUsize::new(0);
    STOP.store(0, Ordering::Relaxed);
    let procs = runtime::gomaxprocs(0);
    let pairs: Vec<_> = (0..2 * procs)
        .map(|_| {
            spawn(|| {
                let mut switches = 0u64;
                let mut endless = Coroutine::new(|yielder| while yielder.yield_(()) {});
                while STOP.load(Ordering::Relaxed) == 0 {
                    endless.resume();
                    switches += 1;
                }
                switches
            })
        })
        .collect();
    for n in [1, procs, 1, procs] {
        runtime::gomaxprocs(n);
        time::sleep(Duration::from_millis(20));
        let _ = runtime::stack(true);
    }
    STOP.store(1, Ordering::Relaxed);
    for pair in pairs {
        assert!(pair.join().unwrap() > 0, "a pair never ran");
    }
}

/// TestCoroLockOSThread: the body runs where its caller is locked, may lock and unlock more often
/// between two yields, and nobody else runs there.
#[gosched::test]
fn the_body_is_locked_where_its_caller_is() {
    runtime::lock_os_thread();
    let cpu = runtime::cpu();
    let mut body = Coroutine::new(|yielder: &Yielder<usize>| {
        for i in 0..100 {
            if i % 10 == 0 {
                time::sleep(Duration::from_micros(50));
            } else {
                yield_now();
            }
            runtime::lock_os_thread();
            yield_now();
            runtime::unlock_os_thread();
            yielder.yield_(runtime::cpu());
        }
    });
    while let Some(there) = body.resume() {
        assert_eq!(there, cpu, "the body ran elsewhere");
        assert_eq!(runtime::cpu(), cpu);
    }
    for _ in 0..50 {
        yield_now();
        assert_eq!(runtime::cpu(), cpu, "the lock went with the body");
    }
    runtime::unlock_os_thread();
}

/// As with a lock, so with a pin.
#[gosched::test]
fn the_body_is_pinned_where_its_caller_is() {
    for cpu in 0..runtime::num_cpu() {
        let guard = runtime::pin(cpu);
        let mut here = pull(|yield_| {
            loop {
                yield_now();
                if !yield_(runtime::cpu()) {
                    return;
                }
            }
        });
        assert!(here.by_ref().take(20).all(|there| there == cpu));
        drop(guard);
    }
}

goroutine_local!(static MINE: Cell<u32> = const { Cell::new(0) });

/// The body is a goroutine of its own: its locals are not the caller's, and are dropped at its end.
#[gosched::test]
fn the_body_has_locals_of_its_own() {
    goroutine_local!(static LAST: Cell<Option<CountsDrops>> = const { Cell::new(None) });
    let drops = CountsDrops::counter();
    let local = CountsDrops(drops.clone());
    MINE.set(1);
    let mut body = Coroutine::new(move |yielder: &Yielder<u32>| {
        LAST.set(Some(local));
        yielder.yield_(MINE.get());
        MINE.set(2);
        yielder.yield_(MINE.get());
    });
    assert_eq!((body.resume(), MINE.get()), (Some(0), 1));
    assert_eq!((body.resume(), MINE.get()), (Some(2), 1));
    assert_eq!(count_of(&drops), 0);
    assert_eq!(body.resume(), None);
    assert_eq!(count_of(&drops), 1);
}

/// What is lent to a scoped pull is given back before it returns, however far the function came.
#[gosched::test]
fn a_scoped_pull_may_borrow() {
    let text = String::from("the quick brown fox");
    for taken in 0..=4 {
        let mut said = 0;
        let words: Vec<&str> = pull_scoped(
            |yield_| {
                text.split(' ').all(|word| {
                    said += 1;
                    yield_(word)
                });
            },
            |words| words.take(taken).collect(),
        );
        assert!(words.iter().copied().eq(text.split(' ').take(taken)));
        assert_eq!(said, taken);
    }
}

/// One that is left by goexit ends its function before the stack that it borrows from goes.
#[gosched::test]
fn a_scoped_pull_ends_with_its_goroutine() {
    let before = runtime::num_goroutine();
    let ended = CountsDrops::counter();
    let end_of = ended.clone();
    let left = spawn(move || {
        let numbers = [1, 2, 3];
        pull_scoped(
            |yield_| {
                let all = numbers.iter().all(yield_);
                end_of.fetch_add(1 + usize::from(all), Ordering::Relaxed);
            },
            |values| {
                assert_eq!(values.next(), Some(&1));
                runtime::goexit()
            },
        )
    });
    assert!(left.join().is_err());
    assert_eq!(count_of(&ended), 1);
    assert_none_left(before);
}

gosched::test_main!();

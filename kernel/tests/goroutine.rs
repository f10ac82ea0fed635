//! Goroutines with std's names: handles, scopes, the builder.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::watch::{CountsDrops, count_of, until_it_waits};
use common::{eventually, rounds};
use gosched::time::{self, Duration, Instant};
use gosched::{Builder, Exited, Scope, chan, current, park, runtime, scope, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);

// ---- join

/// A value that is lost, doubled, or read before it is whole.
#[gosched::test]
fn join_gives_every_value() {
    let handles: Vec<_> = (0..1000u64).map(|i| spawn(move || [i; 40])).collect();
    for (i, handle) in (0..).zip(handles) {
        assert_eq!(handle.join().unwrap(), [i; 40]);
    }
}

/// A join that does not wait, or is not woken by the end.
#[gosched::test]
fn join_waits_for_the_end() {
    let (tx, rx) = chan::bounded(0);
    let slow = spawn(move || rx.recv().unwrap());
    let id = slow.id();
    assert!(!slow.is_finished());
    let joiner = spawn(move || slow.join().unwrap());
    until_it_waits(joiner.id(), "goroutine join");
    until_it_waits(id, "chan receive");
    tx.send(7).unwrap();
    assert_eq!(joiner.join().unwrap(), 7);
}

/// A limit that fires early, loses the handle, or loses the value afterwards.
#[gosched::test]
fn join_timeout_gives_the_handle_back() {
    let parked = spawn(|| {
        park();
        "done"
    });
    let start = Instant::now();
    let parked = parked.join_timeout(5 * MS).unwrap_err();
    assert!(start.elapsed() >= 5 * MS);
    let parked = parked.join_timeout(Duration::ZERO).unwrap_err();
    parked.goroutine().unpark();
    let long = Duration::from_secs(3600);
    assert_eq!(parked.join_timeout(long).unwrap().unwrap(), "done");
}

/// `is_finished` before the end, or never.
#[gosched::test]
fn is_finished_follows_the_end() {
    let parked = spawn(park);
    until_it_waits(parked.id(), "park");
    assert!(!parked.is_finished());
    parked.goroutine().unpark();
    assert!(eventually(|| parked.is_finished()));
    parked.join().unwrap();
}

/// A goroutine that goexits and leaves its joiner waiting for ever, or looks as if it had returned.
#[gosched::test]
fn goexit_is_an_error_of_join() {
    fn deep(n: usize) -> usize {
        match n {
            0 => runtime::goexit(),
            _ => black_box(deep(n - 1)) + 1,
        }
    }
    let error = spawn(|| deep(20)).join().unwrap_err();
    assert!(error.is::<Exited>());
    let handle = spawn(|| -> () { runtime::goexit() });
    assert!(eventually(|| handle.is_finished()));
}

/// The value of a goroutine whose handle is dropped: leaked, or dropped twice; before and after the
/// end.
#[gosched::test]
fn a_value_that_nobody_takes_is_dropped_once() {
    const EACH: usize = 500;
    let drops = CountsDrops::counter();
    for i in 0..EACH {
        let value = CountsDrops(drops.clone());
        let handle = spawn(move || value);
        if i % 2 == 0 {
            assert!(eventually(|| handle.is_finished()));
        }
        drop(handle);
    }
    assert!(eventually(|| count_of(&drops) == EACH));
    assert!(eventually(|| Arc::strong_count(&drops) == 1));
    assert_eq!(count_of(&drops), EACH);
}

/// Many wait for many: a wake-up that goes to the wrong joiner, at any number of CPUs.
#[gosched::test]
fn a_tree_of_joins() {
    fn sum(from: u64, to: u64) -> u64 {
        if to - from == 1 {
            return from;
        }
        let middle = (from + to) / 2;
        let (left, right) = (
            spawn(move || sum(from, middle)),
            spawn(move || sum(middle, to)),
        );
        left.join().unwrap() + right.join().unwrap()
    }
    assert_eq!(sum(0, 4096), 4096 * 4095 / 2);
}

// ---- builder

/// A name that others do not see, or that outlives its goroutine into the next life of the G.
#[gosched::test]
fn names_are_shown_and_end_with_their_goroutine() {
    let name = format!("wor{}", "ker");
    let worker = Builder::new()
        .name(name.clone())
        .spawn(|| {
            park();
            current().name().map(String::from)
        })
        .unwrap();
    drop(name);
    until_it_waits(worker.id(), "park");
    let handle = worker.goroutine().clone();
    assert_eq!(
        (worker.name(), handle.name()),
        (Some("worker"), Some("worker"))
    );
    assert!(runtime::stack(true).contains("worker"));
    handle.unpark();
    assert_eq!(worker.join().unwrap().as_deref(), Some("worker"));
    for _ in 0..200 {
        assert_eq!(
            spawn(|| current().name().map(String::from)).join().unwrap(),
            None
        );
    }
    assert_eq!(handle.name(), Some("worker"));
    assert!(!runtime::stack(true).contains("worker"));
}

/// Names that are freed under a dump's eyes.
#[gosched::test]
fn dumps_read_names_while_goroutines_come_and_go() {
    static STOP: AtomicBool = AtomicBool::new(false);
    STOP.store(false, Ordering::Relaxed);
    let makers: Vec<_> = (0..3)
        .map(|maker| {
            spawn(move || {
                let mut made = 0;
                while !STOP.load(Ordering::Relaxed) {
                    let builder = Builder::new().name(format!("maker-{maker}-{made}"));
                    builder.spawn(yield_now).unwrap().join().unwrap();
                    made += 1;
                }
                made
            })
        })
        .collect();
    for _ in 0..rounds(30) {
        black_box(runtime::stack(true));
        time::sleep(MS);
    }
    STOP.store(true, Ordering::Relaxed);
    for maker in makers {
        assert!(maker.join().unwrap() > 0);
    }
}

/// A stack of the asked size that overflows, and one that is not given back.
#[gosched::test]
fn large_stacks_are_large() {
    fn deep(n: usize) -> usize {
        let room = black_box([n as u8; 1024]);
        match n {
            0 => 0,
            _ => deep(n - 1) + 1 + usize::from(black_box(&room)[0] != n as u8),
        }
    }
    for _ in 0..3 {
        let builder = Builder::new().stack_size(8 << 20);
        assert_eq!(builder.spawn(|| deep(4000)).unwrap().join().unwrap(), 4000);
    }
}

/// A failed spawn that ran its closure, dropped it twice or not at all, or counts as a goroutine.
#[gosched::test]
fn no_room_for_a_stack_is_an_error() {
    let drops = CountsDrops::counter();
    let before = runtime::num_goroutine();
    let huge = || Builder::new().name("huge").stack_size(1 << 40);
    for i in 1..=10 {
        let value = CountsDrops(drops.clone());
        let ballast = [i; 300];
        let error = huge()
            .spawn(move || {
                black_box((&value, &ballast));
                unreachable!("it must not run");
            })
            .map(|handle: gosched::JoinHandle<()>| handle.id())
            .unwrap_err();
        assert!(format!("{error}").contains("out of memory"), "{error}");
        assert_eq!(count_of(&drops), i);
        scope(|s| {
            let value = &drops;
            assert!(huge().spawn_scoped(s, move || count_of(value)).is_err());
        });
    }
    assert_eq!(Arc::strong_count(&drops), 1);
    assert_eq!(runtime::num_goroutine(), before);
}

/// The largest stacks until there is no room for one more: an error, and what ended makes room.
#[gosched::test]
fn room_used_up_is_an_error() {
    let drops = CountsDrops::counter();
    let mut before = None;
    for round in 1..=2 {
        let mut handles = Vec::new();
        loop {
            let value = CountsDrops(drops.clone());
            let spawned = Builder::new().stack_size(15 << 30).spawn(move || {
                park();
                drop(value);
            });
            match spawned {
                Ok(handle) => handles.push(handle),
                Err(_) => break,
            }
        }
        let made = handles.len();
        assert_eq!(*before.get_or_insert(made), made, "room was lost");
        assert_eq!(count_of(&drops), (round - 1) * (made + 1) + 1);
        spawn(|| ()).join().unwrap();
        for handle in handles {
            handle.goroutine().unpark();
            handle.join().unwrap();
        }
        assert_eq!(count_of(&drops), round * (made + 1));
        gosched::println!("{made} goroutines with stacks of 16 GiB of addresses");
    }
}

// ---- scope

/// A scope that ends before its goroutines: they would write to a frame that is gone.
#[gosched::test]
fn a_thousand_borrow_from_the_stack() {
    for round in 0..10 {
        let mut squares = [0usize; 1000];
        scope(|s| {
            for (i, square) in squares.iter_mut().enumerate() {
                s.spawn(move || {
                    if i % 7 == round {
                        yield_now();
                    }
                    *square = i * i + round;
                });
            }
        });
        for (i, square) in squares.into_iter().enumerate() {
            assert_eq!(square, i * i + round);
        }
    }
}

/// Goroutines that start others in the same scope, and scopes in scopes.
#[gosched::test]
fn scopes_nest_and_grow() {
    fn fan<'scope>(s: &'scope Scope<'scope, '_>, left: u32, count: &'scope AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
        if left > 0 {
            s.spawn(move || fan(s, left - 1, count));
            s.spawn(move || fan(s, left - 1, count));
        }
    }
    let count = AtomicUsize::new(0);
    scope(|s| {
        s.spawn(|| fan(s, 7, &count));
        s.spawn(|| {
            let inner = AtomicUsize::new(0);
            scope(|s| fan(s, 5, &inner));
            assert_eq!(inner.load(Ordering::Relaxed), 63);
        });
    });
    assert_eq!(count.load(Ordering::Relaxed), 255);
}

/// A joined goroutine's value, and one that is not joined, whose value borrows from the scope.
#[gosched::test]
fn scoped_values_may_borrow() {
    struct Looks<'a>(&'a AtomicUsize);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for _ in 0..200 {
        let drops = AtomicUsize::new(0);
        let text = String::from("borrowed");
        let length = scope(|s| {
            s.spawn(|| Looks(&drops));
            let taken = s.spawn(|| Looks(&drops)).join().unwrap();
            drop(taken);
            s.spawn(|| text.as_str()).join().unwrap().len()
        });
        assert_eq!((length, drops.into_inner()), (8, 2));
    }
}

/// A value whose destructor goexits: the scope would wait for its goroutine for ever.
#[gosched::test]
fn the_destructor_of_a_value_may_goexit() {
    struct Exits;
    impl Drop for Exits {
        fn drop(&mut self) {
            runtime::goexit();
        }
    }
    let before = runtime::num_goroutine();
    for _ in 0..100 {
        let left = spawn(|| {
            scope(|s| {
                s.spawn(|| Exits);
            });
        });
        assert!(left.join().is_err());
        spawn(|| Exits);
    }
    assert!(eventually(|| runtime::num_goroutine() <= before));
}

/// A goroutine that goexits within a scope gives up its stack while others still borrow from it.
#[gosched::test]
fn goexit_within_a_scope_waits_for_its_goroutines() {
    for _ in 0..20 {
        let sum = Arc::new(AtomicUsize::new(0));
        let total = sum.clone();
        let exits = spawn(move || {
            let numbers: [usize; 64] = core::array::from_fn(|i| i);
            scope(|s| {
                for number in &numbers {
                    let total = &total;
                    s.spawn(move || {
                        time::sleep(Duration::from_micros(*number as u64 * 10));
                        total.fetch_add(*number, Ordering::Relaxed);
                    });
                }
                runtime::goexit()
            })
        });
        assert!(exits.join().is_err());
        assert_eq!(count_of(&sum), 64 * 63 / 2);
    }
}

/// A goroutine that goexits abandons what it was doing to what it borrows: here a sort, which has
/// an element twice at that time. A scope that returned would show it, and drop it twice.
#[gosched::test]
fn a_scope_goes_on_with_the_goexit_of_its_goroutines() {
    let before = runtime::num_goroutine();
    let went_on = Arc::new(AtomicUsize::new(0));
    for joins in [false, true] {
        let went_on = went_on.clone();
        let exited = spawn(move || {
            let mut values: Vec<Arc<u32>> = (0..8).rev().map(Arc::new).collect();
            scope(|s| {
                let sorts = s.spawn(|| {
                    let mut compared = 0;
                    values.sort_by(|a, b| {
                        compared += 1;
                        if compared == 5 {
                            runtime::goexit();
                        }
                        a.cmp(b)
                    });
                });
                if joins {
                    assert!(sorts.join().is_err());
                }
            });
            went_on.fetch_add(1, Ordering::Relaxed);
        });
        assert!(exited.join().is_err());
    }
    assert_eq!(count_of(&went_on), 0);
    assert!(eventually(|| runtime::num_goroutine() <= before));
}

gosched::test_main!();

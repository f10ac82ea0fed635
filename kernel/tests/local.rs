//! `goroutine_local!`: values of a goroutine's own.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicUsize, Ordering};

use common::watch::{CountsDrops, count_of};
use gosched::{goroutine_local, runtime, scope, spawn, yield_now};

goroutine_local! {
    static COUNT: Cell<u64> = const { Cell::new(100) };
    static WORDS: RefCell<Vec<u64>> = RefCell::new(Vec::new());
    static GUARD: RefCell<Option<CountsDrops>> = const { RefCell::new(None) };
}

/// Values that are shared, lost at a switch, or follow the CPU instead of the goroutine: each
/// goroutine keeps its own while it is preempted and moved.
#[gosched::test]
fn locals_belong_to_the_goroutine() {
    let wandered = AtomicUsize::new(0);
    scope(|s| {
        for id in 0..64u64 {
            let wandered = &wandered;
            s.spawn(move || {
                let start = runtime::cpu();
                let mut moved = false;
                for i in 0..200 {
                    assert_eq!(COUNT.get(), if i == 0 { 100 } else { id * 1000 + i - 1 });
                    COUNT.set(id * 1000 + i);
                    WORDS.with_borrow_mut(|words| words.push(id));
                    for _ in 0..500 {
                        runtime::safepoint();
                    }
                    yield_now();
                    moved |= runtime::cpu() != start;
                }
                assert_eq!(WORDS.take(), [id; 200]);
                wandered.fetch_add(usize::from(moved), Ordering::Relaxed);
            });
        }
    });
    let wandered = wandered.into_inner();
    assert!(
        wandered > 0 || runtime::gomaxprocs(0) == 1,
        "nobody moved to another CPU"
    );
}

/// Locals that are leaked, or dropped twice, or after the joiner was told: 10,000 goroutines, half
/// of which goexit.
#[gosched::test]
fn locals_are_dropped_once_before_join_returns() {
    const EACH: usize = 10_000;
    let drops = CountsDrops::counter();
    for batch in 0..100 {
        let handles: Vec<_> = (0..EACH / 100)
            .map(|i| {
                let drops = drops.clone();
                spawn(move || {
                    GUARD.set(Some(CountsDrops(drops)));
                    if i % 2 == 0 {
                        runtime::goexit();
                    }
                })
            })
            .collect();
        for handle in handles {
            let _ = handle.join();
        }
        assert_eq!(count_of(&drops), (batch + 1) * EACH / 100);
    }
    assert_eq!(Arc::strong_count(&drops), 1);
}

static LAST_WORDS: AtomicUsize = AtomicUsize::new(0);

struct UsesOthers;

impl Drop for UsesOthers {
    fn drop(&mut self) {
        // Itself: being dropped. LATE: used first after it, so dropped before it. FRESH: not yet.
        assert!(ITSELF.try_with(|_| ()).is_err());
        assert!(LATE.try_with(|_| ()).is_err());
        FRESH.with(|_| LAST_WORDS.fetch_add(1, Ordering::Relaxed));
    }
}

struct Says(usize);

impl Drop for Says {
    fn drop(&mut self) {
        LAST_WORDS.fetch_add(self.0, Ordering::Relaxed);
    }
}

goroutine_local! {
    static ITSELF: UsesOthers = UsesOthers;
    static LATE: Says = const { Says(10) };
    static FRESH: Says = Says(100)
}

/// Destructors that use locals: one that is dropped again, a new one that is leaked.
#[gosched::test]
fn destructors_may_use_locals() {
    LAST_WORDS.store(0, Ordering::Relaxed);
    spawn(|| {
        ITSELF.with(|_| ());
        LATE.with(|_| ());
    })
    .join()
    .unwrap();
    assert_eq!(LAST_WORDS.load(Ordering::Relaxed), 111);
}

struct Exits;

impl Drop for Exits {
    fn drop(&mut self) {
        runtime::goexit();
    }
}

/// A destructor that goexits takes the other locals and the joiner's news with it.
#[gosched::test]
fn a_destructor_may_goexit() {
    goroutine_local! {
        static FIRST: Says = const { Says(1) };
        static SECOND: Exits = const { Exits };
        static THIRD: Says = const { Says(1) };
    }
    LAST_WORDS.store(0, Ordering::Relaxed);
    let value = spawn(|| {
        FIRST.with(|_| ());
        SECOND.with(|_| ());
        THIRD.with(|_| ());
        5
    });
    assert_eq!(value.join().unwrap(), 5);
    assert_eq!(LAST_WORDS.load(Ordering::Relaxed), 2);
}

/// `set` before the first `get` runs the initializer, or leaks what it is given.
#[gosched::test]
fn set_and_replace_as_in_std() {
    goroutine_local! {
        static NEVER: Cell<u8> = panic!("the initializer is not to run");
        static CELL: Cell<u8> = const { Cell::new(3) };
    }
    NEVER.set(7);
    assert_eq!(NEVER.get(), 7);
    assert_eq!((CELL.replace(4), CELL.take(), CELL.get()), (3, 4, 0));
    WORDS.set(alloc::vec![1]);
    assert_eq!(WORDS.replace(alloc::vec![2]), [1]);
    assert_eq!(WORDS.with_borrow(|words| words.len()), 1);
}

/// A goexit in the middle of a `with`, which left the value in whatever state: it is not dropped.
#[gosched::test]
fn a_value_in_use_is_left_alone() {
    goroutine_local!(static SORTED: RefCell<Vec<Arc<u32>>> = RefCell::new(Vec::new()));
    let value = Arc::new(7);
    let mine = value.clone();
    let exited = spawn(move || {
        SORTED.with_borrow_mut(|values| {
            values.extend([mine.clone(), mine]);
            values.sort_by(|_, _| runtime::goexit());
        });
    });
    assert!(exited.join().is_err());
    // Both clones are leaked, none is dropped twice.
    assert_eq!(Arc::strong_count(&value), 3);
}

gosched::test_main!();

//! Contexts by the thousand: nobody waits for ever and nothing is kept, whoever cancels what at the
//! same time.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]
#![allow(
    clippy::redundant_closure,
    reason = "it takes what is called through Deref for a closure"
)]

extern crate alloc;

#[path = "common/context.rs"]
mod common;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{assert_canceled, assert_live};
use gosched::context::{CancelFn, Context};
use gosched::go;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};

const HOUR: Duration = Duration::from_secs(3600);

/// Would catch a stop that answers before it is decided: each function runs, or was stopped.
#[gosched::test]
fn after_func_and_stop_agree() {
    for _ in 0..200 {
        let (ctx, cancel) = Context::background().with_cancel();
        let ran = Arc::new(AtomicUsize::new(0));
        let stops: Vec<_> = (0..8)
            .map(|_| {
                let ran = ran.clone();
                ctx.after_func(move || _ = ran.fetch_add(1, Ordering::Relaxed))
            })
            .collect();
        let canceller = WaitGroup::new();
        canceller.go(move || cancel());
        let stopped = stops.iter().filter(|stop| stop()).count();
        canceller.wait();
        for _ in 0..60_000 {
            if ran.load(Ordering::Relaxed) + stopped == 8 {
                break;
            }
            time::sleep(Duration::from_millis(1));
        }
        assert_eq!(ran.load(Ordering::Relaxed) + stopped, 8);
    }
}

/// Go's TestSimultaneousCancels: each of many contexts is cancelled by a goroutine of its own, all
/// at once. Would catch a deadlock between parent and child.
#[gosched::test]
fn simultaneous_cancels_end() {
    let (root, cancel) = Context::background().with_cancel();
    let mut all = alloc::vec![(root, cancel)];
    for i in 0..300 {
        let child = all[i / 2].0.with_cancel();
        all.push(child);
    }
    let group = WaitGroup::new();
    for (_, cancel) in &all {
        let cancel = cancel.clone();
        group.go(move || cancel());
    }
    group.wait();
    for (ctx, _) in &all {
        assert!(ctx.done().recv().is_err());
        assert_canceled(ctx);
    }
}

/// Go's TestInterlockedCancels: a child that cancels its parent when it ends, and the other way
/// round, while both are being cancelled.
#[gosched::test]
fn interlocked_cancels_end() {
    for _ in 0..200 {
        let (parent, cancel_parent) = Context::background().with_cancel();
        let (child, cancel_child) = parent.with_cancel();
        let (up, down) = (cancel_parent.clone(), cancel_child.clone());
        let _up = child.after_func(move || up());
        let _down = parent.after_func(move || down());
        let group = WaitGroup::new();
        group.go(move || cancel_parent());
        group.go(move || cancel_child());
        group.wait();
        assert!(parent.done().recv().is_err());
        assert!(child.done().recv().is_err());
    }
}

/// Go's TestLayersCancel and TestLayersTimeout: random layers of values, cancels and deadlines.
#[gosched::test]
fn layers_end_together_and_keep_their_values() {
    for by_timeout in [false, true] {
        let mut seed = 1_u32;
        let mut random = |n: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % n
        };
        let base = Context::background();
        let (root, cancel_root) = match by_timeout {
            true => base.with_timeout(Duration::from_millis(20)),
            false => base.with_cancel(),
        };
        let mut ctx = root.clone();
        let mut cancels: Vec<CancelFn> = Vec::new();
        for layer in 0..100_u32 {
            let (next, cancel) = match random(3) {
                0 => (ctx.with_value(layer, layer * 2), None),
                1 => {
                    let (next, cancel) = ctx.with_cancel();
                    (next, Some(cancel))
                }
                _ => {
                    let (next, cancel) = ctx.with_timeout(HOUR);
                    (next, Some(cancel))
                }
            };
            cancels.extend(cancel);
            ctx = next;
        }
        assert!(format!("{ctx:?}").starts_with("context.Background.With"));
        for layer in 0..100_u32 {
            let value = ctx.value::<u32>(&layer);
            assert!(value.is_none() || value == Some(&(layer * 2)));
        }
        if !by_timeout {
            assert_live(&ctx);
            cancel_root();
        }
        assert!(ctx.done().recv().is_err());
        assert_eq!(ctx.err(), root.err());
        for cancel in cancels {
            cancel();
        }
        assert_eq!(ctx.err(), root.err());
    }
}

/// Chains that any recursion would overflow the stack with, cancelled from above, and dropped from
/// either end without a cancel.
#[gosched::test]
fn deep_chains_are_cancelled_and_dropped() {
    const DEPTH: usize = 10_000;
    let chain = || {
        let (root, cancel) = Context::background().with_cancel();
        let mut deepest = root.clone();
        for i in 0..DEPTH {
            deepest = match i % 2 {
                0 => deepest.with_cancel().0,
                _ => deepest.with_value(i, i),
            };
        }
        (root, deepest, cancel)
    };
    let (root, deepest, cancel) = chain();
    assert_eq!(deepest.value::<usize>(&1_usize), Some(&1));
    cancel();
    assert_canceled(&deepest);
    drop((root, cancel));
    drop(deepest);

    let (root, deepest, cancel) = chain();
    drop((root, cancel));
    assert_live(&deepest);
    drop(deepest);

    let (root, deepest, cancel) = chain();
    drop(deepest);
    drop((root, cancel));
}

/// Counts how many of it were dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Go's TestCancelRemoves, by what is still owned: values, and functions that were never called, go
/// with their contexts. Would catch a cycle of owners, or a child that stays with its parent.
#[gosched::test]
fn what_a_context_owns_goes_with_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = || Counted(drops.clone());
    let dropped = || drops.swap(0, Ordering::Relaxed);

    let (parent, cancel_parent) = Context::background().with_cancel();
    for _ in 0..100 {
        let (ctx, cancel) = parent.with_value("key", counted()).with_timeout(HOUR);
        let held = counted();
        let stop = ctx.after_func(move || drop(held));
        assert!(stop());
        cancel();
    }
    assert_eq!(dropped(), 200, "after a stop and a cancel");

    let held = counted();
    let _stop = parent.with_cancel().0.after_func(move || drop(held));
    assert_eq!(dropped(), 0, "its parent may still end it");
    drop(parent);
    drop(cancel_parent);
    drop(_stop);
    assert_eq!(dropped(), 1, "nobody can end it any more");
}

/// Contexts are made, cancelled and timed out by many at once below one parent, which goes last.
#[gosched::test]
fn a_crowd_below_one_parent() {
    let (parent, cancel) = Context::background().with_cancel();
    let ended = Arc::new(AtomicUsize::new(0));
    let group = WaitGroup::new();
    for i in 0..8_u64 {
        let (parent, ended) = (parent.clone(), ended.clone());
        group.go(move || {
            for n in 0..200 {
                let (ctx, cancel) =
                    parent.with_timeout(Duration::from_micros((i * 31 + n * 7) % 60));
                if n % 3 == 0 {
                    go(move || cancel());
                }
                assert!(ctx.done().recv().is_err());
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    group.wait();
    assert_eq!(ended.load(Ordering::Relaxed), 1600);
    assert_live(&parent);
    cancel();
    assert_canceled(&parent);
}

gosched::test_main!();

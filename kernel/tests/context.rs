//! Contexts: who ends with whom, when, and why.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

#[path = "common/context.rs"]
mod common;

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use common::{assert_canceled, assert_ended, assert_live, is_open};
use gosched::chan;
use gosched::context::{Context, ContextError};
use gosched::runtime;
use gosched::select;
use gosched::sync::{ErrGroup, WaitGroup};
use gosched::time::{self, Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

/// Long enough for whatever is wrong to happen.
const A_WHILE: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Tired;

impl fmt::Display for Tired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tired")
    }
}

impl Error for Tired {}

/// Would catch a background that ends, or carries something.
#[gosched::test]
fn the_background_never_ends() {
    for ctx in [Context::background(), Context::todo()] {
        assert_live(&ctx);
        assert_eq!(ctx.deadline(), None);
        assert_eq!(ctx.value::<u32>(&"key"), None);
        let stop = ctx.after_func(|| panic!("it has ended"));
        assert!(
            ctx.done().recv_timeout(A_WHILE).unwrap_err().is_timeout(),
            "its channel was closed"
        );
        assert!(stop());
    }
}

/// Go's TestWithCancel: contexts and those made from them, with a value between. Would catch an end
/// that does not reach through a value, and a second cancel that does something.
#[gosched::test]
fn cancel_ends_the_context_and_all_below_it() {
    let (first, cancel) = Context::background().with_cancel();
    let value = first.with_value("key", 1_u32);
    let (second, cancel_second) = Context::with_cancel(&value);
    for ctx in [&first, &value, &second] {
        assert_live(ctx);
    }
    cancel();
    for ctx in [&first, &value, &second] {
        assert_canceled(ctx);
    }
    cancel();
    cancel_second();
    assert_canceled(&second);
    let (born, _cancel) = value.with_cancel();
    assert_canceled(&born);
}

/// Go's TestChildFinishesFirst. Would catch a cancel that ends the parent or its other children.
#[gosched::test]
fn a_child_ends_alone() {
    let (parent, cancel_parent) = Context::background().with_cancel();
    let (child, cancel_child) = parent.with_cancel();
    let (sibling, _cancel) = parent.with_cancel();
    cancel_child();
    assert_canceled(&child);
    assert_live(&parent);
    assert_live(&sibling);
    cancel_parent();
    assert_canceled(&sibling);
}

/// Would catch a dropped function that cancels (Go's do not), or a node that is gone with it.
#[gosched::test]
fn dropping_a_cancel_function_cancels_nothing() {
    let (parent, cancel) = Context::background().with_cancel();
    let child = parent.with_cancel().0;
    drop(parent);
    time::sleep(Duration::from_millis(1));
    assert_live(&child);
    cancel();
    assert_canceled(&child);
}

/// Each wait is woken, by an end from above. Would catch a channel that is made after the cancel
/// and stays open, and a lost wake-up.
#[gosched::test]
fn done_wakes_all_who_wait() {
    for round in 0..200 {
        let (parent, cancel) = Context::background().with_cancel();
        let group = WaitGroup::new();
        for _ in 0..4 {
            let ctx = parent.with_cancel().0;
            group.go(move || {
                assert!(ctx.done().recv().is_err());
                assert_eq!(ctx.err(), Some(ContextError::Canceled));
            });
        }
        // Some wait, some come too late.
        if round % 2 == 0 {
            time::sleep(Duration::from_micros(50));
        }
        cancel();
        group.wait();
    }
}

/// A worker that looks at its context in a select.
#[gosched::test]
fn a_select_sees_the_end() {
    let (ctx, cancel) = Context::background().with_cancel();
    let (tx, rx) = chan::bounded::<u32>(0);
    let worker = ctx.clone();
    let group = WaitGroup::new();
    group.go(move || {
        for n in 0.. {
            select! {
                send(tx, n) -> sent => sent.unwrap(),
                recv(worker.done()) -> _ => break,
            }
        }
    });
    for n in 0..10 {
        assert_eq!(rx.recv(), Ok(n));
    }
    cancel();
    group.wait();
    select! {
        recv(Context::background().done()) -> _ => panic!("it never ends"),
        recv(ctx.done()) -> never => assert!(never.is_err()),
    }
}

/// Go's TestContextErrDoneRace: who sees the error sees the channel closed, and the other way
/// round. Would catch an error that is published before or after the channel's end.
#[gosched::test]
fn the_error_and_the_closed_channel_come_together() {
    for _ in 0..300 {
        let (ctx, cancel) = Context::background().with_cancel();
        let group = WaitGroup::new();
        let by_err = ctx.clone();
        group.go(move || {
            while by_err.err().is_none() {
                runtime::gosched();
            }
            assert!(!is_open(&by_err), "an error, but an open channel");
            assert!(by_err.cause().is_some());
        });
        let by_done = ctx.clone();
        group.go(move || {
            while is_open(&by_done) {
                runtime::gosched();
            }
            assert!(by_done.err().is_some(), "closed, but no error");
        });
        cancel();
        group.wait();
        assert_canceled(&ctx);
    }
}

/// Go's TestDeadline and TestTimeout. Would catch a deadline that is early, does not reach
/// children, or is put off by a child.
#[gosched::test]
fn a_deadline_ends_the_context_and_never_early() {
    let start = Instant::now();
    let deadline = start + Duration::from_millis(5);
    let (ctx, _cancel) = Context::background().with_deadline(deadline);
    let (inner, _inner) = ctx.with_cancel();
    let (later, _later) = inner.with_timeout(HOUR);
    let valued = later.with_value("key", ());
    assert_eq!(valued.deadline(), Some(deadline));
    assert!(valued.done().recv().is_err());
    assert!(Instant::now() >= deadline, "early");
    for ctx in [&ctx, &inner, &later, &valued] {
        assert_ended(
            ctx,
            ContextError::DeadlineExceeded,
            "context deadline exceeded",
        );
    }
}

/// Would catch a passed deadline that is only noticed by its timer.
#[gosched::test]
fn a_deadline_that_has_passed_ends_at_once() {
    for d in [Duration::ZERO, Duration::from_nanos(1)] {
        let (ctx, _cancel) = Context::background().with_deadline(Instant::now() - d);
        assert_ended(
            &ctx,
            ContextError::DeadlineExceeded,
            "context deadline exceeded",
        );
    }
    let (ctx, cancel) = Context::background().with_timeout(Duration::MAX);
    assert_live(&ctx);
    cancel();
    assert_canceled(&ctx);
}

/// Go's TestCanceledTimeout: would catch a timer that still fires, or another error afterwards.
#[gosched::test]
fn cancel_comes_before_the_deadline() {
    let (ctx, cancel) = Context::background().with_timeout(HOUR);
    cancel();
    assert_canceled(&ctx);
    // Whichever was first, it stays.
    let (ctx, cancel) = Context::background().with_timeout(Duration::from_millis(2));
    cancel();
    let err = ctx.err();
    time::sleep(A_WHILE);
    assert_eq!(ctx.err(), err);
}

/// A deadline ends a context that only its receiver is left of; nothing else does. Would catch a
/// channel that closes because its context was freed.
#[gosched::test]
fn a_deadline_alone_ends_a_context_that_nobody_holds() {
    let done = {
        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(2));
        ctx.done().clone()
    };
    assert!(done.recv().is_err());
    let done = {
        let (ctx, _cancel) = Context::background().with_cancel();
        ctx.done().clone()
    };
    let waited = done.recv_timeout(A_WHILE);
    assert!(
        waited.unwrap_err().is_timeout(),
        "forgotten is not cancelled"
    );
}

/// Go's TestCause: who gives the reason, and who inherits it. Would catch a second reason that
/// replaces the first.
#[gosched::test]
fn the_first_cause_counts_and_is_inherited() {
    use ContextError::{Canceled, DeadlineExceeded};
    let background = Context::background();
    let (ctx, cancel) = background.with_cancel_cause();
    let (child, cancel_child) = ctx.with_cancel_cause();
    cancel(Arc::new(Tired));
    cancel_child(Arc::new(ContextError::DeadlineExceeded));
    assert_ended(&ctx, Canceled, "tired");
    assert_ended(&child, Canceled, "tired");
    assert!(child.cause().unwrap().is::<Tired>());
    let (born, _cancel) = child.with_timeout(HOUR);
    assert_ended(&born, Canceled, "tired");

    let (ctx, _cancel) = background.with_timeout_cause(Duration::ZERO, Arc::new(Tired));
    assert_ended(&ctx, DeadlineExceeded, "tired");
    let (ctx, cancel) = background.with_timeout_cause(HOUR, Arc::new(Tired));
    cancel();
    assert_canceled(&ctx);
    let (ctx, _cancel) =
        background.with_deadline_cause(Instant::now() + A_WHILE / 5, Arc::new(Tired));
    assert!(ctx.done().recv().is_err());
    assert_ended(&ctx, DeadlineExceeded, "tired");
}

/// Go's TestWithoutCancel.
#[gosched::test]
fn without_cancel_keeps_the_values_alone() {
    let base = Context::background().with_value("key", 7_u32);
    let (ctx, cancel) = base.with_timeout(HOUR);
    let rest = ctx.without_cancel();
    assert_eq!(rest.deadline(), None);
    let (child, cancel_child) = rest.with_cancel();
    cancel();
    assert_canceled(&ctx);
    assert_live(&rest);
    assert_live(&child);
    assert_eq!(child.value::<u32>(&"key"), Some(&7));
    cancel_child();
    assert_canceled(&child);
}

/// Go's TestValues: the nearest key wins, keys of other types are other keys.
#[gosched::test]
fn values_are_found_by_key_and_type() {
    #[derive(PartialEq, Eq)]
    struct Mine(u8);
    let outer = Context::background()
        .with_value(Mine(1), 10_u32)
        .with_value(1_u8, "one")
        .with_value("key", 20_u32);
    let (inner, _cancel) = outer.with_value(Mine(1), 30_u32).with_cancel();
    assert_eq!(outer.value::<u32>(&Mine(1)), Some(&10));
    assert_eq!(inner.value::<u32>(&Mine(1)), Some(&30));
    assert_eq!(inner.value::<u32>(&Mine(2)), None);
    assert_eq!(inner.value::<&str>(&1_u8), Some(&"one"));
    assert_eq!(inner.value::<&str>(&1_u16), None);
    assert_eq!(inner.value::<u64>(&"key"), None, "another type of value");
    assert_eq!(inner.value::<u32>(&"key"), Some(&20));
}

/// Go's TestAfterFuncCalledAfterCancel, TestAfterFuncNotCalledAfterStop.
#[gosched::test]
fn after_func_runs_once_unless_it_is_stopped() {
    let (ctx, cancel) = Context::background().with_cancel();
    let (tx, rx) = chan::bounded(10);
    let runs = |n: u32| {
        let tx = tx.clone();
        move || tx.send(n).unwrap()
    };
    let stop_first = ctx.after_func(runs(1));
    let stop_second = ctx.with_value("key", ()).after_func(runs(2));
    assert!(stop_second());
    assert!(!stop_second());
    cancel();
    assert_eq!(rx.recv(), Ok(1));
    assert!(!stop_first());
    let stop_third = ctx.after_func(runs(3));
    assert_eq!(rx.recv(), Ok(3));
    assert!(!stop_third());
    assert!(rx.recv_timeout(A_WHILE).unwrap_err().is_timeout());
}

/// Go's TestWithContext: the first error ends the context, so does a wait without one, and a
/// context that ends first ends nothing of the group.
#[gosched::test]
fn a_group_ends_its_context() {
    let (background, cancel) = Context::background().with_cancel();
    for fails in [false, true] {
        let (group, ctx) = ErrGroup::with_context(&background);
        assert!(ctx.err().is_none());
        for i in 0..4 {
            let ctx = ctx.clone();
            group.go(move || match i {
                0 if fails => Err(i),
                0 => Ok(()),
                _ if fails => {
                    assert!(ctx.done().recv().is_err());
                    Err(i)
                }
                _ => Ok(()),
            });
        }
        assert_eq!(group.wait(), if fails { Err(0) } else { Ok(()) });
        assert_eq!(ctx.err(), Some(ContextError::Canceled));
    }
    cancel();
}

gosched::test_main!();

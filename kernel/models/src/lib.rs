//! The scheduler's protocol objects under loom, which tries all interleavings of a few threads and
//! all values that the memory model lets a load return. `.ci/loom.sh` runs them.
//!
//! These are the kernel's own files, with loom's atomics in place of core's (`primitive.rs`), and
//! each has its models beside it in `loom_tests.rs`. A crate of its own, because loom's atomics
//! cannot live in a static, so the rest of the kernel does not compile with them. Empty otherwise.
//!
//! What parks goroutines (semaphores, channels, select, timers) is the kernel's own as well, over a
//! few modules of the same names in `host/`, where a goroutine is a thread of loom.
#![cfg(all(test, loom))]
#![allow(dead_code, reason = "a model uses a part of what the kernel uses")]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]
#![allow(
    unreachable_pub,
    reason = "what is public in the kernel is private here"
)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::Notify;
use loom::sync::atomic::{AtomicBool, Ordering};

#[path = "../../src/primitive.rs"]
mod primitive;

#[path = "../../src/arch"]
mod arch {
    pub mod hold;
    #[path = "../../models/src/host/arch.rs"]
    mod host;
    pub use host::{nanotime, switch};
}

#[path = "../../src/base"]
mod base {
    pub mod aref;
    pub mod instant;
    #[path = "../../models/src/host/lock.rs"]
    pub mod lock;
    pub mod trace_ring;
}

#[path = "../../src/chan"]
mod chan {
    pub mod buffer;
    pub mod error;
    pub mod lazy;
    pub mod raw;
    pub mod select;
    pub mod select_chan;
    pub mod word;
}

#[path = "../../src/sched"]
mod sched {
    pub mod agenda;
    #[path = "../../models/src/host/g.rs"]
    pub mod g;
    pub mod gqueue;
    #[path = "../../models/src/host/idle.rs"]
    pub mod idle;
    pub mod keeper;
    #[path = "../../models/src/host/m.rs"]
    pub mod m;
    pub mod note;
    #[path = "../../models/src/host/park.rs"]
    pub mod park;
    pub mod runq;
    pub mod sema;
    pub mod spinning;
    pub mod status;
    pub mod sudog;
    pub mod ticket;
    pub mod timers;
    pub mod wait;
}

#[path = "../../src/sync"]
mod sync {
    pub mod mutex_state;
    pub mod waitgroup_state;
}

/// Parking and readying. Loom's own `Notify` may wake without having been notified.
pub(crate) struct Parking {
    ready: AtomicBool,
    notify: Notify,
}

impl Parking {
    pub(crate) fn new() -> Self {
        Self {
            ready: AtomicBool::new(false),
            notify: Notify::new(),
        }
    }

    pub(crate) fn park(&self) {
        while !self.ready.swap(false, Ordering::Acquire) {
            self.notify.wait();
        }
    }

    /// Once for each [`Parking::park`].
    pub(crate) fn ready(&self) {
        let before = self.ready.swap(true, Ordering::Release);
        assert!(!before, "readied twice");
        self.notify.notify();
    }
}

/// A value that is named by `&'static`, as most of the kernel's are. Freed at the end of a run of
/// the model, which loom's objects must not outlive.
pub(crate) struct Leaked<T: 'static>(*mut T);

impl<T> Leaked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Box::into_raw(Box::new(value)))
    }

    /// All threads that use it have ended when `self` goes.
    pub(crate) fn get(&self) -> &'static T {
        // SAFETY: made by `Box::into_raw`, and freed when `self` goes.
        unsafe { &*self.0 }
    }
}

impl<T> Drop for Leaked<T> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Runs `f` under loom with at most `preemptions` switches that no thread asked for; more of them
/// cost much and have found nothing.
///
/// # Panics
/// When loom has tried next to nothing, which shows nothing. It looks for what two threads do to
/// one word, and knows the last access alone: a thread that loads a word before it stores to it
/// hides what another did before. A `yield_now` in the one that loom begins with helps, or a load
/// that is left out.
fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        f();
    });
    let runs = runs.load(Relaxed);
    assert!(runs >= MIN_RUNS, "loom tried {runs} orders: too few");
}

/// What the smallest of the models takes, and more than what tries no order of two stores.
const MIN_RUNS: usize = 4;

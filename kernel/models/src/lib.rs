//! The scheduler's protocol objects under loom, which tries all interleavings of a few threads and
//! all values that the memory model lets a load return. `.ci/loom.sh` runs them.
//!
//! These are the kernel's own files, with loom's atomics in place of core's (`primitive.rs`), and
//! each has its models beside it in `loom_tests.rs`. A crate of its own, because loom's atomics
//! cannot live in a static, so the rest of the kernel does not compile with them. Empty otherwise.
#![cfg(all(test, loom))]
#![allow(dead_code, reason = "a model uses a part of what the kernel uses")]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]
#![allow(
    unreachable_pub,
    reason = "what is public in the kernel is private here"
)]

extern crate alloc;

use loom::sync::Notify;
use loom::sync::atomic::{AtomicBool, Ordering};

#[path = "../../src/primitive.rs"]
mod primitive;

#[path = "../../src/arch"]
mod arch {
    pub mod hold;
}

#[path = "../../src/base"]
mod base {
    pub mod aref;
    pub mod trace_ring;
}

#[path = "../../src/chan"]
mod chan {
    pub mod word;
}

#[path = "../../src/sched"]
mod sched {
    pub mod note;
    pub mod runq;
    pub mod spinning;
    pub mod ticket;
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
        while !self.ready.load(Ordering::Acquire) {
            self.notify.wait();
        }
    }

    pub(crate) fn ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.notify.notify();
    }
}

/// Runs `f` under loom with at most `preemptions` switches that no thread asked for; more of them
/// cost much and have found nothing.
fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

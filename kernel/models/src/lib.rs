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

#[path = "../../src/primitive.rs"]
mod primitive;

#[path = "../../src/base"]
mod base {
    pub mod aref;
}

#[path = "../../src/sched"]
mod sched {
    pub mod note;
    pub mod runq;
    pub mod spinning;
    pub mod ticket;
}

/// Runs `f` under loom with at most `preemptions` switches that no thread asked for; more of them
/// cost much and have found nothing.
fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

//! Goroutines as a program sees them: Go's `go` statement, and beside it what `std::thread` has for
//! threads, name by name.
//!
//! | here | as |
//! | --- | --- |
//! | [`go()`] | Go's `go` statement |
//! | [`spawn`], [`JoinHandle`], [`Result`] | `std::thread::{spawn, JoinHandle, Result}` |
//! | [`scope()`], [`Scope`], [`ScopedJoinHandle`] | the same of `std::thread` |
//! | [`Builder`], [`SpawnError`] | `std::thread::Builder`, and the `io::Error` of its `spawn` |
//! | [`Goroutine`], [`current`] | `std::thread::{Thread, current}` |
//! | [`park()`], [`park_timeout`], [`yield_now`] | the same of `std::thread` |
//! | [`Local`], [`goroutine_local!`](crate::goroutine_local) | `LocalKey`, `thread_local!` |
//!
//! What differs, differs because there is no unwinding: a panic in any goroutine ends the image, as
//! in Go, so a `join` that fails means `runtime::goexit` and nothing else.
//!
//! # The end of a goroutine
//!
//! By return or by goexit, in this order: scopes that are still open wait for theirs (`scope`),
//! the locals are dropped (`local`), whoever joins is told (`packet`), the G is dead. Each is a
//! `sched::defer::Deferred`; a goroutine of the plain `go` statement has none.

/// The return address of the function that this is inlined into: where the `go` statement stands.
macro_rules! caller_pc {
    () => {{
        let pc: usize;
        // SAFETY: all code is built with frame pointers, so [rbp + 8] is the return address.
        unsafe {
            core::arch::asm!("mov {}, [rbp + 8]", out(reg) pc,
                options(nostack, readonly, preserves_flags));
        }
        pc
    }};
}
pub(crate) use caller_pc;

mod builder;
mod go;
mod handle;
mod join;
mod local;
mod packet;
mod park;
mod scope;

pub use builder::{Builder, SpawnError};
pub use go::go;
pub(crate) use go::go_from;
pub use handle::{Goroutine, current};
pub use join::{Exited, JoinHandle, Result, spawn};
pub use local::{AccessError, Local};
pub use park::{park, park_timeout, yield_now};
pub use scope::{Scope, ScopedJoinHandle, scope};

//! gosched: goroutines with Go's GMP scheduler on bare x86-64 CPUs.
//!
//! There is no operating system: a program that uses this crate *is* the image that boots. The way
//! in is `README.md`; the design of the scheduler stands in [`sched`].
//!
//! Modules, lowest first; each imports only from its own folder and those before it (`tidy.rs`
//! holds them to that): `primitive`, `arch`, `base`, `mem`, `sched`, `goroutine`, then `sync`,
//! `chan`, `time`, `context`, `coro`, then `observe`, `runtime`, `shell`, `testing`. `start` puts
//! them together.

#![no_std]

#[cfg(test)]
extern crate std;

extern crate alloc;

pub mod arch;
pub mod base;
pub mod chan;
pub mod context;
pub mod coro;
mod goroutine;
pub mod mem;
pub mod observe;
mod primitive;
pub mod runtime;
pub mod sched;
pub mod shell;
#[cfg(not(any(test, loom)))]
pub mod start;
pub mod sync;
pub mod testing;
pub mod thread;
#[cfg(test)]
mod tidy;
pub mod time;

#[doc(hidden)]
pub use base::console::print as __print;
pub use goroutine::{
    AccessError, Builder, Exited, Goroutine, JoinHandle, Local, Local as LocalKey, Result, Scope,
    ScopedJoinHandle, SpawnError, current, go, park, park_timeout, scope, spawn, yield_now,
};
pub use gosched_macros::{bench, main, select, select_biased, test};
pub use testing::Bencher;

#[cfg(not(any(test, loom)))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    sched::fatal::panic(info)
}

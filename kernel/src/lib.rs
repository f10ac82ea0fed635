//! Goroutines with Go's GMP scheduler on bare x86-64 CPUs: the program is the image that boots.
//!
//! ```
//! use gosched::{chan, go, println};
//!
//! #[gosched::main]
//! fn main() {
//!     let (tx, rx) = chan::bounded(0);
//!     for i in 0..10 {
//!         let tx = tx.clone();
//!         go(move || tx.send(i * i).unwrap());
//!     }
//!     drop(tx);
//!     for square in rx {
//!         println!("{square}");
//!     }
//! }
//! ```
//!
//! # For programs
//!
//! - [`go`], [`spawn`], [`scope()`], [`Builder`], [`park()`], [`goroutine_local!`], and [`thread`]
//!   with std's names
//! - [`chan`]: crossbeam-channel's channels, with [`select!`](macro@select)
//! - [`sync`]: locks, conditions, groups, semaphores, pools
//! - [`time`], [`context`], [`coro`]
//! - [`runtime`]: Go's package runtime
//!
//! The way in is `README.md`, which has a table of it all.
//!
//! # Inside
//!
//! The design of the scheduler stands in [`sched`]. The other modules are public for the tests and
//! for those who read, not as an interface. Lowest first; each imports only from its own folder and
//! those before it (`tidy.rs` holds them to that): `primitive`, `arch`, `base`, `mem`, `sched`,
//! `goroutine`, then `sync`, `chan`, `time`, `context`, `coro`, `thread`, then `observe`,
//! `runtime`, `shell`, `testing`. `start` puts them together.

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

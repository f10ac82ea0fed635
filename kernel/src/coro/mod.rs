//! Coroutines: goroutines that hand over to each other directly, as those of Go's `iter.Pull`.
//!
//! - [`Coroutine`] runs a closure piece by piece: each [`Coroutine::resume`] up to the next
//!   [`Yielder::yield_`], with a value for each.
//! - [`pull()`] turns a function that pushes values into an iterator that they are pulled out of
//!   (Go: `iter.Pull`).
//!
//! The closure runs on a goroutine of its own, so it may yield from any depth, and do all that a
//! goroutine may: wait for channels, sleep, be preempted. But it never runs beside whoever resumes
//! it: a resume is a call that returns at the next yield. The switch goes from goroutine to
//! goroutine without a queue; its protocol is in `sched::coro`. A dump says `coroutine` of
//! whichever side waits for the other.

mod coroutine;
mod pull;

pub use coroutine::{Coroutine, Yielder};
pub use pull::{Pull, pull, pull_scoped};

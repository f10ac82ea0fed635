//! Execution traces for `go tool trace` (Go: package runtime/trace, and its flight recorder).
//!
//! What the scheduler does is always noted, in a ring for each CPU: [`snapshot`] makes a trace of
//! the last moments at any time, and a panic leaves one in `panic.trace` where the second serial
//! port is attached (`run-qemu.sh --files DIR`). [`start`] writes a whole trace to a file of the
//! host's while it happens, with stacks.
//!
//! A program's own parts show in the trace by tasks, regions and log lines.

use core::sync::atomic::Ordering;

use alloc::vec::Vec;

pub use crate::observe::trace::stream::StreamError;

use crate::observe::trace::{self, stream};
use crate::sched::SCHED;
use crate::sched::trace::{Kind, NEXT_TASK};
use crate::sched::trace::{log as note_log, task as note};

/// The task that everything belongs to that is of no other (Go: the background task).
const BACKGROUND: u64 = 0;

/// Begins to write a trace to the host's file `file` (Go: `trace.Start`), which `run-qemu.sh
/// --files DIR` puts into DIR. Each event costs its stack as well, some hundred nanoseconds.
///
/// # Errors
/// No second serial port, no such name, or a trace is being written.
///
/// ```
/// use gosched::runtime::trace;
///
/// if trace::start("work.trace").is_ok() {
///     trace::region("work", || ());
///     trace::stop().unwrap();
/// }
/// ```
pub fn start(file: &str) -> Result<(), StreamError> {
    stream::start(file)
}

/// Ends the trace that is being written (Go: `trace.Stop`); waits until all of it has left.
///
/// # Errors
/// None is being written, or the port takes no more.
pub fn stop() -> Result<(), StreamError> {
    stream::stop()
}

/// A trace of the last moments, as far as the rings go back (Go: `trace.FlightRecorder.WriteTo`).
/// Takes some milliseconds and stops nobody.
///
/// ```
/// use gosched::runtime::trace;
///
/// assert!(trace::snapshot().starts_with(b"go 1.23 trace"));
/// ```
pub fn snapshot() -> Vec<u8> {
    trace::snapshot()
}

/// Turns the flight recorder on (as at boot) or off. Off, an event costs two instructions.
///
/// ```
/// use gosched::runtime::trace;
///
/// trace::set_recording(false);
/// trace::set_recording(true);
/// ```
pub fn set_recording(on: bool) {
    crate::sched::trace::set_on(on);
}

/// A number that any difference in what the scheduler did since boot changes: which goroutine ran
/// on which CPU after which, and why the one before stopped; and how many events each CPU noted in
/// all. It is kept as they happen, so it has also those that the rings have forgotten. Two runs of
/// `run-qemu.sh --replay SEED` have the same. Times are not in it: a trace has them, and is the
/// same in two such runs to the last byte. While the recorder is off nothing is added.
///
/// ```
/// use gosched::runtime::trace;
///
/// gosched::println!("{:016x}", trace::hash());
/// ```
pub fn hash() -> u64 {
    let parts = SCHED
        .allm()
        .flat_map(|m| [m.trace.hash(), m.trace.ring.written()]);
    parts.fold(0, |hash: u64, part| {
        hash.rotate_left(9).wrapping_mul(0x100_0000_01b3) ^ part
    })
}

/// A task of a trace; it ends with this value. Its regions and log lines may be those of any
/// goroutines (Go: `trace.Task`).
///
/// ```
/// use gosched::runtime::trace;
///
/// let order = trace::task("order");
/// order.log("customer", "42");
/// let part = order.task("payment"); // a task of its own, of this one
/// order.region("cooking", || ());
/// drop(part);
/// ```
#[derive(Debug)]
pub struct Task {
    id: u64,
    name: &'static str,
}

/// Begins a task (Go: `trace.NewTask`).
pub fn task(name: &'static str) -> Task {
    begin_task(BACKGROUND, name)
}

fn begin_task(parent: u64, name: &'static str) -> Task {
    let id = NEXT_TASK.fetch_add(1, Ordering::Relaxed);
    note(Kind::TaskBegin, id, name, Some(parent));
    Task { id, name }
}

impl Task {
    /// Begins a task that belongs to this one.
    pub fn task(&self, name: &'static str) -> Task {
        begin_task(self.id, name)
    }

    /// Runs `f` as a region of this task (Go: `trace.WithRegion`).
    pub fn region<R>(&self, name: &'static str, f: impl FnOnce() -> R) -> R {
        let _region = self.start_region(name);
        f()
    }

    /// Begins a region of this task; it ends with the value, on the same goroutine
    /// (Go: `trace.StartRegion`).
    pub fn start_region(&self, name: &'static str) -> Region {
        begin_region(self.id, name)
    }

    /// A line of this task (Go: `trace.Log`); of more than 1024 bytes the first are kept.
    pub fn log(&self, category: &'static str, message: &str) {
        note_log(self.id, category, message);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        note(Kind::TaskEnd, self.id, self.name, None);
    }
}

/// A stretch of a goroutine's work; it ends with this value (Go: `trace.Region`).
#[derive(Debug)]
#[must_use = "a region ends when its value is dropped"]
pub struct Region {
    task: u64,
    name: &'static str,
}

fn begin_region(task: u64, name: &'static str) -> Region {
    note(Kind::RegionBegin, task, name, None);
    Region { task, name }
}

impl Drop for Region {
    fn drop(&mut self) {
        note(Kind::RegionEnd, self.task, self.name, None);
    }
}

/// Runs `f` as a region of no task (Go: `trace.WithRegion` with the background context).
///
/// ```
/// use gosched::runtime::trace;
///
/// assert_eq!(trace::region("sum", || 1 + 1), 2);
/// ```
pub fn region<R>(name: &'static str, f: impl FnOnce() -> R) -> R {
    let _region = start_region(name);
    f()
}

/// Begins a region of no task; it ends with the value, on the same goroutine.
pub fn start_region(name: &'static str) -> Region {
    begin_region(BACKGROUND, name)
}

/// A line of no task (Go: `trace.Log` with the background context).
///
/// ```
/// gosched::runtime::trace::log("state", "half way");
/// ```
pub fn log(category: &'static str, message: &str) {
    note_log(BACKGROUND, category, message);
}

//! The `go` statement.

use crate::mem::stack;
use crate::sched::fatal;
use crate::sched::newproc::{self, Attributes};

/// Starts a goroutine: Go's `go` statement. It runs next on this P, unless an idle CPU takes it.
///
/// Costs a few dozen instructions once the P has dead goroutines to reuse: nothing is allocated, a
/// closure of up to 1 KiB is written to the new stack.
///
/// Out of memory is fatal, as in Go; [`Builder`](crate::Builder) has an error for it.
///
/// ```
/// use gosched::{chan, go};
///
/// let (tx, rx) = chan::bounded(1);
/// go(move || tx.send(42).expect("the receiver stays"));
/// assert_eq!(rx.recv(), Ok(42));
/// ```
#[inline(never)]
pub fn go<F: FnOnce() + Send + 'static>(f: F) {
    go_from(caller_pc!(), f);
}

/// [`go`] for the `go` statement at `gopc`.
pub(crate) fn go_from<F: FnOnce() + Send + 'static>(gopc: usize, f: F) {
    let attributes = Attributes {
        gopc,
        ..Attributes::default()
    };
    if newproc::newproc(f, attributes).is_err() {
        fatal::out_of_memory(stack::DEFAULT_SIZE);
    }
}

//! The `go` statement.

use core::arch::asm;

use crate::mem::stack;
use crate::sched::fatal;
use crate::sched::newproc::{self, Attributes};

/// The return address of the function that this is inlined into: where the `go` statement stands.
macro_rules! caller_pc {
    () => {{
        let pc: usize;
        // SAFETY: all code is built with frame pointers, so [rbp + 8] is the return address.
        unsafe {
            asm!("mov {}, [rbp + 8]", out(reg) pc, options(nostack, readonly, preserves_flags));
        }
        pc
    }};
}

/// Starts a goroutine: Go's `go` statement. It runs next on this P, unless an idle CPU takes it.
///
/// Costs a few dozen instructions once the P has dead goroutines to reuse: nothing is allocated, a
/// closure of up to 1 KiB is written to the new stack.
///
/// Out of memory is fatal, as in Go.
#[inline(never)]
pub fn go<F: FnOnce() + Send + 'static>(f: F) {
    let attributes = Attributes {
        gopc: caller_pc!(),
        ..Attributes::default()
    };
    if newproc::newproc(f, attributes).is_err() {
        fatal::out_of_memory(stack::DEFAULT_SIZE);
    }
}

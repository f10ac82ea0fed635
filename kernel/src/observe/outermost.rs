//! Where a goroutine stands whose CPU fails in a trap, or in a trap within a trap.
//!
//! Its Gobuf is that of an earlier stop, over a stack that has gone on since. What was interrupted
//! is in the frame of the outermost trap.

use crate::arch::TrapFrame;
use crate::arch::switch::in_switch;
use crate::observe::dump::{here, interrupted, parked, stack_around};
use crate::observe::unwind::Start;
use crate::sched::g::{G, getg};
use crate::sched::m::getm;

/// Where the goroutine of this CPU stands, which has failed or was interrupted by what has.
pub(super) fn start_of_failed(gp: &'static G) -> Option<Start> {
    if getg().as_head() != getm().gsignal.as_head() {
        return Some(parked(gp));
    }
    // Amid the switch the registers are of neither side.
    let frame = outermost_trap().filter(|frame| !in_switch(frame.rip as usize))?;
    if frame.saved_g == gp.as_head() {
        Some(interrupted(frame))
    } else {
        Some(parked(gp))
    }
}

/// In a trap: the frame of what was interrupted, by the first of them if one trap has interrupted
/// another. Each begins at the top of a stack of its own, so its frame is there. None if a stack
/// was begun anew while it was in use, and the way out is lost.
fn outermost_trap() -> Option<&'static TrapFrame> {
    const KINDS_OF_STACKS: usize = 6;
    let mut sp = here().sp;
    for _ in 0..KINDS_OF_STACKS {
        let top = stack_around(sp)?.hi;
        let at = core::ptr::with_exposed_provenance::<TrapFrame>(top - size_of::<TrapFrame>());
        // SAFETY: `sp` is on an interrupt stack, that of this code or of a trap that another one
        // has interrupted, so a trap has built its frame at the top, and nobody returns from it.
        let frame = unsafe { &*at };
        if frame.saved_g != getm().gsignal.as_head() {
            return Some(frame);
        }
        sp = frame.rsp as usize;
    }
    None
}

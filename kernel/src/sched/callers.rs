//! Return addresses by frame pointers, for profiles: no symbols, no lock, no memory.
//!
//! `observe::unwind` does the same with more care and at more cost (it looks at machine code) for
//! reports. Both rely on frame pointers in all code but assembly; what assembly leaves in rbp is
//! caught by the bounds: a frame is followed only upwards, aligned, on a stack that is known.

use core::sync::atomic::Ordering;

use crate::arch::TrapFrame;
use crate::arch::switch::{self, Stack};
use crate::sched::g::{G, getg};
use crate::sched::m::M;

/// The longest stack that profiles keep, the innermost calls of it (Go: 64 for the CPU profile).
pub const MAX_CALLS: usize = 64;

const WORD: usize = size_of::<usize>();

/// A stretch of stack that may be read.
#[derive(Clone, Copy)]
struct Bounds {
    lo: usize,
    hi: usize,
}

impl Bounds {
    fn of(stack: Stack, sp: usize) -> Option<Self> {
        let Stack { lo, hi } = stack;
        (lo <= sp && sp < hi).then_some(Self { lo: sp, hi })
    }

    fn holds(self, address: usize, words: usize) -> bool {
        address.is_multiple_of(WORD)
            && address >= self.lo
            && self
                .hi
                .checked_sub(words * WORD)
                .is_some_and(|last| address <= last)
    }
}

/// Puts the return addresses of the frames from `bp` on into `pcs`; how many. Past the upper end
/// of `bounds` the chain may go on in `next` (from g0 to the goroutine that it works for).
///
/// # Safety
/// Both stretches are mapped, and nothing but the caller runs on them.
unsafe fn walk(mut bp: usize, bounds: Bounds, next: Option<Stack>, pcs: &mut [usize]) -> usize {
    let goexit = switch::goexit as *const () as usize + 1;
    let (mut bounds, mut next) = (bounds, next);
    let mut n = 0;
    while n < pcs.len() {
        if !bounds.holds(bp, 2) {
            match next.take().and_then(|stack| Bounds::of(stack, bp)) {
                Some(other) => bounds = other,
                None => break,
            }
            continue;
        }
        // SAFETY: both words are aligned and inside the stretch, which the caller vouches for.
        let (up, pc) = unsafe {
            let frame = core::ptr::with_exposed_provenance::<[usize; 2]>(bp).read();
            (frame[0], frame[1])
        };
        if pc == 0 || pc == goexit {
            break;
        }
        pcs[n] = pc;
        n += 1;
        // Upwards only, so that the walk ends.
        bounds.lo = bp + WORD;
        bp = up;
    }
    n
}

/// Puts the return addresses of the calling goroutine's stack into `pcs`, how many: first where
/// the function that this is inlined into returns to. So that one is never inlined itself.
#[inline(always)]
pub fn own(pcs: &mut [usize]) -> usize {
    let bp: usize;
    // SAFETY: only reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) bp,
            options(nomem, nostack, preserves_flags));
    }
    let Some(bounds) = Bounds::of(getg().head.stack.get(), bp) else {
        return 0;
    };
    // SAFETY: our own stack, from our own frame on.
    unsafe { walk(bp, bounds, None, pcs) }
}

/// Puts where a goroutine that does not run goes on, and the return addresses of its stack, into
/// `pcs`; how many.
///
/// # Safety
/// The goroutine is parked or runnable, and claimed by its scan bit.
pub unsafe fn parked(gp: &'static G, pcs: &mut [usize]) -> usize {
    let buf = gp.gobuf();
    let (pc, sp) = (buf.pc.get(), buf.sp.get());
    let (Some(bounds), false) = (Bounds::of(gp.head.stack.get(), sp), pcs.is_empty()) else {
        return 0;
    };
    pcs[0] = pc;
    // SAFETY: from its stack pointer on a stack is mapped, and the scan bit keeps it still.
    1 + unsafe { walk(buf.bp.get(), bounds, None, &mut pcs[1..]) }
}

/// What an interrupt met.
pub struct Interrupted {
    /// How many of the pcs are filled in. The first is the interrupted instruction itself.
    pub len: usize,
    /// The two words at the stack pointer: before its prologue and after its epilogue a function's
    /// caller is told by one of them, not by the frame pointer. 0 where they are not on the stack.
    pub top: [usize; 2],
    /// The M was on its scheduler's stack.
    pub on_g0: bool,
}

/// Interrupt: the stack of the code that it interrupted on this CPU.
pub fn interrupted(m: &'static M, frame: &TrapFrame, pcs: &mut [usize]) -> Interrupted {
    let (sp, bp) = (frame.rsp as usize, frame.rbp as usize);
    let g0 = m.g0.head.stack.get();
    let curg = m.head.curg.load(Ordering::Relaxed);
    // SAFETY: only heads of Gs are stored in curg, and those are never freed.
    let goroutine = (!curg.is_null()).then(|| unsafe { G::of(curg) }.head.stack.get());
    let own = goroutine.and_then(|stack| Bounds::of(stack, sp));
    let (bounds, next) = match own {
        Some(bounds) => (Some(bounds), None),
        None => (Bounds::of(g0, sp), goroutine),
    };
    let mut found = Interrupted {
        len: 0,
        top: [0; 2],
        on_g0: own.is_none(),
    };
    if let Some(first) = pcs.first_mut() {
        *first = frame.rip as usize;
        found.len = 1;
    }
    if let Some(bounds) = bounds {
        if bounds.holds(sp, 2) {
            // SAFETY: the words at the stack pointer of code that stands still; the page of a
            // frame that was not touched yet is mapped by the page-fault handler, as for the code.
            found.top = unsafe { core::ptr::with_exposed_provenance::<[usize; 2]>(sp).read() };
        }
        // SAFETY: as above; from the stack pointer on a stack is mapped.
        found.len += unsafe { walk(bp, bounds, next, &mut pcs[found.len..]) };
    }
    found
}

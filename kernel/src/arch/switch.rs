//! The heads of G and M, which assembly reads.
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// The bounds of a stack: `[lo, hi)`, growing down from `hi`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stack {
    pub lo: usize,
    pub hi: usize,
}

/// Where a goroutine continues (Go: `gobuf`).
#[repr(C)]
pub struct Gobuf {
    pub sp: usize,
    pub pc: usize,
    pub g: *mut GHead,
    pub ctxt: usize,
    pub ret: usize,
    pub bp: usize,
}

/// The part of a G that assembly knows; `sched::G` begins with it.
#[repr(C)]
pub struct GHead {
    pub stack: Stack,
    /// Compared with rsp at each safe point.
    pub stackguard0: AtomicUsize,
    pub sched: Gobuf,
}

/// The part of an M that assembly knows; `sched::M` begins with it. GS base points at it.
#[repr(C)]
pub struct MHead {
    /// This very address, so that `mov rax, gs:[0]` gives the M.
    pub this: *mut MHead,
    /// The running G: a goroutine, g0 while on the scheduler's stack, gsignal inside an interrupt.
    pub g: *mut GHead,
    /// The scheduler's own stack on this CPU.
    pub g0: *mut GHead,
    /// Stands for all interrupt stacks of this CPU; its stackguard0 is 0, so that no safe point
    /// in an interrupt ever takes the slow path.
    pub gsignal: *mut GHead,
    /// The goroutine that this M runs, or null (Go: `m.curg`).
    pub curg: AtomicPtr<GHead>,
    /// Preemption is off while this is not 0 (Go: `m.locks`). Changed by single instructions
    /// (`inc dword ptr gs:[..]`), so that no preemption falls between reading GS and writing.
    pub locks: u32,
    /// Which CPU this is: 0 is the boot CPU, others in the order in which they were started.
    pub cpu: u32,
}

//! What an interrupt found: the registers of the interrupted code, as the stub of an x86-64 CPU
//! leaves them on the interrupt stack (`x86_64/traps.rs` builds it and checks the layout).
//!
//! On both sides of the seam, because reports and preemption read it; on the host no interrupt
//! makes one.

use crate::arch::switch::GHead;

/// What the stub leaves on the interrupt stack, lowest address first.
///
/// ```text
///  IST top (16-aligned)
///    ss rsp rflags cs rip        pushed by the CPU
///    error                       pushed by the CPU, or 0 by the slot
///    vector                      pushed by the slot
///    rax rcx .. r15              pushed by the common body
///    cr2 saved_g
///    xmm15 .. xmm0               <- rsp at the call of `dispatch`, 16-aligned
/// ```
#[repr(C, align(16))]
pub struct TrapFrame {
    /// xmm0 to xmm15.
    pub xmm: [u128; 16],
    /// `gs:[g]` of the interrupted code; what the stub puts back.
    pub saved_g: *mut GHead,
    /// CR2 at entry; means something for a page fault only.
    pub cr2: u64,
    /// Interrupted r15.
    pub r15: u64,
    /// Interrupted r14.
    pub r14: u64,
    /// Interrupted r13.
    pub r13: u64,
    /// Interrupted r12.
    pub r12: u64,
    /// Interrupted r11.
    pub r11: u64,
    /// Interrupted r10.
    pub r10: u64,
    /// Interrupted r9.
    pub r9: u64,
    /// Interrupted r8.
    pub r8: u64,
    /// Interrupted rdi.
    pub rdi: u64,
    /// Interrupted rsi.
    pub rsi: u64,
    /// Interrupted rbp.
    pub rbp: u64,
    /// Interrupted rbx.
    pub rbx: u64,
    /// Interrupted rdx.
    pub rdx: u64,
    /// Interrupted rcx.
    pub rcx: u64,
    /// Interrupted rax.
    pub rax: u64,
    /// Which vector.
    pub vector: u64,
    /// The CPU's error code, or 0.
    pub error: u64,
    /// Where the interrupted code goes on.
    pub rip: u64,
    /// Interrupted cs.
    pub cs: u64,
    /// Interrupted flags.
    pub rflags: u64,
    /// Interrupted rsp.
    pub rsp: u64,
    /// Interrupted ss.
    pub ss: u64,
}

//! The two ways into the switch that the running code does not ask for: the compiler's safe point
//! and the interrupt's trampoline.
//!
//! Both only *lead* to the switch: they call into the scheduler on the goroutine's own stack, which
//! parks in `mcall` like anybody else. Which registers each must keep is said at its place.

use core::arch::naked_asm;
use core::mem::offset_of;

use super::{GHead, MHead, STACK_GUARD};

/// Room that an interrupt wants on the goroutine's stack to inject [`async_preempt`]: red zone,
/// registers, FXSAVE area and the switch.
pub const ASYNC_PREEMPT_ROOM: usize = 128 + 15 * 8 + 512 + 64 + STACK_GUARD;

/// The red zone of the System V ABI: 128 bytes below rsp that a leaf function may use. This code is
/// built without, but the prebuilt `core` is not.
const RED_ZONE: usize = 128;

/// Go's prologue, as a function that the compiler calls on entry of every other one (the flags
/// stand in `.cargo/config.toml`). It is called like any C function, so the caller holds nothing in
/// caller-saved registers.
///
/// `rax = g; if rsp <= g.stackguard0, go the slow way`. One compare finds both a request for
/// preemption (the poison is above every stack) and a stack that is nearly used up.
///
/// # Safety
/// Called by instrumented code only, with GS base set.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.switch")]
pub unsafe extern "C" fn __sanitizer_cov_trace_pc() {
    naked_asm!(
        ".cfi_startproc", // no frame: rsp is as after the call
        "mov rax, gs:[{m_g}]",
        "cmp rsp, [rax + {guard}]",
        "jbe 2f",
        "ret",
        "2:",
        // The slow path is instrumented too: with the guard at 0 its own safe points pass. It puts
        // the guard back. A poison that comes in between is kept by g.preempt.
        "mov qword ptr [rax + {guard}], 0",
        "mov rdi, rsp",
        "jmp {newstack}",
        ".cfi_endproc",
        m_g = const offset_of!(MHead, g),
        guard = const offset_of!(GHead, stackguard0),
        newstack = sym newstack_hook,
    )
}

/// Where an interrupt sends a goroutine that it preempts. The handler has made the stack look as if
/// the interrupted instruction had called this function over the red zone:
///
/// ```text
///   interrupted rsp ─▶ ┌───────────────────┐
///                      │ red zone, 128     │  may be in use
///                      │ interrupted rip   │ ◀── rsp on entry
///                      │ rbp               │ ◀── rbp: a frame like any other to a traceback
///                      │ rflags            │
///                      │ rax … r15         │
///                      │ FXSAVE area, 512  │ ◀── rsp, 16-aligned
///                      └───────────────────┘
/// ```
///
/// Every register holds a live value, the flags too (go-lib lost additions between `add` and
/// `seto`), hence all are kept, with x87, MMX, xmm and MXCSR by FXSAVE.
///
/// # Safety
/// Reached through [`inject_async_preempt`] alone.
#[unsafe(naked)]
#[unsafe(link_section = ".text.switch")]
unsafe extern "C" fn async_preempt() {
    naked_asm!(
        // The caller is what was interrupted, at just that instruction, with its own rsp.
        ".cfi_startproc",
        ".cfi_signal_frame",
        ".cfi_def_cfa rsp, {red_zone} + 8",
        ".cfi_offset rip, -{red_zone} - 8",
        "push rbp",
        ".cfi_def_cfa rsp, {red_zone} + 16",
        ".cfi_offset rbp, -{red_zone} - 16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "pushfq",
        "push rax",
        ".cfi_offset rax, -{red_zone} - 32",
        "push rbx",
        ".cfi_offset rbx, -{red_zone} - 40",
        "push rcx",
        ".cfi_offset rcx, -{red_zone} - 48",
        "push rdx",
        ".cfi_offset rdx, -{red_zone} - 56",
        "push rsi",
        ".cfi_offset rsi, -{red_zone} - 64",
        "push rdi",
        ".cfi_offset rdi, -{red_zone} - 72",
        "push r8",
        ".cfi_offset r8, -{red_zone} - 80",
        "push r9",
        ".cfi_offset r9, -{red_zone} - 88",
        "push r10",
        ".cfi_offset r10, -{red_zone} - 96",
        "push r11",
        ".cfi_offset r11, -{red_zone} - 104",
        "push r12",
        ".cfi_offset r12, -{red_zone} - 112",
        "push r13",
        ".cfi_offset r13, -{red_zone} - 120",
        "push r14",
        ".cfi_offset r14, -{red_zone} - 128",
        "push r15",
        ".cfi_offset r15, -{red_zone} - 136",
        "sub rsp, 512",
        "and rsp, -16",
        "fxsave64 [rsp]",
        "cld", // the interrupted code may be amid a backward copy; the ABI wants DF clear
        "call {yield_now}",
        "fxrstor64 [rsp]",
        "lea rsp, [rbp - 15 * 8]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "popfq",
        "pop rbp",
        ".cfi_def_cfa rsp, {red_zone} + 8",
        ".cfi_restore rbp",
        "ret {red_zone}", // back to the interrupted instruction, rsp over the red zone
        ".cfi_endproc",
        yield_now = sym async_preempt_hook,
        red_zone = const RED_ZONE,
    )
}

/// Rewrites where an interrupt returns to, so that the goroutine calls [`async_preempt`] first.
///
/// # Safety
/// `rip` and `rsp` are those of an interrupted goroutine on its own stack with at least
/// [`ASYNC_PREEMPT_ROOM`] bytes left, not inside the switch ([`super::in_switch`]).
pub unsafe fn inject_async_preempt(rip: &mut u64, rsp: &mut u64) {
    *rsp -= RED_ZONE as u64 + 8;
    // SAFETY: the word lies inside the goroutine's stack, below everything that is in use; if its
    // page is not there yet, the page fault maps it.
    unsafe { (*rsp as *mut u64).write(*rip) };
    *rip = async_preempt as *const () as u64;
}

unsafe extern "Rust" {
    // What the scheduler gives to this file; linked by name, as in `switch`.
    safe fn gosched_newstack(sp: usize);
    safe fn gosched_async_preempt();
}

extern "C" fn newstack_hook(sp: usize) {
    gosched_newstack(sp);
}

extern "C" fn async_preempt_hook() {
    gosched_async_preempt();
}

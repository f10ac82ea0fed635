//! Registers on the stack, for who looks for pointers there.

use core::arch::naked_asm;

/// Calls `f(sp, arg)` with all callee-saved registers pushed at `sp`, on the caller's stack.
///
/// # Safety
/// `f` may be called with `arg`.
#[unsafe(naked)]
unsafe extern "C" fn spill(f: unsafe extern "C" fn(usize, *mut u8), arg: *mut u8) {
    naked_asm!(
        // rdi = f, rsi = arg. On the stack, from the call on: return address, rbp, rbx, r12 to
        // r15, and a word that aligns it for the next call; rsp, which f gets, points at that.
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov rax, rdi",
        "mov rdi, rsp",
        "call rax",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Calls `f` with a stack pointer: from there up, the caller's stack holds all that the caller's
/// frames have, also what they had in registers, and nothing of what `f` does itself.
pub fn with_registers_on_stack<F: FnMut(usize)>(mut f: F) {
    unsafe extern "C" fn call<F: FnMut(usize)>(sp: usize, arg: *mut u8) {
        // SAFETY: `arg` is the F below, which outlives this call and is used by it alone.
        unsafe { (*arg.cast::<F>())(sp) };
    }
    // SAFETY: `call` takes exactly this F.
    unsafe { spill(call::<F>, (&raw mut f).cast()) };
}

//! What the compiler and its libraries expect to find at link time.
//!
//! - `memcpy` and its family, with string instructions: fast from the first byte on real CPUs
//!   (ERMS), and eight bytes a step where the emulator takes single steps.
//! - `__sanitizer_cov_trace_pc`: the workspace's flags put a call of it on every function's entry
//!   (the kernel's safe points). There is nothing to preempt here.
//! - `rust_eh_personality`: the prebuilt `alloc` names it. Nothing unwinds (panic=abort).
//! - A heap that has nothing: `object` names `alloc`, but the parts of it used here take none.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;

global_asm!(
    ".pushsection .text.runtime, \"ax\", @progbits",
    // System V: rdi = destination, rsi = source (or fill byte), rdx = length; the result is the
    // destination, in rax. The direction flag is clear on entry and on return.
    ".balign 16",
    ".globl memcpy",
    ".type memcpy, @function",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "shr rcx, 3", // rcx = whole words
    "rep movsq",
    "mov ecx, edx",
    "and ecx, 7", // rcx = bytes left
    "rep movsb",
    "ret",
    ".size memcpy, . - memcpy",
    //
    ".balign 16",
    ".globl memmove",
    ".type memmove, @function",
    "memmove:",
    "mov rax, rdi",
    "sub rax, rsi",
    "cmp rax, rdx", // unsigned: destination starts inside the source
    "jae memcpy",
    "mov rax, rdi",
    "mov rcx, rdx",
    "lea rdi, [rdi + rdx - 1]", // from the last byte downwards
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    ".size memmove, . - memmove",
    //
    ".balign 16",
    ".globl memset",
    ".type memset, @function",
    "memset:",
    "mov r8, rdi",
    "movzx eax, sil",
    "mov rcx, 0x0101010101010101",
    "imul rax, rcx", // rax = the byte, eight times
    "mov rcx, rdx",
    "shr rcx, 3",
    "rep stosq",
    "mov ecx, edx",
    "and ecx, 7",
    "rep stosb",
    "mov rax, r8",
    "ret",
    ".size memset, . - memset",
    //
    ".balign 16",
    ".globl memcmp",
    ".type memcmp, @function",
    ".globl bcmp",
    ".type bcmp, @function",
    "memcmp:",
    "bcmp:",
    "xor eax, eax",
    "mov rcx, rdx",
    "cmp rcx, rcx", // equal, if no byte is compared
    "repe cmpsb",
    "je 2f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub eax, ecx",
    "2:",
    "ret",
    ".size memcmp, . - memcmp",
    //
    ".balign 16",
    ".globl __sanitizer_cov_trace_pc",
    ".type __sanitizer_cov_trace_pc, @function",
    "__sanitizer_cov_trace_pc:",
    "ret",
    ".size __sanitizer_cov_trace_pc, . - __sanitizer_cov_trace_pc",
    //
    ".balign 16",
    ".globl rust_eh_personality",
    ".type rust_eh_personality, @function",
    "rust_eh_personality:",
    "ud2",
    ".size rust_eh_personality, . - rust_eh_personality",
    ".popsection",
);

struct NoHeap;

// SAFETY: every allocation fails, so there is no block that could be wrong.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;

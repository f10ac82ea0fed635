//! What the compiler and the prebuilt `core` call by name, and a libc would have brought along:
//! copying, filling and comparing memory, and two names of the unwinder.
//!
//! All are naked functions. So the compiler cannot recognise a loop in `memcpy` as a copy and turn
//! it into a call of `memcpy`; and it puts no safe point into them, which would cost every copy.
//! They keep to the System V ABI, use no stack, and no registers but rax, rcx, rdx, rsi, rdi,
//! r8–r11 and xmm0–7, all caller-saved. Called through their Rust names they are plain functions,
//! which is how the host tests see them.
//!
//! Up to 64 bytes everything is loaded before anything is stored, so one path serves `memcpy` and
//! `memmove`, and no length needs a loop: two loads that overlap in the middle cover it. Longer
//! ones go 64 bytes a round, or by `rep movsb` and `rep stosb` from the length on at which the
//! processor is faster that way ([`init`]).
//!
//! Refused: `rep movsb` for all (its start costs some 30 cycles, and QEMU's translator steps
//! through it byte by byte); AVX (its state would have to be kept at every interrupt).

use core::arch::naked_asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use raw_cpuid::{CpuId, Hypervisor};

/// From this length on `rep movsb` and `rep stosb` are used. Until [`init`] has looked: never.
static REP_MIN: AtomicUsize = AtomicUsize::new(usize::MAX);

/// CPUID.(EAX=7, ECX=0):EDX bit 4, "fast short REP MOVSB".
const FSRM: u32 = 1 << 4;

/// Looks whether this processor is fast at `rep movsb`. Optional; once, at boot.
///
/// Enhanced (ERMS) and fast short (FSRM) string operations: Intel SDM Vol. 1, 7.3.9.3, and the
/// Optimization Reference Manual, "Enhanced REP MOVSB and STOSB Operation", from where the lengths
/// are. QEMU's translator announces ERMS, and then copies a byte a round.
pub fn init() {
    let cpu = CpuId::new();
    let hypervisor = cpu.get_hypervisor_info().map(|info| info.identify());
    let features = cpu.get_extended_feature_info();
    let translated = hypervisor == Some(Hypervisor::QEMU);
    let min = match features {
        Some(features) if features.has_rep_movsb_stosb() && !translated => {
            let fast_short = raw_cpuid::cpuid!(7, 0).edx & FSRM != 0;
            if fast_short { 256 } else { 1024 }
        }
        _ => usize::MAX,
    };
    REP_MIN.store(min, Ordering::Relaxed);
}

/// Copies `n` bytes; the ranges do not overlap.
///
/// # Safety
/// As C's `memcpy`.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        // rdi = dst, rsi = src, rdx = n, throughout; rax = dst, the result.
        "mov rax, rdi",
        "cmp rdx, 64",
        "ja {long}",
        "jmp {short}",
        long = sym copy_forward,
        short = sym copy_short,
    )
}

/// Copies `n` bytes; the ranges may overlap.
///
/// # Safety
/// As C's `memmove`.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        // rdi = dst, rsi = src, rdx = n, throughout; rax = dst, the result.
        "mov rax, rdi",
        "cmp rdx, 64",
        "jbe {short}",
        // dst - src < n, unsigned: dst lies inside the source, and going up would overwrite what is
        // still to be read.
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jae {forward}",
        "jmp {backward}",
        short = sym copy_short,
        forward = sym copy_forward,
        backward = sym copy_backward,
    )
}

/// Copies up to 64 bytes, overlapping or not. Registers as in [`memmove`].
#[unsafe(naked)]
unsafe extern "C" fn copy_short() {
    naked_asm!(
        "cmp edx, 16",
        "jae 16f",
        "cmp edx, 8",
        "jae 8f",
        "cmp edx, 4",
        "jae 4f",
        "test edx, edx",
        "jz 2f",
        // 1..3 bytes: the first, the last, and the one at n / 2, which is one of them or between.
        "mov r8d, edx",
        "shr r8d, 1",
        "movzx ecx, byte ptr [rsi]",
        "movzx r9d, byte ptr [rsi + r8]",
        "movzx r10d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], cl",
        "mov [rdi + r8], r9b",
        "mov [rdi + rdx - 1], r10b",
        "2:",
        "ret",
        "4:", // 4..7
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "8:", // 8..15
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "16:", // 16..64
        "cmp edx, 32",
        "ja 32f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "32:", // 33..64
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
    )
}

/// Copies more than 64 bytes upwards; dst does not lie inside the source. Registers as in
/// [`memmove`].
#[unsafe(naked)]
unsafe extern "C" fn copy_forward() {
    naked_asm!(
        "cmp rdx, [rip + {rep_min}]",
        "jae 4f",
        // xmm4–7 = the last 64 bytes, before a round overwrites them; rcx = where they go.
        "movups xmm4, [rsi + rdx - 64]",
        "movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "lea rcx, [rdi + rdx - 64]",
        "3:", // rdi, rsi = the next bytes to copy
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "add rsi, 64",
        "add rdi, 64",
        "cmp rdi, rcx",
        "jb 3b",
        "movups [rcx], xmm4",
        "movups [rcx + 16], xmm5",
        "movups [rcx + 32], xmm6",
        "movups [rcx + 48], xmm7",
        "ret",
        "4:", // DF is clear by the ABI
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        rep_min = sym REP_MIN,
    )
}

/// Copies more than 64 bytes downwards; dst lies inside the source. Registers as in [`memmove`].
#[unsafe(naked)]
unsafe extern "C" fn copy_backward() {
    naked_asm!(
        // xmm4–7 = the first 64 bytes, before a round overwrites them.
        "movups xmm4, [rsi]",
        "movups xmm5, [rsi + 16]",
        "movups xmm6, [rsi + 32]",
        "movups xmm7, [rsi + 48]",
        "3:", // rdx = how many bytes are still to copy, the first 64 among them
        "movups xmm0, [rsi + rdx - 64]",
        "movups xmm1, [rsi + rdx - 48]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "movups [rdi + rdx - 64], xmm0",
        "movups [rdi + rdx - 48], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "sub rdx, 64",
        "cmp rdx, 64",
        "ja 3b",
        "movups [rdi], xmm4",
        "movups [rdi + 16], xmm5",
        "movups [rdi + 32], xmm6",
        "movups [rdi + 48], xmm7",
        "ret",
    )
}

/// Fills `n` bytes with the low byte of `value`.
///
/// # Safety
/// As C's `memset`.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(dst: *mut u8, value: i32, n: usize) -> *mut u8 {
    naked_asm!(
        // rdi = dst, rdx = n, throughout; rax = dst, the result; rcx = the byte, eight times.
        "mov rax, rdi",
        "movzx ecx, sil",
        "movabs r8, 0x0101010101010101",
        "imul rcx, r8",
        "cmp rdx, 16",
        "jae 16f",
        "cmp edx, 8",
        "jae 8f",
        "cmp edx, 4",
        "jae 4f",
        "test edx, edx",
        "jz 2f",
        "mov r8d, edx", // 1..3, as in `copy_short`
        "shr r8d, 1",
        "mov [rdi], cl",
        "mov [rdi + r8], cl",
        "mov [rdi + rdx - 1], cl",
        "2:",
        "ret",
        "4:", // 4..7
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], ecx",
        "ret",
        "8:", // 8..15
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], rcx",
        "ret",
        "16:", // xmm0 = the byte, 16 times
        "movq xmm0, rcx",
        "punpcklqdq xmm0, xmm0",
        "cmp rdx, 64",
        "ja 64f",
        "movups [rdi], xmm0", // 16..64: 16 at each end, and for more than 32, 16 next to these
        "movups [rdi + rdx - 16], xmm0",
        "cmp edx, 32",
        "jbe 3f",
        "movups [rdi + 16], xmm0",
        "movups [rdi + rdx - 32], xmm0",
        "3:",
        "ret",
        "64:",
        "cmp rdx, [rip + {rep_min}]",
        "jae 6f",
        "lea r8, [rdi + rdx - 64]", // where the last 64 bytes begin
        "5:", // rdi = the next bytes to fill
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "add rdi, 64",
        "cmp rdi, r8",
        "jb 5b",
        "movups [r8], xmm0",
        "movups [r8 + 16], xmm0",
        "movups [r8 + 32], xmm0",
        "movups [r8 + 48], xmm0",
        "ret",
        "6:", // DF is clear by the ABI; r8 keeps the result
        "mov r8, rax",
        "mov eax, ecx",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
        rep_min = sym REP_MIN,
    )
}

/// Compares `n` bytes: less than, equal to or greater than 0, as the first that differ do.
///
/// # Safety
/// As C's `memcmp`.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!(
        // rdi = a, rsi = b, rdx = n, throughout; rcx = how many bytes are known to be equal.
        "xor ecx, ecx",
        "2:", // eight at a time, while there are
        "lea r8, [rcx + 8]",
        "cmp r8, rdx",
        "ja 3f",
        "mov rax, [rdi + rcx]",
        "mov r9, [rsi + rcx]",
        "cmp rax, r9",
        "jne 4f",
        "mov rcx, r8",
        "jmp 2b",
        "3:", // one at a time
        "cmp rcx, rdx",
        "je 5f",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r9d, byte ptr [rsi + rcx]",
        "inc rcx",
        "sub eax, r9d",
        "jz 3b",
        "ret",
        "4:", // rax, r9 = eight bytes that differ: as big-endian numbers they compare as bytes do
        "bswap rax",
        "bswap r9",
        "cmp rax, r9",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "5:",
        "xor eax, eax",
        "ret",
    )
}

/// Compares `n` bytes: 0 if they are equal.
///
/// # Safety
/// As BSD's `bcmp`.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// The prebuilt `core` names it in its unwind tables. Nothing here reads those: panics abort.
#[cfg(not(any(test, loom)))]
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn rust_eh_personality() -> ! {
    naked_asm!("ud2")
}

/// The prebuilt `core` ends its clean-up code with it. Nothing here unwinds: panics abort.
#[cfg(not(any(test, loom)))]
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _Unwind_Resume() -> ! {
    naked_asm!("ud2")
}

#[cfg(test)]
mod tests;

//! The interrupt flag of this CPU.
//!
//! Owns nothing but RFLAGS.IF. Sections nest because each restores what it found. Refused: a
//! nesting counter per CPU, which would have to be kept in step with what iretq restores.

use core::arch::asm;

/// RFLAGS.IF (Intel SDM vol. 1, 3.4.3.3).
const IF: u64 = 1 << 9;

/// What [`save`] found; give it back to [`restore`].
#[must_use = "interrupts stay off until the flags are restored"]
pub struct Flags(u64);

/// Turns interrupts off and says what they were.
#[inline(always)]
pub fn save() -> Flags {
    let flags = read_flags();
    disable();
    Flags(flags)
}

/// Turns interrupts on again if they were on at the matching [`save`].
#[inline(always)]
pub fn restore(flags: Flags) {
    if flags.0 & IF != 0 {
        enable();
    }
}

/// `sti`. The compiler moves no memory access across it.
#[inline(always)]
pub fn enable() {
    // SAFETY: ring 0; the IDT is loaded before anything calls this.
    unsafe { asm!("sti", options(nostack)) }
}

/// `cli`. The compiler moves no memory access across it.
#[inline(always)]
pub fn disable() {
    // SAFETY: ring 0; masking interrupts breaks no memory rule.
    unsafe { asm!("cli", options(nostack)) }
}

/// Are interrupts on?
#[inline(always)]
pub fn enabled() -> bool {
    read_flags() & IF != 0
}

#[inline(always)]
fn read_flags() -> u64 {
    let flags: u64;
    // SAFETY: pushes and pops one word of this stack.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) }
    flags
}

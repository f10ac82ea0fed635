//! Names of the CPU's exceptions and the decoding of their error codes, for reports.
//!
//! Pure data and formatting: touches no hardware (Intel SDM vol. 3, table 6-1 and 4.7).

use core::fmt;

use crate::arch::trap_frame::TrapFrame;

/// Vectors below this are the CPU's own.
pub(super) const COUNT: u64 = 32;
/// The vector of the page fault.
pub const PAGE_FAULT: u64 = 14;

const NAMES: [(&str, &str); COUNT as usize] = [
    ("#DE", "divide error"),
    ("#DB", "debug exception"),
    ("NMI", "non-maskable interrupt"),
    ("#BP", "breakpoint"),
    ("#OF", "overflow"),
    ("#BR", "bound range exceeded"),
    ("#UD", "invalid opcode"),
    ("#NM", "device not available"),
    ("#DF", "double fault"),
    ("#9", "coprocessor segment overrun"),
    ("#TS", "invalid TSS"),
    ("#NP", "segment not present"),
    ("#SS", "stack-segment fault"),
    ("#GP", "general protection fault"),
    ("#PF", "page fault"),
    ("#15", "reserved exception"),
    ("#MF", "x87 floating-point error"),
    ("#AC", "alignment check"),
    ("#MC", "machine check"),
    ("#XM", "SIMD floating-point exception"),
    ("#VE", "virtualization exception"),
    ("#CP", "control protection exception"),
    ("#22", "reserved exception"),
    ("#23", "reserved exception"),
    ("#24", "reserved exception"),
    ("#25", "reserved exception"),
    ("#26", "reserved exception"),
    ("#27", "reserved exception"),
    ("#HV", "hypervisor injection exception"),
    ("#VC", "VMM communication exception"),
    ("#SX", "security exception"),
    ("#31", "reserved exception"),
];

/// The name of a vector in words ("page fault").
pub fn name(vector: u64) -> &'static str {
    NAMES.get(vector as usize).map_or("interrupt", |n| n.1)
}

/// The manual's short name of a vector ("#PF").
pub fn mnemonic(vector: u64) -> &'static str {
    NAMES.get(vector as usize).map_or("INT", |n| n.0)
}

/// Does the CPU push an error code for this vector? The stubs in `traps.rs` hold the same list
/// in assembly.
fn has_error_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// One line about a trap: name, vector, error code, and for a page fault what was tried where.
pub struct Summary<'a>(pub &'a TrapFrame);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.0;
        let vector = frame.vector;
        write!(f, "{} ({} vector {vector})", name(vector), mnemonic(vector))?;
        if has_error_code(vector) {
            write!(f, ", error code {:#x}", frame.error)?;
        }
        if vector == PAGE_FAULT {
            write!(f, ": {} at {:#x}", PageFaultCode(frame.error), frame.cr2)?;
        }
        Ok(())
    }
}

/// A page fault's error code in words.
pub struct PageFaultCode(pub u64);

impl fmt::Display for PageFaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |n: u32| self.0 & (1 << n) != 0;
        let access = match (bit(4), bit(1)) {
            (true, _) => "execute of",
            (false, true) => "write to",
            (false, false) => "read of",
        };
        let page = if bit(0) { "protected" } else { "unmapped" };
        write!(f, "{access} {page} memory")?;
        if bit(2) {
            f.write_str(" from ring 3")?;
        }
        if bit(3) {
            f.write_str(", reserved page-table bit set")?;
        }
        Ok(())
    }
}

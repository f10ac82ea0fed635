//! The last step: the kernel's page tables, its stack, its entry point.

use core::arch::asm;

/// Enters the kernel with `boot_info` (its address for it) as its argument.
///
/// The kernel finds, as `bootloader_api` and System V promise at a function's entry: `rdi` = the
/// `BootInfo`, `rsp` + 8 a multiple of 16, `rbp` 0, the direction flag clear, interrupts off. The
/// word on the stack is a return address of 0: the entry point must not return, and if it does,
/// the page fault there is reported.
pub(crate) fn kernel(root: u64, stack_top: u64, entry: u64, boot_info: u64) -> ! {
    // SAFETY: the tables at `root` map this code and the GDT where they are (load::boot_stage),
    // the stack below `stack_top`, and executable code at `entry` (elf.rs). The boot stage's own
    // stack and variables are not used again.
    unsafe {
        asm!(
            "mov cr3, {root}",
            "mov rsp, {stack_top}",
            "xor ebp, ebp",
            "push 0",
            // rdi = BootInfo
            "jmp {entry}",
            root = in(reg) root,
            stack_top = in(reg) stack_top,
            entry = in(reg) entry,
            in("rdi") boot_info,
            options(noreturn),
        )
    }
}

//! The interrupt descriptor table: one for all CPUs, filled once by the boot CPU.
//!
//! All 256 gates are present, interrupt gates (IF off on entry), each with its IST stack, so
//! that no vector, however unexpected, ends in a triple fault. The x86_64 crate's `Entry` is
//! used; its `InterruptDescriptorTable` is not, because it hides the reserved vectors and wants
//! handlers with the unstable interrupt calling convention for the others.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::idt::{Entry, HandlerFunc};

use super::gdt::Ist;
use super::traps;
use crate::arch::exceptions;

const GATES: usize = 256;

#[repr(C, align(16))]
struct Idt(UnsafeCell<[Entry<HandlerFunc>; GATES]>);

// SAFETY: written by `fill` on the boot CPU before any other CPU runs, read by hardware after.
unsafe impl Sync for Idt {}

/// The boot CPU's while it is filled; only read once there are others.
static IDT: Idt = Idt(UnsafeCell::new([const { Entry::missing() }; GATES]));

/// Fills the table.
///
/// # Safety
/// On the boot CPU, once, with interrupts off, after its GDT is loaded: the gates take the
/// current code segment, which has the same selector on all CPUs.
pub(super) unsafe fn fill() {
    for vector in 0..GATES {
        let entry = VirtAddr::new(traps::entry_address(vector) as u64);
        // SAFETY: no other CPU runs yet; the address is the vector's own stub, and every IST
        // slot named here is set by `gdt::set_stacks`.
        unsafe {
            let gates = &mut *IDT.0.get();
            gates[vector]
                .set_handler_addr(entry)
                .set_stack_index(stack_of(vector) as u16);
        }
    }
}

/// Loads the table on this CPU.
///
/// # Safety
/// After [`fill`], with this CPU's GDT and TSS loaded.
pub(super) unsafe fn load() {
    let pointer = DescriptorTablePointer {
        limit: (size_of::<Idt>() - 1) as u16,
        base: VirtAddr::from_ptr(IDT.0.get()),
    };
    // SAFETY: the table is static and filled (caller).
    unsafe { lidt(&pointer) }
}

/// Exceptions with a stack of their own besides the page fault (Intel SDM vol. 3, table 6-1).
pub(super) const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const MACHINE_CHECK: u64 = 18;

fn stack_of(vector: usize) -> Ist {
    match vector as u64 {
        NMI => Ist::Nmi,
        DOUBLE_FAULT => Ist::DoubleFault,
        exceptions::PAGE_FAULT => Ist::PageFault,
        MACHINE_CHECK => Ist::MachineCheck,
        0..exceptions::COUNT => Ist::Exception,
        _ => Ist::Irq,
    }
}

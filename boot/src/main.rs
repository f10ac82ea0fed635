//! The boot stage: from the loader's 32-bit entry to the kernel's ELF entry.
//!
//! It keeps the promise of `bootloader_api` 0.11 without its disk image: QEMU (or any PVH loader)
//! or GRUB (Multiboot2) puts this small ELF and, as a module, the kernel's ELF into memory. The
//! steps are the lines of [`boot`], in order.
//!
//! Invariants:
//! - One CPU, interrupts off, physical = virtual for the first 4 GiB until the last instruction.
//! - The kernel's file is only read. What is loaded goes to free frames; the file stays where the
//!   loader put it, for the kernel's symbols.
//! - Whatever cannot be done as asked ends in one line on COM1 and exit status 2 ([`Refusal`]).
//!
//! Rejected: running the kernel's segments in place in its file (as the `bootloader` crate does).
//! It saves a copy of a few MB, but the kernel's own file then changes under its symbol reader.

#![no_std]
#![no_main]

mod address;
mod bootinfo;
mod config;
mod elf;
mod enter;
mod entry;
mod exit;
mod handover;
mod load;
mod memory;
mod multiboot2;
mod paging;
mod pvh;
mod ranges;
mod refusal;
mod rsdp;
mod runtime;
mod sections;
mod serial;
mod traps;

use handover::{Handover, Protocol};
use refusal::Refusal;

/// First Rust code, called by [`entry`] in 64-bit mode on the boot stack.
///
/// `protocol` is a [`Protocol`] number and `info` the physical address of what the loader left.
extern "C" fn boot_main(protocol: u32, info: u32) -> ! {
    serial::init();
    traps::install();
    let Err(refusal) = boot(protocol, info);
    exit::refuse(format_args!("{refusal}"))
}

/// The boot order.
fn boot(protocol: u32, info: u32) -> Result<core::convert::Infallible, Refusal> {
    let handover: Handover = match Protocol::from_number(protocol) {
        Protocol::Pvh => pvh::read(info)?,
        Protocol::Multiboot2 => multiboot2::read(info)?,
    };
    let kernel = elf::Kernel::parse(handover.kernel)?;
    let config = config::read(&kernel)?;
    let mut memory = memory::Memory::new(&handover)?;
    let plan = address::Plan::new(&config, &kernel, &handover)?;
    let mut space = paging::AddressSpace::new(&mut memory)?;

    load::boot_stage(&mut space, &mut memory)?;
    load::segments(&kernel, &mut space, &mut memory)?;
    load::stack(&plan, &mut space, &mut memory)?;
    load::ramdisk(&plan, handover.command_line, &mut space, &mut memory)?;
    load::physical_memory(&plan, &handover, &mut space, &mut memory)?;
    if let Some(index) = plan.recursive_index {
        space.map_recursively(index);
    }
    // Last: it records what memory all the others took.
    bootinfo::write(&plan, &handover, &kernel, &mut space, &mut memory)?;

    enter::kernel(space.root(), plan.stack_top(), kernel.entry, plan.boot_info)
}

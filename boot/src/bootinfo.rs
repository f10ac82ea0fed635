//! Writes the `BootInfo` and the memory regions behind it.
//!
//! Both lie in one row of frames, the `BootInfo` first. The kernel's addresses go into it; it is
//! written through the boot stage's own.
//!
//! Two fields follow the words of the crate's documentation: `kernel_addr` is physical, and
//! `kernel_image_offset` is where the image starts (the `bootloader` crate gives 0 for an image
//! that is not relocated).

use core::mem::MaybeUninit;

use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegion;

use crate::address::{Plan, REGIONS_OFFSET};
use crate::elf::Kernel;
use crate::handover::Handover;
use crate::load;
use crate::memory::{MAX_REGIONS, Memory};
use crate::paging::{AddressSpace, Rights};
use crate::refusal::MemoryFault;

pub(crate) fn write(
    plan: &Plan,
    handover: &Handover,
    kernel: &Kernel,
    space: &mut AddressSpace,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    let run = memory.take_zeroed(plan.boot_info_len)?;
    let boot_info = run.start as *mut BootInfo;
    let regions = (run.start + REGIONS_OFFSET) as *mut [MaybeUninit<MemoryRegion>; MAX_REGIONS];
    load::map_small(space, plan.boot_info, run, Rights::ReadWrite, memory)?;

    // From here on no memory is taken, so the regions are true.
    // SAFETY: `run` has room for both, aligned (REGIONS_OFFSET); it is mapped one to one and
    // nobody else's.
    let len = memory.write_regions(&handover.memory_map, unsafe { &mut *regions })?;
    let regions_virt = (plan.boot_info + REGIONS_OFFSET) as *mut MemoryRegion;
    // SAFETY: not read here; in the kernel's address space it is that many written regions.
    let regions: &'static mut [MemoryRegion] =
        unsafe { core::slice::from_raw_parts_mut(regions_virt, len) };

    let mut info = BootInfo::new(regions.into());
    info.physical_memory_offset = plan.physical_memory.into();
    info.recursive_index = plan.recursive_index.into();
    info.rsdp_addr = handover.rsdp_addr.into();
    info.tls_template = kernel.tls.into();
    info.ramdisk_addr = plan.ramdisk.into();
    info.ramdisk_len = handover.command_line.len() as u64;
    info.kernel_addr = handover.kernel.as_ptr() as u64;
    info.kernel_len = handover.kernel.len() as u64;
    info.kernel_image_offset = kernel.base();
    info.kernel_stack_bottom = plan.stack_bottom;
    info.kernel_stack_len = plan.stack_len;
    // SAFETY: as above; the two do not overlap.
    unsafe { boot_info.write(info) };
    Ok(())
}

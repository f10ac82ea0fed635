//! Reads the information of the Multiboot2 boot protocol into a [`Handover`].
//!
//! GRUB is the loader in mind, from a BIOS or from UEFI: asked for no EFI entry point, it ends the
//! boot services itself and enters as on a BIOS, with a memory map made from UEFI's. Everything
//! lies below 4 GiB. The structure stays out of the free memory as a whole: the command line is
//! read from it, and it has a copy of ACPI's root pointer, which under UEFI no search would find.
//!
//! The crate `multiboot2` 0.28 was looked at: its iterator of tags panics on a size that does not
//! fit, where a line for the user is wanted, and it brings many crates for a list of lengths.

mod quoting;
mod tags;

pub(crate) use tags::TagFault;

use core::slice;

use crate::handover::{Handover, MAX_COMMAND_LINE, MemoryMap, check_visible};
use crate::refusal::LoaderFault;
use crate::rsdp;
use tags::Information;

/// Total size and a reserved word.
const HEADER_LEN: u64 = 8;

/// What the name of a loader that quotes like GRUB begins with.
const GRUB: &[u8] = b"GRUB";

/// Reads the structure at physical address `info`.
pub(crate) fn read(info: u32) -> Result<Handover, LoaderFault> {
    let addr = u64::from(info);
    let what = "Multiboot2 information";
    check_visible(addr, HEADER_LEN, what)?;
    // SAFETY: not null and inside the identity mapping; no alignment is assumed.
    let total = unsafe { (addr as *const u32).read_unaligned() };
    check_visible(addr, u64::from(total), what)?;
    // SAFETY: inside the identity mapping (checked above), and memory.rs never hands it out.
    let bytes = unsafe { slice::from_raw_parts_mut(addr as *mut u8, total as usize) };
    let found = Information::parse(bytes).map_err(LoaderFault::Multiboot2)?;

    let mut memory_map = MemoryMap::new();
    for entry in found.memory_map(bytes) {
        memory_map.push(entry.start, entry.size, entry.kind)?;
    }
    let kernel = read_kernel(&found)?;
    let command_line = found.command_line.clone().unwrap_or(0..0);
    if command_line.len() > MAX_COMMAND_LINE {
        return Err(LoaderFault::CommandLineTooLong);
    }
    let is_grub = found
        .loader_name
        .clone()
        .is_some_and(|name| bytes[name].starts_with(GRUB));
    let text = &mut bytes[command_line.clone()];
    let len = if is_grub {
        quoting::undo(text)
    } else {
        text.len()
    };
    let information: &'static [u8] = bytes;
    Ok(Handover {
        memory_map,
        kernel,
        command_line: &information[command_line.start..command_line.start + len],
        information,
        rsdp_addr: rsdp::find(found.rsdp.map_or(0, |rsdp| addr + rsdp.start as u64)),
    })
}

fn read_kernel(found: &Information) -> Result<&'static [u8], LoaderFault> {
    let module = match (found.module, found.module_count) {
        (Some(module), 1) => module,
        (None, _) => return Err(LoaderFault::NoKernel),
        (_, count) => return Err(LoaderFault::ManyModules(count)),
    };
    let len = module.end.saturating_sub(module.start);
    if len == 0 {
        return Err(LoaderFault::EmptyKernel);
    }
    check_visible(u64::from(module.start), u64::from(len), "kernel file")?;
    // SAFETY: not null and inside the identity mapping (checked above); the loader has put the
    // module there, memory.rs never hands it out, and nothing writes to it.
    Ok(unsafe { slice::from_raw_parts(module.start as *const u8, len as usize) })
}

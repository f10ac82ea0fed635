//! Reads the `hvm_start_info` of the PVH boot protocol into a [`Handover`].
//!
//! The format is Xen's `xen/include/public/arch-x86/hvm/start_info.h`: integers little endian,
//! addresses physical. Version 1 is needed, since version 0 has no memory map. Everything must
//! lie below 4 GiB, where the boot stage can see it; no loader puts it elsewhere.
//!
//! The kernel is the first and only module. Further ones are refused rather than ignored: their
//! memory would be handed out as free.

use core::mem::size_of;

use crate::handover::{Handover, MAX_COMMAND_LINE, MemoryMap, check_visible};
use crate::refusal::LoaderFault;
use crate::rsdp;

const MAGIC: u32 = 0x336e_c578;

#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules_paddr: u64,
    command_line_paddr: u64,
    rsdp_paddr: u64,
    memory_map_paddr: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Module {
    paddr: u64,
    size: u64,
    command_line_paddr: u64,
    reserved: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapEntry {
    addr: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// Reads the start info at physical address `info`.
pub(crate) fn read(info: u32) -> Result<Handover, LoaderFault> {
    let info: StartInfo = read_at(u64::from(info), 0, "start info")?;
    if info.magic != MAGIC {
        return Err(LoaderFault::StartInfoMagic(info.magic));
    }
    if info.version < 1 {
        return Err(LoaderFault::StartInfoVersion(info.version));
    }
    Ok(Handover {
        memory_map: read_memory_map(&info)?,
        kernel: read_kernel(&info)?,
        command_line: read_command_line(info.command_line_paddr)?,
        // Nothing of the start info is needed any more: its root pointer is the firmware's own.
        information: &[],
        rsdp_addr: rsdp::find(info.rsdp_paddr),
    })
}

fn read_memory_map(info: &StartInfo) -> Result<MemoryMap, LoaderFault> {
    let mut map = MemoryMap::new();
    for index in 0..info.memory_map_entries {
        let entry: MapEntry = read_at(info.memory_map_paddr, index, "memory map")?;
        map.push(entry.addr, entry.size, entry.kind)?;
    }
    Ok(map)
}

fn read_kernel(info: &StartInfo) -> Result<&'static [u8], LoaderFault> {
    match info.module_count {
        0 => return Err(LoaderFault::NoKernel),
        1 => {}
        count => return Err(LoaderFault::ManyModules(count)),
    }
    let module: Module = read_at(info.modules_paddr, 0, "module list")?;
    if module.size == 0 {
        return Err(LoaderFault::EmptyKernel);
    }
    check_visible(module.paddr, module.size, "kernel file")?;
    // SAFETY: the range is not null and inside the identity mapping (checked above); the loader
    // has put the module there, memory.rs never hands it out, and nothing writes to it.
    Ok(unsafe { core::slice::from_raw_parts(module.paddr as *const u8, module.size as usize) })
}

/// The bytes before the NUL at `paddr`; none if the loader gave no command line.
fn read_command_line(paddr: u64) -> Result<&'static [u8], LoaderFault> {
    if paddr == 0 {
        return Ok(&[]);
    }
    check_visible(paddr, MAX_COMMAND_LINE as u64, "command line")?;
    // SAFETY: inside the identity mapping (checked above); all of it may be read, RAM or not, and
    // nothing writes there while the boot stage runs.
    let bytes = unsafe { core::slice::from_raw_parts(paddr as *const u8, MAX_COMMAND_LINE) };
    let len = bytes
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(LoaderFault::CommandLineTooLong)?;
    Ok(&bytes[..len])
}

/// Element `index` of the array of `T` at physical address `paddr`.
fn read_at<T: Copy>(paddr: u64, index: u32, what: &'static str) -> Result<T, LoaderFault> {
    let offset = u64::from(index) * size_of::<T>() as u64;
    let addr = paddr
        .checked_add(offset)
        .ok_or(LoaderFault::NotVisible { what, addr: paddr })?;
    check_visible(addr, size_of::<T>() as u64, what)?;
    // SAFETY: not null and inside the identity mapping; `T` is one of the integer-only structs of
    // this file, valid for any bytes, and no alignment is assumed.
    Ok(unsafe { core::ptr::read_unaligned(addr as *const T) })
}

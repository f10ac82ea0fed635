//! Brings into memory, and into the kernel's page tables, what the kernel finds there: its
//! segments, its stack, the command line, physical memory, and this boot stage itself.

use core::ptr;

use crate::address::Plan;
use crate::elf::{Kernel, Segment};
use crate::handover::{E820_RAM, Handover};
use crate::memory::{self, Memory, PAGE_SIZE, Run};
use crate::paging::{self, AddressSpace, Mapping, PageLevel, Rights};
use crate::ranges::Range;
use crate::refusal::MemoryFault;

const GIB: u64 = 1 << 30;

/// Maps this image where it is, with its own rights. The jump to the kernel needs it, and with it
/// the GDT, IDT and exception stack stay good until the kernel has its own, so that an early fault
/// is a line on COM1 and not a reset.
pub(crate) fn boot_stage(space: &mut AddressSpace, memory: &mut Memory) -> Result<(), MemoryFault> {
    unsafe extern "C" {
        static __boot_text_start: u8;
        static __boot_data_start: u8;
    }
    let image = memory::boot_image();
    let text = &raw const __boot_text_start as u64;
    let data = &raw const __boot_data_start as u64;
    for (start, end, rights) in [
        (image.start, text, Rights::Read),
        (text, data, Rights::ReadExecute),
        (data, image.end, Rights::ReadWrite),
    ] {
        let len = end - start;
        map_small(space, start, Run { start, len }, rights, memory)?;
    }
    Ok(())
}

/// Copies the kernel's segments to free frames and maps them with their own rights.
pub(crate) fn segments(
    kernel: &Kernel,
    space: &mut AddressSpace,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    for segment in kernel.segments() {
        let rights = match (segment.writable, segment.executable) {
            (false, false) => Rights::Read,
            (false, true) => Rights::ReadExecute,
            (true, false) => Rights::ReadWrite,
            (true, true) => unreachable!("elf.rs refuses such a segment"),
        };
        let end = segment.page_end();
        check_room(end - segment.page_start(), "the kernel's segments", memory)?;
        let mut virt = segment.page_start();
        while virt < end {
            let run = memory.take_run(end - virt)?;
            let len = run.len;
            fill(&run, virt, &segment);
            map_small(space, virt, run, rights, memory)?;
            virt += len;
        }
    }
    Ok(())
}

/// Writes all of `run`, which is to be seen at `virt`: the segment's bytes, and zeros around them.
fn fill(run: &Run, virt: u64, segment: &Segment) {
    let data = Range::new(segment.vaddr, segment.vaddr + segment.data.len() as u64);
    let here = Range::new(virt, virt + run.len);
    // Without data the zeros start at once.
    let copied = data
        .clip(here)
        .unwrap_or(Range::new(here.start, here.start));
    let to = run.start as *mut u8;
    let (before, len) = ((copied.start - here.start) as usize, copied.len() as usize);
    let source = segment
        .data
        .get((copied.start.max(data.start) - data.start) as usize..);
    let source = source.unwrap_or(&[]);
    // SAFETY: `run` was free RAM, mapped one to one, and is nobody else's: the three writes
    // stay inside it, and `source` has `len` bytes (or `len` is 0) in the kernel's file, which is
    // never in free RAM.
    unsafe {
        ptr::write_bytes(to, 0, before);
        ptr::copy_nonoverlapping(source.as_ptr(), to.add(before), len);
        ptr::write_bytes(to.add(before + len), 0, run.len as usize - before - len);
    }
}

/// Maps the stack; the guard page below it is left out.
pub(crate) fn stack(
    plan: &Plan,
    space: &mut AddressSpace,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    check_room(plan.stack_len, "the kernel's stack", memory)?;
    let len = memory::page_up(plan.stack_len).expect("address.rs has placed it");
    let end = plan.stack_bottom + len;
    let mut virt = plan.stack_bottom;
    while virt < end {
        let run = memory.take_run(end - virt)?;
        let len = run.len;
        map_small(space, virt, run, Rights::ReadWrite, memory)?;
        virt += len;
    }
    Ok(())
}

/// Copies the command line to pages of its own: what lies beside it is not the kernel's.
pub(crate) fn ramdisk(
    plan: &Plan,
    text: &[u8],
    space: &mut AddressSpace,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    let Some(virt) = plan.ramdisk else {
        return Ok(());
    };
    let run = memory.take_zeroed(text.len() as u64)?;
    // SAFETY: `run` is at least as long as the text, mapped one to one and nobody else's.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), run.start as *mut u8, text.len()) };
    map_small(space, virt, run, Rights::ReadWrite, memory)
}

/// Maps all physical memory, if the kernel wants it.
///
/// A large page over memory of several types is undefined (Intel SDM volume 3, section 13.11.9),
/// so a page of 1 GiB is used only where the memory map shows one thing.
pub(crate) fn physical_memory(
    plan: &Plan,
    handover: &Handover,
    space: &mut AddressSpace,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    let Some(offset) = plan.physical_memory else {
        return Ok(());
    };
    let has_1gib_pages = paging::has_1gib_pages();
    let mut phys = 0;
    while phys < plan.physical_memory_len {
        let len = GIB.min(plan.physical_memory_len - phys);
        let uniform = is_uniform(handover, Range::new(phys, phys + len));
        let largest = if has_1gib_pages && uniform {
            PageLevel::Size1GiB
        } else {
            PageLevel::Size2MiB
        };
        let rights = Rights::ReadWrite;
        space.map(
            Mapping {
                virt: offset + phys,
                phys,
                len,
                rights,
                largest,
            },
            memory,
        )?;
        phys += len;
    }
    Ok(())
}

/// Whether the memory map shows `range` as all RAM or, above 4 GiB, as all of one kind or empty.
/// Below that, a hole holds devices of all sorts.
fn is_uniform(handover: &Handover, range: Range) -> bool {
    let mut touching = handover
        .memory_map
        .entries()
        .iter()
        .filter(|entry| entry.start < range.end && range.start < entry.end);
    match (touching.next(), touching.next()) {
        (None, _) => range.start >= 4 * GIB,
        (Some(entry), None) => {
            let whole = entry.start <= range.start && range.end <= entry.end;
            whole && (entry.kind == E820_RAM || range.start >= 4 * GIB)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Says early, and by name, what does not fit. A little more may be wanted for page tables.
fn check_room(need: u64, what: &'static str, memory: &Memory) -> Result<(), MemoryFault> {
    let have = memory.allocatable_len();
    if need > have {
        Err(MemoryFault::DoesNotFit { what, need, have })
    } else {
        Ok(())
    }
}

/// Maps a run of frames with 4 KiB pages.
pub(crate) fn map_small(
    space: &mut AddressSpace,
    virt: u64,
    run: Run,
    rights: Rights,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    debug_assert!(run.len.is_multiple_of(PAGE_SIZE));
    let Run { start: phys, len } = run;
    space.map(
        Mapping {
            virt,
            phys,
            len,
            rights,
            largest: PageLevel::Size4KiB,
        },
        memory,
    )
}

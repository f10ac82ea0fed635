//! Physical memory: which of it is RAM, which of that is still free, and the kernel's map of it.
//!
//! Invariants:
//! - `free` is a part of `ram`; both consist of whole pages.
//! - What the loader left and someone still needs (this image, the kernel's file, the command
//!   line, the loader's information) is never in `free`. Neither is page 0: it holds the BIOS data
//!   area, and as a frame its address would look like a null pointer.
//! - Where the firmware's entries overlap, the one that is not RAM wins.
//!
//! Frames come from the lowest free memory above 1 MiB, so that the kernel finds the low megabyte
//! free for the start of its other CPUs, and what was taken forms few regions. Nothing is freed.

use core::mem::MaybeUninit;

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use crate::handover::{E820_RAM, Handover, MAX_MAP_ENTRIES, MapEntry, MemoryMap};
use crate::ranges::{Full, Range, RangeSet};
use crate::refusal::MemoryFault;

pub(crate) const PAGE_SIZE: u64 = 4096;

/// Frames come from here: above what real-mode code needs, below the end of the boot stage's
/// identity mapping.
const ALLOCATABLE: Range = Range::new(1 << 20, 1 << 32);

/// Ranges of RAM: twice the map's entries, since each used piece splits at most one.
const MAX_RANGES: usize = 2 * MAX_MAP_ENTRIES;

/// Most regions that the kernel can be told of.
pub(crate) const MAX_REGIONS: usize = 4 * MAX_MAP_ENTRIES;

impl From<Full> for MemoryFault {
    fn from(_: Full) -> Self {
        MemoryFault::MapTooLong
    }
}

/// Some free frames in a row, taken.
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

pub(crate) struct Memory {
    ram: RangeSet<MAX_RANGES>,
    free: RangeSet<MAX_RANGES>,
}

impl Memory {
    pub(crate) fn new(handover: &Handover) -> Result<Self, MemoryFault> {
        let mut ram = RangeSet::new();
        for entry in ram_entries(&handover.memory_map) {
            // Only whole pages; an entry that has none is dropped by insert.
            let start = page_up(entry.start).unwrap_or(u64::MAX);
            ram.insert(Range::new(start, page_down(entry.end)))?;
        }
        for entry in other_entries(&handover.memory_map) {
            ram.remove(page_range(entry.start, entry.end))?;
        }
        let mut free = ram.clone();
        free.remove(page_range(0, 1))?;
        free.remove(boot_image())?;
        for bytes in [handover.kernel, handover.command_line, handover.information] {
            let start = bytes.as_ptr() as u64;
            free.remove(page_range(start, start + bytes.len() as u64))?;
        }
        Ok(Self { ram, free })
    }

    /// Takes up to `len` bytes of whole frames, fewer if the lowest free range is shorter. Their
    /// content is anything.
    pub(crate) fn take_run(&mut self, len: u64) -> Result<Run, MemoryFault> {
        let range = self.allocatable().next().ok_or(MemoryFault::OutOfMemory)?;
        let len = range
            .len()
            .min(page_up(len).ok_or(MemoryFault::OutOfMemory)?);
        self.take(Run {
            start: range.start,
            len,
        })
    }

    /// Takes at least `len` bytes in one row, filled with zeros.
    pub(crate) fn take_zeroed(&mut self, len: u64) -> Result<Run, MemoryFault> {
        let len = page_up(len).ok_or(MemoryFault::OutOfMemory)?;
        let range = self
            .allocatable()
            .find(|range| range.len() >= len)
            .ok_or(MemoryFault::OutOfMemory)?;
        let run = self.take(Run {
            start: range.start,
            len,
        })?;
        // SAFETY: RAM below 4 GiB, which is mapped one to one, and which nothing else uses since
        // it was in `free`.
        unsafe { core::ptr::write_bytes(run.start as *mut u8, 0, run.len as usize) };
        Ok(run)
    }

    /// Bytes of RAM that are still free for the boot stage.
    pub(crate) fn allocatable_len(&self) -> u64 {
        self.allocatable().map(Range::len).sum()
    }

    fn allocatable(&self) -> impl Iterator<Item = Range> + '_ {
        self.free.iter().filter_map(|range| range.clip(ALLOCATABLE))
    }

    /// Each frame is tried before it is believed: with page tables in memory that is not there, the
    /// machine would reset without a word.
    fn take(&mut self, run: Run) -> Result<Run, MemoryFault> {
        let end = run.start + run.len;
        self.free.remove(Range::new(run.start, end))?;
        let mut frames = (run.start..end).step_by(PAGE_SIZE as usize);
        match frames.find(|&frame| !holds_what_is_written(frame)) {
            Some(frame) => Err(MemoryFault::NotRam(frame)),
            None => Ok(run),
        }
    }

    /// Writes the kernel's map: RAM that is free (`Usable`) or not (`Bootloader`), and the
    /// firmware's other entries as they came, all sorted by start. Returns how many there are.
    pub(crate) fn write_regions(
        &self,
        map: &MemoryMap,
        regions: &mut [MaybeUninit<MemoryRegion>; MAX_REGIONS],
    ) -> Result<usize, MemoryFault> {
        let mut used = self.ram.clone();
        for range in self.free.iter() {
            used.remove(range)?;
        }
        let region = |range: Range, kind| MemoryRegion {
            start: range.start,
            end: range.end,
            kind,
        };
        let free = self
            .free
            .iter()
            .map(|range| region(range, MemoryRegionKind::Usable));
        let used = used
            .iter()
            .map(|range| region(range, MemoryRegionKind::Bootloader));
        let other = other_entries(map).map(|entry| MemoryRegion {
            start: entry.start,
            end: entry.end,
            kind: MemoryRegionKind::UnknownBios(entry.kind),
        });
        let mut len = 0;
        for region in free.chain(used).chain(other) {
            regions
                .get_mut(len)
                .ok_or(MemoryFault::MapTooLong)?
                .write(region);
            len += 1;
        }
        // SAFETY: the loop has written the first `len` elements.
        let written = unsafe { regions[..len].assume_init_mut() };
        written.sort_unstable_by_key(|region| region.start);
        Ok(len)
    }
}

/// Whether the first word of a free frame is RAM. Two values, as a bus that nobody drives may
/// happen to give one of them.
fn holds_what_is_written(frame: u64) -> bool {
    let word = frame as *mut u64;
    [frame, !frame].into_iter().all(|value| {
        // SAFETY: below 4 GiB, which is mapped one to one; by the memory map free, so nothing uses
        // it, and if the map is wrong there is no better use for it.
        unsafe {
            word.write_volatile(value);
            word.read_volatile() == value
        }
    })
}

/// Where this image lies, whole pages.
pub(crate) fn boot_image() -> Range {
    unsafe extern "C" {
        static __boot_start: u8;
        static __boot_end: u8;
    }
    Range::new(&raw const __boot_start as u64, &raw const __boot_end as u64)
}

fn ram_entries(map: &MemoryMap) -> impl Iterator<Item = &MapEntry> {
    map.entries().iter().filter(|entry| entry.kind == E820_RAM)
}

fn other_entries(map: &MemoryMap) -> impl Iterator<Item = &MapEntry> {
    map.entries().iter().filter(|entry| entry.kind != E820_RAM)
}

fn page_down(addr: u64) -> u64 {
    addr & !(PAGE_SIZE - 1)
}

/// `len` in whole pages.
pub(crate) fn page_up(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(PAGE_SIZE)
}

/// The pages that hold any of `start..end`.
fn page_range(start: u64, end: u64) -> Range {
    Range::new(page_down(start), page_up(end).unwrap_or(u64::MAX))
}

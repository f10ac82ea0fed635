//! The kernel's address space: one set of 4-level page tables, shared by all CPUs.
//!
//! Owns everything below the PML4 entries of stacks, system stacks, heap and arena; what the boot
//! stage mapped in the upper half (image, physical memory, boot information) it reads and leaves
//! alone; the lower half is emptied. The root is the one that the boot stage left in CR3 and never
//! changes.
//!
//! # Many writers, no lock
//!
//! Page-fault handlers map frames in interrupt context on all CPUs at once, so there is no lock:
//!
//! - an entry goes from 0 to a table by compare-and-swap; who loses frees his table and takes the
//!   winner's;
//! - a table, once there, stays for ever. So a walk never meets a table that is being freed. The
//!   price: tables of addresses that are no longer used stay (2 MiB of addresses: 4 KiB);
//! - a leaf goes from 0 to a frame by compare-and-swap (mapping twice is refused) and back to 0 by
//!   a swap, which hands the frame to exactly one caller.
//!
//! # TLB
//!
//! Mapping needs no invalidation: processors do not cache entries that are not present (Intel SDM
//! Vol. 3A, 4.10.2.3). After [`unmap`] the **caller** invalidates: until every CPU that may have
//! used the address has done so (`invlpg` or a CR3 load), neither the frame may be reused while
//! somebody may still touch the address, nor the address be mapped again.
//!
//! # Rights
//!
//! No page is writable and executable, code and constants are not writable, page 0 and all else
//! below the upper half is not there, and nothing is for ring 3 (`tests/pages.rs` walks the live
//! tables and holds them to that). **One alias is known**: all physical memory is mapped once more
//! at [`PHYSICAL_MEMORY`], writable and never executable, the frames of code and constants with it.
//! So a stray write through their own addresses faults, and one into that window would not. To take
//! the right from the window costs its large pages there, and buys nothing against a program that
//! runs in ring 0 and can write the tables.
//!
//! # Refused
//!
//! A page that is writable and executable: [`Rights`] cannot say it. `x86_64`'s `OffsetPageTable`:
//! it wants `&mut`, one writer at a time; its flags and register are used here. Pages that are
//! global: a CR3 load would not flush them.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use x86_64::structures::paging::PageTableFlags;

use super::frames::{self, Frames, Urgency};
use super::{FRAME_SIZE, PHYSICAL_MEMORY};
use crate::arch;

/// Where the physical address is in an entry (Intel SDM Vol. 3A, table 4-20): bits 51:12.
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;
/// Entries of a table.
const ENTRIES: usize = 512;
/// Addresses that 4 levels reach; the upper half is sign-extended.
const SPACE: u64 = 1 << 48;

/// What a page may be used for. Nothing is both writable and executable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rights {
    /// Read.
    R,
    /// Read and write.
    RW,
    /// Read and execute.
    RX,
}

/// Why a page could not be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// No frame for a page table.
    NoMemory,
    /// Something is mapped there.
    AlreadyMapped,
}

/// A stretch of addresses, mapped with the same rights throughout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The first address.
    pub start: usize,
    /// The last address (the end of the address space has no address one beyond).
    pub last: usize,
    /// Writes are allowed.
    pub writable: bool,
    /// Execution is allowed.
    pub executable: bool,
}

/// One entry that maps something: a page of 4 KiB, 2 MiB or 1 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// The first address.
    pub start: usize,
    /// The last address.
    pub last: usize,
    /// The physical address behind `start`.
    pub physical: u64,
    /// Writes are allowed.
    pub writable: bool,
    /// Execution is allowed.
    pub executable: bool,
    /// Ring 3 could use it, if there were any.
    pub user: bool,
    /// It would outlive a load of CR3 in the TLBs, if CR4.PGE were on.
    pub global: bool,
}

/// Frames that were unmapped and may not be reused yet: some TLB may still know them. Linked
/// through their first words, by physical address.
#[must_use = "the frames are lost unless they are released after the TLB flush"]
pub struct Unmapped {
    first: Option<u64>,
    count: usize,
    tables: PageTables,
}

/// A set of page tables.
#[derive(Clone, Copy)]
pub(super) struct PageTables {
    root: u64,
    direct_map: usize,
    frames: &'static Frames,
}

/// Frames in use as page tables made here (those of the boot stage are not ours).
static TABLE_FRAMES: AtomicUsize = AtomicUsize::new(0);

/// Physical address of the kernel's PML4; 0 until [`init`].
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Adopts the page tables that are in use, and takes away what the boot stage left below the upper
/// half: its own image, one to one, with code in it. Nothing is there that the kernel knows of, now
/// that its own descriptor tables are loaded, so that pointers that come out of numbers fault.
pub(super) fn init() {
    let (root, _) = x86_64::registers::control::Cr3::read();
    ROOT.store(root.start_address().as_u64(), Ordering::Release);
    kernel().clear_lower_half();
    arch::flush_tlb();
}

/// The kernel's page tables.
pub(super) fn kernel() -> PageTables {
    let root = ROOT.load(Ordering::Acquire);
    PageTables {
        root,
        direct_map: PHYSICAL_MEMORY,
        frames: frames::global(),
    }
}

/// Maps the page at `va` to the frame `pa`. Any context, any number of CPUs at once.
///
/// # Errors
/// [`MapError`]; the frame stays the caller's.
pub fn map(va: usize, pa: u64, rights: Rights) -> Result<(), MapError> {
    kernel().map(va, pa, rights, Urgency::Fault)
}

/// Takes the page at `va` away and returns its frame, which is the caller's now; `None` if nothing
/// (or a large page) is mapped there. **The caller invalidates the TLBs**: see the module.
pub fn unmap(va: usize) -> Option<u64> {
    kernel().unmap(va)
}

/// The physical address behind `va`.
pub fn translate(va: usize) -> Option<u64> {
    kernel().translate(va)
}

/// Physical address of the PML4 that all CPUs have in CR3.
pub fn root() -> u64 {
    ROOT.load(Ordering::Acquire)
}

/// Every page that is mapped, in order of address, with the rights that the whole path to it
/// leaves: for the audit of the rules in the module's text. A snapshot only if nobody maps
/// meanwhile.
pub fn pages() -> impl Iterator<Item = Page> {
    kernel().pages()
}

/// All that is mapped, in order of address, neighbours with the same rights joined. A snapshot only
/// if nobody maps meanwhile.
pub fn mappings() -> impl Iterator<Item = Mapping> {
    kernel().mappings()
}

/// Frames in use as page tables.
pub(super) fn table_frames() -> usize {
    TABLE_FRAMES.load(Ordering::Relaxed)
}

impl Rights {
    fn flags(self) -> u64 {
        // Accessed and dirty are set in advance: nobody reads them, and the processor need not
        // write them on first use.
        let common = PageTableFlags::PRESENT | PageTableFlags::ACCESSED | PageTableFlags::DIRTY;
        let flags = match self {
            Rights::R => common | PageTableFlags::NO_EXECUTE,
            Rights::RW => common | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE,
            Rights::RX => common,
        };
        flags.bits()
    }
}

impl PageTables {
    /// Page tables of their own, for tests.
    #[cfg(test)]
    pub(super) fn with_empty_root(direct_map: usize, frames: &'static Frames) -> Self {
        let root = frames.alloc(Urgency::Dying).expect("a test has memory");
        let tables = Self {
            root,
            direct_map,
            frames,
        };
        // SAFETY: the frame is ours alone.
        unsafe { tables.frame(root).write_bytes(0, FRAME_SIZE) };
        tables
    }

    /// Only while no other CPU runs: the tables below are forgotten, and their frames stay the boot
    /// stage's.
    fn clear_lower_half(&self) {
        for va in (0..SPACE / 2).step_by(page_size(4) as usize) {
            self.entry(self.root, va, 4).store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn map(
        &self,
        va: usize,
        pa: u64,
        rights: Rights,
        urgency: Urgency,
    ) -> Result<(), MapError> {
        debug_assert!(va.is_multiple_of(FRAME_SIZE) && pa & !ADDRESS_MASK == 0);
        let mut table = self.root;
        for level in (2..=4).rev() {
            table = self.descend(self.entry(table, va as u64, level), urgency)?;
        }
        let leaf = self.entry(table, va as u64, 1);
        // Release: who finds the page through this entry finds what was written to it before.
        leaf.compare_exchange(0, pa | rights.flags(), Ordering::Release, Ordering::Relaxed)
            .map(|_| ())
            .map_err(|_| MapError::AlreadyMapped)
    }

    /// Maps a frame of its own, with any content, at `va`.
    pub(super) fn map_new(
        &self,
        va: usize,
        rights: Rights,
        urgency: Urgency,
    ) -> Result<(), MapError> {
        let frame = self.frames.alloc(urgency).ok_or(MapError::NoMemory)?;
        // The tables above it are needed to finish what was begun.
        let urgency = if urgency == Urgency::Ordinary {
            Urgency::Fault
        } else {
            urgency
        };
        self.map(va, frame, rights, urgency)
            .inspect_err(|_| self.frames.free(frame))
    }

    /// Where the frame can be read and written.
    pub(super) fn frame(&self, pa: u64) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.direct_map + pa as usize)
    }

    pub(super) fn unmap(&self, va: usize) -> Option<u64> {
        let (leaf, level) = self.leaf(va as u64)?;
        if level != 1 {
            return None;
        }
        let was = leaf.swap(0, Ordering::AcqRel);
        (was & PageTableFlags::PRESENT.bits() != 0).then_some(was & ADDRESS_MASK)
    }

    pub(super) fn translate(&self, va: usize) -> Option<u64> {
        let (leaf, level) = self.leaf(va as u64)?;
        let entry = leaf.load(Ordering::Acquire);
        let offset_mask = page_size(level) - 1;
        let present = entry & PageTableFlags::PRESENT.bits() != 0;
        present.then_some((entry & ADDRESS_MASK & !offset_mask) | (va as u64 & offset_mask))
    }

    pub(super) fn pages(self) -> impl Iterator<Item = Page> {
        let mut from = 0;
        core::iter::from_fn(move || {
            let page = self.first_page(from)?;
            from = linear(page.last) + 1;
            Some(page)
        })
    }

    pub(super) fn mappings(self) -> impl Iterator<Item = Mapping> {
        let mut pages = self.pages().peekable();
        core::iter::from_fn(move || {
            let first = pages.next()?;
            let mut last = first.last;
            let joins = |page: &Page, last| {
                let after = linear(last) + 1;
                linear(page.start) == after
                    && after != SPACE / 2
                    && page.writable == first.writable
                    && page.executable == first.executable
            };
            while let Some(page) = pages.next_if(|page| joins(page, last)) {
                last = page.last;
            }
            Some(Mapping {
                start: first.start,
                last,
                writable: first.writable,
                executable: first.executable,
            })
        })
    }

    /// The entry of `va` in a table of the given level.
    fn entry(&self, table: u64, va: u64, level: u32) -> &'static AtomicU64 {
        let index = (va / page_size(level)) as usize % ENTRIES;
        let at = self.direct_map + table as usize + index * size_of::<u64>();
        // SAFETY: 1. `table` is the root or came out of an entry of the level above, so it is a
        // page table, which is mapped at `direct_map` like all memory; 2. tables are never freed;
        // 3. entries are only touched as atomics (and by the processor).
        unsafe { &*core::ptr::with_exposed_provenance::<AtomicU64>(at) }
    }

    /// The table that an entry leads to; made if there is none.
    fn descend(&self, entry: &AtomicU64, urgency: Urgency) -> Result<u64, MapError> {
        // Acquire pairs with the Release below: the zeroes of the table come with it.
        let mut found = entry.load(Ordering::Acquire);
        if found == 0 {
            let frame = self.frames.alloc(urgency).ok_or(MapError::NoMemory)?;
            // SAFETY: the frame is ours alone and mapped at `direct_map`.
            unsafe { self.frame(frame).write_bytes(0, FRAME_SIZE) };
            // All rights: the leaf decides. (An entry's rights are the least of its path.)
            let flags =
                PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::ACCESSED;
            let new = frame | flags.bits();
            match entry.compare_exchange(0, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => {
                    TABLE_FRAMES.fetch_add(1, Ordering::Relaxed);
                    return Ok(frame);
                }
                Err(winner) => {
                    self.frames.free(frame);
                    found = winner;
                }
            }
        }
        if found & PageTableFlags::HUGE_PAGE.bits() != 0 {
            return Err(MapError::AlreadyMapped);
        }
        Ok(found & ADDRESS_MASK)
    }

    /// The entry that maps `va`, or would if it were present, and its level (2 and 3: large pages).
    fn leaf(&self, va: u64) -> Option<(&'static AtomicU64, u32)> {
        let mut table = self.root;
        for level in (2..=4).rev() {
            let entry = self.entry(table, va, level);
            let value = entry.load(Ordering::Acquire);
            if value & PageTableFlags::PRESENT.bits() == 0 {
                return None;
            }
            if value & PageTableFlags::HUGE_PAGE.bits() != 0 {
                return Some((entry, level));
            }
            table = value & ADDRESS_MASK;
        }
        Some((self.entry(table, va, 1), 1))
    }

    /// The first page that is mapped at or above the linear index `from`.
    fn first_page(&self, mut from: u64) -> Option<Page> {
        'search: while from < SPACE {
            let mut table = self.root;
            // An entry's rights are the least of its path.
            let (mut writable, mut executable, mut user) = (true, true, true);
            for level in (1..=4).rev() {
                let size = page_size(level);
                let entry = self.entry(table, from, level).load(Ordering::Acquire);
                let flags = PageTableFlags::from_bits_truncate(entry);
                if !flags.contains(PageTableFlags::PRESENT) {
                    from = (from & !(size - 1)) + size;
                    continue 'search;
                }
                writable &= flags.contains(PageTableFlags::WRITABLE);
                executable &= !flags.contains(PageTableFlags::NO_EXECUTE);
                user &= flags.contains(PageTableFlags::USER_ACCESSIBLE);
                // Bit 7 says "large page" in levels 2 and 3; in level 1 it is PAT.
                if level == 1 || flags.contains(PageTableFlags::HUGE_PAGE) {
                    let start = from & !(size - 1);
                    return Some(Page {
                        start: canonical(start),
                        last: canonical(start + size - 1),
                        physical: entry & ADDRESS_MASK & !(size - 1),
                        writable,
                        executable,
                        user,
                        global: flags.contains(PageTableFlags::GLOBAL),
                    });
                }
                table = entry & ADDRESS_MASK;
            }
        }
        None
    }
}

impl Unmapped {
    pub(super) fn new(tables: &PageTables) -> Self {
        Self {
            first: None,
            count: 0,
            tables: *tables,
        }
    }

    /// How many frames there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Frees the frames, after the TLBs were flushed; returns how many.
    pub fn release(mut self) -> usize {
        while let Some(frame) = self.first {
            // SAFETY: `unmap` wrote the word, and the frame is still ours alone.
            let next = unsafe { self.tables.frame(frame).cast::<u64>().read() };
            self.first = (next != 0).then_some(next);
            self.tables.frames.free(frame);
        }
        self.count
    }

    /// Unmaps a page and keeps its frame; whether there was one.
    pub(super) fn unmap(&mut self, va: usize) -> bool {
        let Some(frame) = self.tables.unmap(va) else {
            return false;
        };
        // SAFETY: the frame came out of the page tables into our hands. No frame is at address 0,
        // which ends the list.
        unsafe {
            self.tables
                .frame(frame)
                .cast::<u64>()
                .write(self.first.unwrap_or(0))
        };
        self.first = Some(frame);
        self.count += 1;
        true
    }

    pub(super) fn tables(&self) -> &PageTables {
        &self.tables
    }
}

/// What an entry of a table of this level spans: 4 KiB, 2 MiB, 1 GiB, 512 GiB.
const fn page_size(level: u32) -> u64 {
    (FRAME_SIZE as u64) << (9 * (level - 1))
}

/// The address of a 48-bit linear index: bit 47 fills the bits above it.
const fn canonical(linear: u64) -> usize {
    (((linear << 16) as i64) >> 16) as usize
}

/// The 48-bit linear index of an address.
const fn linear(va: usize) -> u64 {
    va as u64 & (SPACE - 1)
}

#[cfg(test)]
mod tests;

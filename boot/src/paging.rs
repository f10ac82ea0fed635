//! The kernel's page tables (4 levels; Intel SDM volume 3, section 5.5).
//!
//! Invariants: a page is mapped once; tables hold all rights, so that the leaf alone decides; no
//! leaf is writable and executable ([`Rights`] has no such value).
//!
//! Rejected: the `Mapper` of the x86_64 crate. It walks from the root for each page, which the
//! half million large pages of a big physical memory would make the longest part of the boot.

use x86_64::PhysAddr;
use x86_64::structures::paging::page_table::{PageTable, PageTableEntry, PageTableFlags as Flags};

use crate::memory::{Memory, PAGE_SIZE};
use crate::refusal::MemoryFault;

/// What may be done with a page.
#[derive(Clone, Copy)]
pub(crate) enum Rights {
    Read,
    ReadWrite,
    ReadExecute,
}

impl Rights {
    fn flags(self) -> Flags {
        match self {
            Rights::Read => Flags::PRESENT | Flags::NO_EXECUTE,
            Rights::ReadWrite => Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE,
            Rights::ReadExecute => Flags::PRESENT,
        }
    }
}

/// The largest page that a mapping may use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PageLevel {
    Size4KiB = 1,
    Size2MiB = 2,
    Size1GiB = 3,
}

/// `len` bytes of physical memory at `phys`, to be seen at `virt`; all in whole pages.
#[derive(Clone, Copy)]
pub(crate) struct Mapping {
    pub(crate) virt: u64,
    pub(crate) phys: u64,
    pub(crate) len: u64,
    pub(crate) rights: Rights,
    pub(crate) largest: PageLevel,
}

/// Page tables that are being built, not yet in use.
pub(crate) struct AddressSpace {
    root: u64,
}

impl AddressSpace {
    pub(crate) fn new(memory: &mut Memory) -> Result<Self, MemoryFault> {
        Ok(Self {
            root: memory.take_zeroed(PAGE_SIZE)?.start,
        })
    }

    /// Physical address of the level 4 table.
    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    pub(crate) fn map(&mut self, mapping: Mapping, memory: &mut Memory) -> Result<(), MemoryFault> {
        map_in(self.root, 4, mapping, memory)
    }

    /// Makes level 4 entry `index` point to the level 4 table itself.
    pub(crate) fn map_recursively(&mut self, index: u16) {
        let entry = &mut table(self.root)[usize::from(index)];
        set(entry, self.root, Rights::ReadWrite.flags());
    }
}

/// Maps the part of the address space that the table at `table_addr`, of this level, spans.
fn map_in(
    table_addr: u64,
    level: u8,
    mapping: Mapping,
    memory: &mut Memory,
) -> Result<(), MemoryFault> {
    let span = PAGE_SIZE << (9 * (level - 1));
    let Mapping {
        mut virt,
        mut phys,
        mut len,
        rights,
        largest,
    } = mapping;
    while len > 0 {
        let entry = &mut table(table_addr)[(virt / span) as usize & 511];
        let chunk = len.min(span - virt % span);
        if chunk == span && level <= largest as u8 && phys.is_multiple_of(span) {
            let size = if level > 1 {
                Flags::HUGE_PAGE
            } else {
                Flags::empty()
            };
            set(entry, phys, rights.flags() | size);
        } else {
            if entry.is_unused() {
                let new = memory.take_zeroed(PAGE_SIZE)?.start;
                set(entry, new, Flags::PRESENT | Flags::WRITABLE);
            }
            let below = Mapping {
                virt,
                phys,
                len: chunk,
                rights,
                largest,
            };
            map_in(entry.addr().as_u64(), level - 1, below, memory)?;
        }
        // The last page of the address space has no end; nothing is mapped after it.
        virt = virt.wrapping_add(chunk);
        phys += chunk;
        len -= chunk;
    }
    Ok(())
}

fn set(entry: &mut PageTableEntry, addr: u64, flags: Flags) {
    assert!(entry.is_unused(), "address.rs gives no page twice");
    entry.set_addr(PhysAddr::new(addr), flags);
}

/// The table at a physical address that [`Memory`] has given for one.
fn table(addr: u64) -> &'static mut PageTable {
    // SAFETY: the frame was taken for a table by this file, is mapped one to one, and holds valid
    // entries since it was zeroed. The CPU does not use it yet, and each reference is dropped
    // before the next one to the same table is made.
    unsafe { &mut *(addr as *mut PageTable) }
}

/// Whether the CPU has 1 GiB pages (Intel SDM volume 2, CPUID leaf 80000001H, edx bit 26).
pub(crate) fn has_1gib_pages() -> bool {
    core::arch::x86_64::__cpuid(0x8000_0001).edx & 1 << 26 != 0
}

//! Chooses the kernel's virtual addresses: its own, those that its configuration fixes, and the
//! dynamic ones.
//!
//! Invariant: no two of them share a page, nor a page with this boot stage, which stays mapped
//! where it is (below 2 MiB, together with the null page). So `paging` never meets a page twice.
//!
//! Fixed addresses are taken first, then each dynamic mapping gets the lowest gap of the dynamic
//! range. Rejected: a whole level 4 entry (512 GiB) for each, as in the `bootloader` crate; it
//! is simple, but two fixed addresses within 512 GiB make it fail without need.

use bootloader_api::config::{Mapping, Mappings};
use bootloader_api::{BootInfo, BootloaderConfig, info::MemoryRegion};

use crate::elf::{Kernel, LOWER_HALF_END, MAX_SEGMENTS, UPPER_HALF, check_addresses};
use crate::handover::{Handover, MemoryMap};
use crate::memory::{MAX_REGIONS, PAGE_SIZE, page_up};
use crate::ranges::{Range, RangeSet};
use crate::refusal::ConfigFault;

const LARGE_PAGE_SIZE: u64 = 2 << 20;
/// What one level 4 entry spans.
const LEVEL_4_SIZE: u64 = 512 << 30;
/// The null page, low memory and the boot stage.
const BOOT_STAGE: Range = Range::new(0, 2 << 20);
/// At least this much physical memory is mapped (`Mappings::physical_memory`).
const MIN_PHYSICAL_LEN: u64 = 4 << 30;
/// `Mappings::dynamic_range_end`.
const DEFAULT_DYNAMIC_END: u64 = 0xffff_ffff_ffff_f000;

/// Each segment, the five mappings of [`Plan`], [`BOOT_STAGE`], and the gap between the halves.
const MAX_RANGES: usize = MAX_SEGMENTS + 7;

const ROOM: &str = "MAX_RANGES counts all that is ever taken";

/// Offset of the memory regions behind the `BootInfo`.
pub(crate) const REGIONS_OFFSET: u64 =
    (size_of::<BootInfo>() as u64).next_multiple_of(align_of::<MemoryRegion>() as u64);

/// Where everything goes that is not the kernel's own.
pub(crate) struct Plan {
    /// Lowest byte of the stack; the page below it stays unmapped.
    pub(crate) stack_bottom: u64,
    pub(crate) stack_len: u64,
    pub(crate) boot_info: u64,
    pub(crate) boot_info_len: u64,
    /// The command line, if there is one.
    pub(crate) ramdisk: Option<u64>,
    /// Where physical address 0 is mapped, if asked for.
    pub(crate) physical_memory: Option<u64>,
    pub(crate) physical_memory_len: u64,
    pub(crate) recursive_index: Option<u16>,
}

impl Plan {
    pub(crate) fn new(
        config: &BootloaderConfig,
        kernel: &Kernel,
        handover: &Handover,
    ) -> Result<Self, ConfigFault> {
        let boot_info_len = REGIONS_OFFSET + (MAX_REGIONS * size_of::<MemoryRegion>()) as u64;
        let physical_memory_len = match config.mappings.physical_memory {
            Some(_) => physical_memory_len(&handover.memory_map)?,
            None => 0,
        };
        let ramdisk_len = handover.command_line.len() as u64;
        let stack_and_guard_len = PAGE_SIZE
            .checked_add(config.kernel_stack_size)
            .ok_or(ConfigFault::StackTooLarge(config.kernel_stack_size))?;

        let mappings = &config.mappings;
        let small = |what, mapping, len| Wish {
            what,
            mapping,
            len,
            align: PAGE_SIZE,
        };
        let wishes = [
            Some(small(
                "kernel stack",
                mappings.kernel_stack,
                stack_and_guard_len,
            )),
            Some(small("boot info", mappings.boot_info, boot_info_len)),
            (ramdisk_len > 0).then(|| small("ramdisk", mappings.ramdisk_memory, ramdisk_len)),
            mappings.physical_memory.map(|mapping| Wish {
                what: "physical memory",
                mapping,
                len: physical_memory_len,
                align: LARGE_PAGE_SIZE,
            }),
            mappings.page_table_recursive.map(|mapping| Wish {
                what: "recursive page table",
                mapping,
                len: LEVEL_4_SIZE,
                align: LEVEL_4_SIZE,
            }),
        ];
        let [guard, boot_info, ramdisk, physical_memory, recursive] =
            Space::new(mappings, kernel)?.place(wishes)?;
        Ok(Self {
            stack_bottom: guard.expect("always wished") + PAGE_SIZE,
            stack_len: config.kernel_stack_size,
            boot_info: boot_info.expect("always wished"),
            boot_info_len,
            ramdisk,
            physical_memory,
            physical_memory_len,
            recursive_index: recursive.map(|addr| ((addr / LEVEL_4_SIZE) & 511) as u16),
        })
    }

    /// Where the kernel's stack pointer starts: 16-aligned, as System V wants.
    pub(crate) fn stack_top(&self) -> u64 {
        (self.stack_bottom + self.stack_len) & !15
    }
}

/// From 0 to the end of the last entry of the memory map or 4 GiB, in whole large pages.
fn physical_memory_len(map: &MemoryMap) -> Result<u64, ConfigFault> {
    let end = map.end().max(MIN_PHYSICAL_LEN);
    end.checked_next_multiple_of(LARGE_PAGE_SIZE)
        .filter(|&len| len <= LOWER_HALF_END)
        .ok_or(ConfigFault::PhysicalMemoryTooLarge(end))
}

/// One mapping that the kernel asks for.
#[derive(Clone, Copy)]
struct Wish {
    what: &'static str,
    mapping: Mapping,
    len: u64,
    align: u64,
}

/// The virtual address space, as far as it is given away.
struct Space {
    used: RangeSet<MAX_RANGES>,
    dynamic: Range,
}

impl Space {
    fn new(mappings: &Mappings, kernel: &Kernel) -> Result<Self, ConfigFault> {
        let mut used = RangeSet::new();
        // Between the halves there are no addresses.
        for range in [BOOT_STAGE, Range::new(LOWER_HALF_END, UPPER_HALF)] {
            used.insert(range).expect(ROOM);
        }
        let dynamic = Range::new(
            mappings.dynamic_range_start.unwrap_or(0),
            mappings.dynamic_range_end.unwrap_or(DEFAULT_DYNAMIC_END),
        );
        let mut space = Self { used, dynamic };
        for segment in kernel.segments() {
            let range = Range::new(segment.page_start(), segment.page_end());
            space.take(range, "kernel segment")?;
        }
        Ok(space)
    }

    /// The address of each wish that is one: the fixed ones first, whatever their order.
    fn place<const N: usize>(
        &mut self,
        wishes: [Option<Wish>; N],
    ) -> Result<[Option<u64>; N], ConfigFault> {
        let mut placed = [None; N];
        for (place, wish) in placed.iter_mut().zip(&wishes) {
            if let Some(wish) = wish
                && let Mapping::FixedAddress(addr) = wish.mapping
            {
                *place = Some(self.place_fixed(wish, addr)?);
            }
        }
        for (place, wish) in placed.iter_mut().zip(&wishes) {
            if let Some(wish) = wish
                && wish.mapping == Mapping::Dynamic
            {
                *place = Some(self.place_dynamic(wish)?);
            }
        }
        Ok(placed)
    }

    fn place_fixed(&mut self, wish: &Wish, addr: u64) -> Result<u64, ConfigFault> {
        let Wish {
            what, align, len, ..
        } = *wish;
        if !addr.is_multiple_of(align) {
            return Err(ConfigFault::Unaligned { what, addr, align });
        }
        let not_an_address = ConfigFault::NotAnAddress { what, addr, len };
        let Some(len) = page_up(len) else {
            return Err(not_an_address);
        };
        check_addresses(addr, len).ok_or(not_an_address)?;
        self.take(Range::new(addr, addr + len), what)?;
        Ok(addr)
    }

    /// The lowest gap that is large enough.
    fn place_dynamic(&mut self, wish: &Wish) -> Result<u64, ConfigFault> {
        let Wish {
            what, align, len, ..
        } = *wish;
        let no_room = ConfigFault::NoRoom {
            what,
            len,
            range: self.dynamic,
        };
        let mut start = self.dynamic.start;
        loop {
            let Some(range) = aligned_range(start, len, align) else {
                return Err(no_room);
            };
            if range.end > self.dynamic.end {
                return Err(no_room);
            }
            let in_the_way = self.used.iter().find(|used| used.clip(range).is_some());
            let Some(used) = in_the_way else {
                self.take(range, what)?;
                return Ok(range.start);
            };
            // Ends: the next try starts above one more of the finitely many used ranges.
            start = used.end;
        }
    }

    fn take(&mut self, range: Range, what: &'static str) -> Result<(), ConfigFault> {
        if self.used.overlaps(range) {
            return Err(ConfigFault::AddressInUse { what, range });
        }
        self.used.insert(range).expect(ROOM);
        Ok(())
    }
}

/// The first `len` bytes, in whole pages, at or above `start` with this alignment.
fn aligned_range(start: u64, len: u64, align: u64) -> Option<Range> {
    let start = start.checked_next_multiple_of(align)?;
    Some(Range::new(start, start.checked_add(page_up(len)?)?))
}

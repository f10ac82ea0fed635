//! What a loader hands over, in one form for every boot protocol.
//!
//! [`crate::pvh`] and [`crate::multiboot2`] produce it; another protocol plugs in beside them: an
//! entry that gives its [`Protocol`] number, and a reader that returns a [`Handover`]. Nothing
//! after the reader knows which it was.
//!
//! The memory map is copied. The kernel's file, the command line and what else is still needed are
//! borrowed from where the loader left them; [`crate::memory`] keeps them out of the free frames.

use crate::refusal::LoaderFault;

/// Boot protocols, numbered for the entry code.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Protocol {
    /// PVH: 32-bit entry named by an ELF note, `hvm_start_info` in `ebx`.
    Pvh = 1,
    /// Multiboot2: 32-bit entry named by a tag of the header, the information in `ebx`.
    Multiboot2 = 2,
}

impl Protocol {
    /// The protocol with this number, which the entry code has put in `esi`.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            number if number == Protocol::Pvh as u32 => Protocol::Pvh,
            number if number == Protocol::Multiboot2 as u32 => Protocol::Multiboot2,
            _ => unreachable!("entry.rs gives only numbers of this enum"),
        }
    }
}

/// End of what the boot stage's own page tables map.
const VISIBLE_END: u64 = 1 << 32;

/// A longer command line is a mistake, or has lost its NUL.
pub(crate) const MAX_COMMAND_LINE: usize = 64 * 1024;

/// That the boot stage can see these bytes, of which the loader gave the address.
pub(crate) fn check_visible(addr: u64, size: u64, what: &'static str) -> Result<(), LoaderFault> {
    match addr.checked_add(size) {
        Some(end) if addr != 0 && end <= VISIBLE_END => Ok(()),
        _ => Err(LoaderFault::NotVisible { what, addr }),
    }
}

/// E820 type of memory that is free to use.
pub(crate) const E820_RAM: u32 = 1;

/// One entry of the machine's memory map: `start..end`, physical.
#[derive(Clone, Copy)]
pub(crate) struct MapEntry {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// E820 type.
    pub(crate) kind: u32,
}

/// More entries than any firmware in the field gives (Linux starts with room for 128).
pub(crate) const MAX_MAP_ENTRIES: usize = 128;

/// The machine's memory map, as given: unsorted, maybe overlapping, not page-aligned.
pub(crate) struct MemoryMap {
    entries: [MapEntry; MAX_MAP_ENTRIES],
    len: usize,
}

impl MemoryMap {
    pub(crate) const fn new() -> Self {
        let none = MapEntry {
            start: 0,
            end: 0,
            kind: 0,
        };
        Self {
            entries: [none; MAX_MAP_ENTRIES],
            len: 0,
        }
    }

    /// Adds an entry; empty ones are dropped.
    pub(crate) fn push(&mut self, start: u64, size: u64, kind: u32) -> Result<(), LoaderFault> {
        let end = start
            .checked_add(size)
            .ok_or(LoaderFault::MapEntryOverflows { start, size })?;
        if size == 0 {
            return Ok(());
        }
        let slot = self
            .entries
            .get_mut(self.len)
            .ok_or(LoaderFault::MapTooLong)?;
        *slot = MapEntry { start, end, kind };
        self.len += 1;
        Ok(())
    }

    pub(crate) fn entries(&self) -> &[MapEntry] {
        &self.entries[..self.len]
    }

    /// End of the highest entry of any kind.
    pub(crate) fn end(&self) -> u64 {
        self.entries()
            .iter()
            .map(|entry| entry.end)
            .max()
            .unwrap_or(0)
    }
}

/// Everything that the rest of the boot stage needs from the loader.
pub(crate) struct Handover {
    pub(crate) memory_map: MemoryMap,
    /// The kernel's ELF file.
    pub(crate) kernel: &'static [u8],
    /// The kernel's command line, verbatim, without the final NUL.
    pub(crate) command_line: &'static [u8],
    /// What else the loader left that is still needed: the RSDP may lie there.
    pub(crate) information: &'static [u8],
    /// Physical address of the ACPI RSDP.
    pub(crate) rsdp_addr: Option<u64>,
}

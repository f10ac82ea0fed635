//! Reads the sections of the kernel's ELF file: the configuration, and a cross-check.
//!
//! Sections and segments describe the same bytes twice. Where the two tell different things the
//! file is damaged, and a kernel loaded from it would run into wrong code or data without a word;
//! so each section that takes memory must be where its segment puts it, with its rights.
//!
//! Refused: a file without section headers (stripped of them), since it has no configuration.

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, SectionHeader64};
use object::read::elf::{FileHeader, SectionHeader, SectionTable};

use crate::elf::Segment;
use crate::refusal::KernelFault;

const CONFIG: &[u8] = b".bootloader-config";

/// The section headers of a kernel's file.
pub(crate) struct Sections {
    file: &'static [u8],
    table: SectionTable<'static, FileHeader64<LE>>,
}

impl Sections {
    pub(crate) fn parse(
        header: &FileHeader64<LE>,
        file: &'static [u8],
    ) -> Result<Self, KernelFault> {
        let table = header.sections(LE, file).map_err(KernelFault::BadElf)?;
        Ok(Self { file, table })
    }

    /// The bytes of `.bootloader-config`.
    pub(crate) fn config(&self) -> Result<&'static [u8], KernelFault> {
        let (_, section) = self
            .table
            .section_by_name(LE, CONFIG)
            .ok_or(KernelFault::NoConfig)?;
        section.data(LE, self.file).map_err(KernelFault::BadElf)
    }

    /// Compares every section that takes memory with the segments.
    pub(crate) fn check(
        &self,
        segments: impl Iterator<Item = Segment> + Clone,
    ) -> Result<(), KernelFault> {
        for section in self.table.iter() {
            let allocated = section.sh_flags(LE).contains(elf::SHF_ALLOC);
            if allocated
                && section.sh_size(LE) > 0
                && !is_thread_zeros(section)
                && !segments.clone().any(|segment| agrees(section, &segment))
            {
                return Err(KernelFault::SectionNotInSegment(section.sh_addr(LE)));
            }
        }
        Ok(())
    }
}

/// `.tbss` has an address but takes no memory there.
fn is_thread_zeros(section: &SectionHeader64<LE>) -> bool {
    section.sh_type(LE) == elf::SHT_NOBITS && section.sh_flags(LE).contains(elf::SHF_TLS)
}

/// Whether `segment` puts the section where it says it is, with its bytes (or zeros) and rights.
fn agrees(section: &SectionHeader64<LE>, segment: &Segment) -> bool {
    let (addr, len) = (section.sh_addr(LE), section.sh_size(LE));
    let Some(start) = addr.checked_sub(segment.vaddr) else {
        return false;
    };
    let Some(end) = start.checked_add(len) else {
        return false;
    };
    let data_len = segment.data.len() as u64;
    let place_is_right = if section.sh_type(LE) == elf::SHT_NOBITS {
        data_len <= start && end <= segment.mem_size
    } else {
        end <= data_len && segment.offset.checked_add(start) == Some(section.sh_offset(LE))
    };
    let flags = section.sh_flags(LE);
    place_is_right
        && (segment.writable || !flags.contains(elf::SHF_WRITE))
        && (segment.executable || !flags.contains(elf::SHF_EXECINSTR))
}

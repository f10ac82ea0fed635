//! Reads and checks the kernel's ELF file.
//!
//! What is accepted: a complete, statically linked ELF64 executable for x86-64 (`ET_EXEC`), whose
//! segments have pages of their own, never both writable and executable, and whose entry point is
//! in an executable one. Everything is checked here, before any of it is loaded.
//!
//! Refused: position-independent and dynamic files. The kernel is linked at a fixed address, and
//! relocations would be code that nothing runs. `PT_GNU_RELRO` asks for less than the segments'
//! own rights allow, and is ignored.

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use bootloader_api::info::TlsTemplate;

use crate::memory::PAGE_SIZE;
use crate::refusal::{KernelFault, SegmentFault};
use crate::sections::Sections;

type Header = FileHeader64<LE>;

/// Start of the addresses with bit 47 and all above set, and end of those with all clear (4-level
/// paging, Intel SDM volume 1, section 3.3.7.1).
pub(crate) const UPPER_HALF: u64 = 0xffff_8000_0000_0000;
pub(crate) const LOWER_HALF_END: u64 = 0x0000_8000_0000_0000;

/// Linkers make three to six. The bound keeps the comparison of each with each short.
pub(crate) const MAX_SEGMENTS: usize = 32;

/// A `PT_LOAD` segment that takes memory.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// What the file holds of it; the rest is zeros.
    pub(crate) data: &'static [u8],
    /// Where in the file that is.
    pub(crate) offset: u64,
    pub(crate) vaddr: u64,
    pub(crate) mem_size: u64,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

impl Segment {
    /// First byte of its first page.
    pub(crate) fn page_start(&self) -> u64 {
        self.vaddr & !(PAGE_SIZE - 1)
    }

    /// End of its last page; `parse` has checked that it exists.
    pub(crate) fn page_end(&self) -> u64 {
        (self.vaddr + self.mem_size).next_multiple_of(PAGE_SIZE)
    }

    /// Whether all `len` bytes at `addr` are in it.
    fn holds(&self, addr: u64, len: u64) -> bool {
        self.vaddr <= addr && len <= self.mem_size && addr - self.vaddr <= self.mem_size - len
    }
}

/// A kernel file that has passed all checks.
pub(crate) struct Kernel {
    file: &'static [u8],
    headers: &'static [ProgramHeader64<LE>],
    pub(crate) entry: u64,
    pub(crate) tls: Option<TlsTemplate>,
    /// The `.bootloader-config` section.
    pub(crate) config: &'static [u8],
}

impl Kernel {
    pub(crate) fn parse(file: &'static [u8]) -> Result<Self, KernelFault> {
        let header = parse_header(file)?;
        let headers = header
            .program_headers(LE, file)
            .map_err(KernelFault::BadElf)?;
        let sections = Sections::parse(header, file)?;
        let kernel = Self {
            file,
            headers,
            entry: header.e_entry(LE),
            tls: parse_tls(headers)?,
            config: sections.config()?,
        };
        kernel.check_segments()?;
        kernel.check_entry()?;
        kernel.check_tls()?;
        sections.check(kernel.segments())?;
        Ok(kernel)
    }

    /// The segments in the file's order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment> + Clone + '_ {
        // `parse` has checked them all, so that none is lost here.
        self.loads()
            .filter_map(|header| parse_segment(header, self.file).ok())
    }

    /// Lowest address of the image in memory.
    pub(crate) fn base(&self) -> u64 {
        self.segments()
            .map(|segment| segment.vaddr)
            .min()
            .expect("parse wants a segment")
    }

    fn loads(&self) -> impl Iterator<Item = &'static ProgramHeader64<LE>> + Clone + '_ {
        self.headers
            .iter()
            .filter(|header| header.p_type(LE) == elf::PT_LOAD && header.p_memsz(LE) != 0)
    }

    fn check_segments(&self) -> Result<(), KernelFault> {
        if self.loads().count() > MAX_SEGMENTS {
            return Err(KernelFault::ManySegments);
        }
        for (index, header) in self.loads().enumerate() {
            let segment = parse_segment(header, self.file)?;
            for other in self.segments().take(index) {
                if segment.page_start() < other.page_end()
                    && other.page_start() < segment.page_end()
                {
                    let fault = SegmentFault::SharesAPage { other: other.vaddr };
                    return Err(segment_fault(segment.vaddr, fault));
                }
            }
        }
        Ok(())
    }

    fn check_entry(&self) -> Result<(), KernelFault> {
        let entry = self.entry;
        if self
            .segments()
            .any(|segment| segment.executable && segment.holds(entry, 1))
        {
            Ok(())
        } else {
            Err(KernelFault::EntryNotExecutable(entry))
        }
    }

    fn check_tls(&self) -> Result<(), KernelFault> {
        let Some(tls) = self.tls else { return Ok(()) };
        let TlsTemplate {
            start_addr,
            file_size,
            mem_size,
        } = tls;
        if file_size > mem_size {
            let (vaddr, len) = (start_addr, file_size);
            return Err(segment_fault(
                vaddr,
                SegmentFault::MoreInFile { len, mem_size },
            ));
        }
        if file_size > 0
            && !self
                .segments()
                .any(|segment| segment.holds(start_addr, file_size))
        {
            return Err(KernelFault::TlsNotLoaded(start_addr));
        }
        Ok(())
    }
}

fn parse_header(file: &'static [u8]) -> Result<&'static Header, KernelFault> {
    if !file.starts_with(&elf::ELFMAG) {
        return Err(KernelFault::NotElf);
    }
    check_whole("file header", 0, size_of::<Header>() as u64, file)?;
    let header = Header::parse(file).map_err(|_| KernelFault::NotElf64)?;
    if !header.is_little_endian() || header.e_machine(LE) != elf::EM_X86_64 {
        return Err(KernelFault::WrongMachine(header.e_machine(LE).0));
    }
    match header.e_type(LE) {
        elf::ET_EXEC => {}
        elf::ET_DYN => return Err(KernelFault::PositionIndependent),
        other => return Err(KernelFault::NotExecutable(other.0)),
    }
    let table_size = |entry: u16, count: u16| u64::from(entry) * u64::from(count);
    let programs = table_size(header.e_phentsize(LE), header.e_phnum(LE));
    check_whole("program header table", header.e_phoff(LE), programs, file)?;
    let sections = table_size(header.e_shentsize(LE), header.e_shnum(LE));
    check_whole("section header table", header.e_shoff(LE), sections, file)?;
    Ok(header)
}

/// That `what` lies in the file.
fn check_whole(what: &'static str, offset: u64, len: u64, file: &[u8]) -> Result<(), KernelFault> {
    let have = file.len() as u64;
    match offset.checked_add(len) {
        Some(end) if end <= have => Ok(()),
        end => Err(KernelFault::CutShort {
            what,
            end: end.unwrap_or(u64::MAX),
            have,
        }),
    }
}

fn parse_segment(
    header: &ProgramHeader64<LE>,
    file: &'static [u8],
) -> Result<Segment, KernelFault> {
    let (offset, len) = header.file_range(LE);
    let (vaddr, mem_size) = (header.p_vaddr(LE), header.p_memsz(LE));
    check_whole("segment", offset, len, file)?;
    // The ELF rule for loadable segments; 0 and 1 mean no alignment.
    let align = header.p_align(LE).max(1);
    if !align.is_power_of_two() || offset % align != vaddr % align {
        return Err(segment_fault(
            vaddr,
            SegmentFault::Misaligned { offset, align },
        ));
    }
    if len > mem_size {
        return Err(segment_fault(
            vaddr,
            SegmentFault::MoreInFile { len, mem_size },
        ));
    }
    check_addresses(vaddr, mem_size).ok_or(segment_fault(
        vaddr,
        SegmentFault::NoSuchAddresses { mem_size },
    ))?;
    let flags = header.p_flags(LE);
    let segment = Segment {
        data: &file[offset as usize..(offset + len) as usize],
        offset,
        vaddr,
        mem_size,
        writable: flags.contains(elf::PF_W),
        executable: flags.contains(elf::PF_X),
    };
    if segment.writable && segment.executable {
        return Err(segment_fault(vaddr, SegmentFault::WritableAndExecutable));
    }
    Ok(segment)
}

fn segment_fault(vaddr: u64, fault: SegmentFault) -> KernelFault {
    KernelFault::Segment { vaddr, fault }
}

/// That `len` bytes at `addr`, in whole pages, are in one half of the address space, without its
/// very last page (whose end has no address).
pub(crate) fn check_addresses(addr: u64, len: u64) -> Option<()> {
    let end = addr.checked_add(len)?.checked_next_multiple_of(PAGE_SIZE)?;
    (addr >= UPPER_HALF || end <= LOWER_HALF_END).then_some(())
}

fn parse_tls(headers: &[ProgramHeader64<LE>]) -> Result<Option<TlsTemplate>, KernelFault> {
    let mut tls = None;
    for header in headers {
        match header.p_type(LE) {
            elf::PT_INTERP | elf::PT_DYNAMIC => return Err(KernelFault::DynamicallyLinked),
            elf::PT_TLS if tls.is_some() => return Err(KernelFault::ManyTlsSegments),
            elf::PT_TLS => {
                tls = Some(TlsTemplate {
                    start_addr: header.p_vaddr(LE),
                    file_size: header.p_filesz(LE),
                    mem_size: header.p_memsz(LE),
                });
            }
            _ => {}
        }
    }
    Ok(tls)
}

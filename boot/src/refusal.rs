//! All reasons why the boot stage gives up, each with its one line.
//!
//! A line says what was found and, where that helps, what would be right. It is written for
//! whoever built or started the image. One enum for each kind of culprit.

use core::fmt;

use crate::multiboot2::TagFault;
use crate::ranges::Range;

/// Why there is no kernel to enter.
pub(crate) enum Refusal {
    Loader(LoaderFault),
    Kernel(KernelFault),
    Config(ConfigFault),
    Memory(MemoryFault),
}

/// What the loader left is wrong.
pub(crate) enum LoaderFault {
    StartInfoMagic(u32),
    StartInfoVersion(u32),
    Multiboot2(TagFault),
    NotVisible { what: &'static str, addr: u64 },
    NoKernel,
    EmptyKernel,
    ManyModules(u32),
    CommandLineTooLong,
    MapEntryOverflows { start: u64, size: u64 },
    MapTooLong,
}

/// The kernel's file is wrong.
pub(crate) enum KernelFault {
    NotElf,
    NotElf64,
    WrongMachine(u16),
    PositionIndependent,
    NotExecutable(u16),
    DynamicallyLinked,
    BadElf(object::read::Error),
    CutShort {
        what: &'static str,
        end: u64,
        have: u64,
    },
    Segment {
        vaddr: u64,
        fault: SegmentFault,
    },
    ManySegments,
    SectionNotInSegment(u64),
    EntryNotExecutable(u64),
    ManyTlsSegments,
    TlsNotLoaded(u64),
    NoConfig,
}

/// One of the segments to load is wrong.
pub(crate) enum SegmentFault {
    MoreInFile { len: u64, mem_size: u64 },
    NoSuchAddresses { mem_size: u64 },
    Misaligned { offset: u64, align: u64 },
    SharesAPage { other: u64 },
    WritableAndExecutable,
}

/// What the kernel's configuration asks for is not offered, or does not fit together.
pub(crate) enum ConfigFault {
    Bad(&'static str),
    Version {
        kernel: Version,
        own: Version,
    },
    StackTooSmall(u64),
    StackTooLarge(u64),
    NotOffered(&'static str),
    Unaligned {
        what: &'static str,
        addr: u64,
        align: u64,
    },
    NotAnAddress {
        what: &'static str,
        addr: u64,
        len: u64,
    },
    AddressInUse {
        what: &'static str,
        range: Range,
    },
    NoRoom {
        what: &'static str,
        len: u64,
        range: Range,
    },
    PhysicalMemoryTooLarge(u64),
}

/// The machine's memory does not do.
pub(crate) enum MemoryFault {
    DoesNotFit {
        what: &'static str,
        need: u64,
        have: u64,
    },
    OutOfMemory,
    MapTooLong,
    NotRam(u64),
}

/// A version of `bootloader_api`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) patch: u16,
    pub(crate) pre_release: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pre = if self.pre_release {
            " (pre-release)"
        } else {
            ""
        };
        write!(f, "{}.{}.{}{pre}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Loader(fault) => fault.fmt(f),
            Refusal::Kernel(fault) => write!(f, "the kernel's file {fault}"),
            Refusal::Config(fault) => write!(f, "the kernel's .bootloader-config {fault}"),
            Refusal::Memory(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for LoaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // QEMU copies the command line to a buffer of 4,096 bytes beside it, without a check.
            Self::StartInfoMagic(magic) => write!(
                f,
                "the PVH start info has magic {magic:#x}, not 0x336ec578 (QEMU damages it when the \
                 command line is longer than 4095 bytes)"
            ),
            Self::StartInfoVersion(version) => {
                write!(
                    f,
                    "the PVH start info has version {version}, without a memory map"
                )
            }
            Self::Multiboot2(fault) => write!(f, "the Multiboot2 information {fault}"),
            Self::NotVisible { what, addr } => {
                write!(
                    f,
                    "the loader's {what} at {addr:#x} is not within the first 4 GiB"
                )
            }
            Self::NoKernel => write!(
                f,
                "no kernel: give its ELF file as the module (QEMU: -initrd, GRUB: module2)"
            ),
            Self::EmptyKernel => write!(f, "the kernel's file is empty"),
            Self::ManyModules(count) => {
                write!(
                    f,
                    "{count} modules were given, but the kernel is the only one wanted"
                )
            }
            Self::CommandLineTooLong => write!(f, "the command line is longer than 64 KiB"),
            Self::MapEntryOverflows { start, size } => {
                write!(
                    f,
                    "the memory map has an impossible entry: {size:#x} bytes at {start:#x}"
                )
            }
            Self::MapTooLong => MemoryFault::MapTooLong.fmt(f),
        }
    }
}

/// Follows "the Multiboot2 information".
impl fmt::Display for TagFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { tag, offset } => write!(
                f,
                "is damaged: the tag of type {tag} at byte {offset} has an impossible size"
            ),
            Self::NoEnd => write!(f, "is damaged: its last tag is not the end tag"),
            Self::Twice { tag } => write!(f, "is damaged: it has two tags of type {tag}"),
            Self::Unterminated { tag } => {
                write!(
                    f,
                    "is damaged: the text of its tag of type {tag} has no end"
                )
            }
            Self::NoMemoryMap => write!(f, "has no memory map"),
            Self::BadRsdp => write!(f, "has a damaged ACPI root pointer (RSDP)"),
        }
    }
}

/// Follows "the kernel's file".
impl fmt::Display for KernelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => write!(f, "is not an ELF file"),
            Self::NotElf64 => write!(f, "is not a 64-bit ELF file of version 1"),
            Self::WrongMachine(machine) => {
                write!(
                    f,
                    "is for machine {machine}, not for x86-64 (62), little endian"
                )
            }
            Self::PositionIndependent => {
                write!(
                    f,
                    "is position-independent; link it at a fixed address (-no-pie)"
                )
            }
            Self::NotExecutable(kind) => write!(f, "has ELF type {kind}, not executable (2)"),
            Self::DynamicallyLinked => write!(f, "is dynamically linked; link it with -static"),
            Self::BadElf(error) => write!(f, "is damaged: {error}"),
            Self::CutShort { what, end, have } => {
                write!(
                    f,
                    "is cut short: its {what} ends at byte {end}, the file at {have}"
                )
            }
            Self::Segment { vaddr, fault } => {
                write!(f, "has a segment at {vaddr:#x} that {fault}")
            }
            Self::SectionNotInSegment(addr) => {
                write!(
                    f,
                    "is damaged: its section at {addr:#x} is not what a segment loads there"
                )
            }
            Self::ManySegments => write!(f, "has more than 32 segments to load"),
            Self::EntryNotExecutable(entry) => {
                write!(
                    f,
                    "has its entry point at {entry:#x}, outside its executable segments"
                )
            }
            Self::ManyTlsSegments => write!(f, "has more than one TLS segment"),
            Self::TlsNotLoaded(addr) => {
                write!(
                    f,
                    "has a TLS template at {addr:#x}, outside its loaded segments"
                )
            }
            Self::NoConfig => {
                write!(
                    f,
                    "has no section .bootloader-config (bootloader_api::entry_point!)"
                )
            }
        }
    }
}

/// Follows "has a segment at ... that".
impl fmt::Display for SegmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreInFile { len, mem_size } => {
                write!(f, "has {len} bytes in the file but {mem_size} in memory")
            }
            Self::NoSuchAddresses { mem_size } => {
                write!(f, "has {mem_size:#x} bytes: there are no such addresses")
            }
            Self::Misaligned { offset, align } => write!(
                f,
                "comes from byte {offset:#x}, which disagrees with its alignment {align:#x}"
            ),
            Self::SharesAPage { other } => {
                write!(f, "shares a page with the segment at {other:#x}")
            }
            Self::WritableAndExecutable => write!(f, "is both writable and executable"),
        }
    }
}

/// Follows "the kernel's .bootloader-config".
impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(why) => write!(f, "cannot be read: {why}"),
            Self::Version { kernel, own } => {
                write!(
                    f,
                    "is of bootloader_api {kernel}, this boot stage speaks {own}"
                )
            }
            Self::StackTooSmall(size) => write!(f, "asks for a stack of {size} bytes, not a page"),
            Self::StackTooLarge(size) => write!(f, "asks for a stack of {size:#x} bytes"),
            Self::NotOffered(what) => write!(f, "asks for {what}, which is not offered"),
            Self::Unaligned { what, addr, align } => {
                write!(
                    f,
                    "puts the {what} at {addr:#x}, which is not a multiple of {align:#x}"
                )
            }
            Self::NotAnAddress { what, addr, len } => write!(
                f,
                "puts the {what} ({len:#x} bytes) at {addr:#x}: there are no such addresses"
            ),
            Self::AddressInUse {
                what,
                range: Range { start, end },
            } => {
                write!(
                    f,
                    "leads to a clash: {what} at {start:#x}..{end:#x}, already in use"
                )
            }
            Self::NoRoom {
                what,
                len,
                range: Range { start, end },
            } => write!(
                f,
                "leaves no room for the {what} ({len:#x} bytes) in its dynamic range \
                 {start:#x}..{end:#x}"
            ),
            Self::PhysicalMemoryTooLarge(end) => {
                write!(
                    f,
                    "asks for all physical memory, but that goes up to {end:#x}"
                )
            }
        }
    }
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotFit { what, need, have } => write!(
                f,
                "not enough memory for {what}: {} KiB needed, {} KiB free below 4 GiB",
                need / 1024,
                have / 1024
            ),
            Self::OutOfMemory => write!(f, "not enough memory for the kernel and its page tables"),
            Self::MapTooLong => write!(f, "the machine's memory map has too many entries"),
            Self::NotRam(addr) => write!(
                f,
                "the machine's memory map promises memory at {addr:#x}, but there is none"
            ),
        }
    }
}

impl From<LoaderFault> for Refusal {
    fn from(fault: LoaderFault) -> Self {
        Refusal::Loader(fault)
    }
}

impl From<KernelFault> for Refusal {
    fn from(fault: KernelFault) -> Self {
        Refusal::Kernel(fault)
    }
}

impl From<ConfigFault> for Refusal {
    fn from(fault: ConfigFault) -> Self {
        Refusal::Config(fault)
    }
}

impl From<MemoryFault> for Refusal {
    fn from(fault: MemoryFault) -> Self {
        Refusal::Memory(fault)
    }
}

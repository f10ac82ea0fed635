//! What the firmware's tables say: CPUs, interrupt controllers, reference clocks, power-off.
//!
//! The `acpi` crate finds, checks and types the tables; this file turns them into [`Platform`],
//! a plain value of fixed size (no heap). The crate walks MADT entries by their length bytes
//! without checking them, so [`entries_are_sound`] walks them first. The boot CPU is index 0
//! whatever the MADT's order; a CPU listed as APIC *and* x2APIC counts once; ids may have holes.
//!
//! Without tables the machine is taken as one CPU with its APIC where IA32_APIC_BASE says, and
//! no I/O APIC. Refused, with a reason that `describe` shows: CPUs beyond `MAX_CPUS`, and ids
//! that xAPIC cannot address. AML is not interpreted.

use core::ptr::NonNull;

use acpi::address::{AddressSpace, GenericAddress};
use acpi::fadt::Fadt;
use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, HpetInfo, PhysicalMapping};

use super::apic;
use super::cpu;
use super::{MAX_CPUS, phys_to_virt};

const MAX_IO_APICS: usize = 8;
const MAX_REFUSED: usize = 192;
const ISA_LINES: usize = 16;

/// Ids from here on need x2APIC: 0xff is the broadcast address of xAPIC.
const FIRST_WIDE_ID: u32 = 0xff;

/// Local APIC flags in the MADT (ACPI 6.5, 5.2.12.2).
const CPU_ENABLED: u32 = 1;

/// Why a CPU that the MADT lists as enabled is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More than `MAX_CPUS`.
    TooMany,
    /// Its id needs x2APIC, which this machine lacks.
    NeedsX2Apic,
}

#[derive(Clone, Copy)]
pub(super) struct IoApic {
    pub(super) address: u64,
    pub(super) first_gsi: u32,
}

/// The ACPI power-management timer.
#[derive(Clone, Copy)]
pub(super) struct PmTimer {
    pub(super) port: u16,
    pub(super) mask: u64,
}

/// How one ISA line reaches the I/O APIC.
#[derive(Clone, Copy)]
struct IsaLine {
    gsi: u32,
    active_low: bool,
    level: bool,
}

/// The machine as the firmware describes it.
pub(super) struct Platform {
    pub(super) local_apic: u64,
    pub(super) hpet: Option<u64>,
    pub(super) pm_timer: Option<PmTimer>,
    /// PM1a control port, for power-off.
    pub(super) pm1a_control: Option<u16>,
    cpus: [u32; MAX_CPUS],
    num_cpus: usize,
    refused: [(u32, Refusal); MAX_REFUSED],
    num_refused: usize,
    io_apics: [IoApic; MAX_IO_APICS],
    num_io_apics: usize,
    isa: [IsaLine; ISA_LINES],
}

/// Gives the crate its view of physical memory, which is mapped for good.
#[derive(Clone, Copy)]
struct Mapped;

impl AcpiHandler for Mapped {
    unsafe fn map_physical_region<T>(
        &self,
        address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        let start = NonNull::new(phys_to_virt(address as u64).cast::<T>())
            .expect("the physical map is in the upper half");
        // SAFETY: all physical memory stays mapped; never unmapped below.
        unsafe { PhysicalMapping::new(address, start, size, size, *self) }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}
}

impl Platform {
    /// Reads the tables from `rsdp` on. On the boot CPU.
    pub(super) fn read(rsdp: Option<u64>) -> Self {
        let mut platform = Self::bare();
        // SAFETY: the loader's RSDP address; the crate checks signature and checksum.
        let tables = rsdp.and_then(|p| unsafe { AcpiTables::from_rsdp(Mapped, p as usize) }.ok());
        let Some(tables) = tables else {
            return platform;
        };
        if let Ok(madt) = tables.find_table::<Madt>() {
            platform.read_madt(&madt);
        }
        if let Ok(fadt) = tables.find_table::<Fadt>() {
            platform.read_fadt(&fadt);
        }
        platform.hpet = HpetInfo::new(&tables)
            .ok()
            .map(|hpet| hpet.base_address as u64);
        platform
    }

    fn bare() -> Self {
        let mut platform = Self {
            local_apic: apic::base_address(),
            hpet: None,
            pm_timer: None,
            pm1a_control: None,
            cpus: [0; MAX_CPUS],
            num_cpus: 1,
            refused: [(0, Refusal::TooMany); MAX_REFUSED],
            num_refused: 0,
            io_apics: [IoApic {
                address: 0,
                first_gsi: 0,
            }; MAX_IO_APICS],
            num_io_apics: 0,
            // ISA lines are edge-triggered, active high, at the GSI of the same number unless
            // an override says otherwise (ACPI 6.5, 5.2.12.5).
            isa: core::array::from_fn(|line| IsaLine {
                gsi: line as u32,
                active_low: false,
                level: false,
            }),
        };
        platform.cpus[0] = cpu::initial_apic_id();
        platform
    }

    /// The APIC ids of the usable CPUs, the boot CPU first.
    pub(super) fn cpus(&self) -> &[u32] {
        &self.cpus[..self.num_cpus]
    }

    /// The enabled CPUs that are not used, as far as there was room to note them.
    pub(super) fn refused(&self) -> &[(u32, Refusal)] {
        &self.refused[..self.num_refused.min(MAX_REFUSED)]
    }

    /// How many CPUs are enabled, used or not.
    pub(super) fn num_enabled(&self) -> usize {
        self.num_cpus + self.num_refused
    }

    pub(super) fn io_apics(&self) -> &[IoApic] {
        &self.io_apics[..self.num_io_apics]
    }

    /// The global interrupt of an ISA line, and whether it is active low, and level-triggered.
    pub(super) fn isa_route(&self, line: u8) -> (u32, bool, bool) {
        let route = self.isa[usize::from(line)];
        (route.gsi, route.active_low, route.level)
    }

    fn read_madt(&mut self, madt: &PhysicalMapping<Mapped, Madt>) {
        if !entries_are_sound(madt) {
            return;
        }
        let table = madt.get();
        self.local_apic = u64::from(table.local_apic_address);
        for entry in table.entries() {
            match entry {
                MadtEntry::LocalApic(e) => self.add_cpu(u32::from(e.apic_id), e.flags),
                MadtEntry::LocalX2Apic(e) => self.add_cpu(e.x2apic_id, e.flags),
                MadtEntry::LocalApicAddressOverride(e) => self.local_apic = e.local_apic_address,
                MadtEntry::IoApic(e) => {
                    if let Some(slot) = self.io_apics.get_mut(self.num_io_apics) {
                        *slot = IoApic {
                            address: u64::from(e.io_apic_address),
                            first_gsi: e.global_system_interrupt_base,
                        };
                        self.num_io_apics += 1;
                    }
                }
                MadtEntry::InterruptSourceOverride(e) => {
                    self.override_isa(e.irq, e.global_system_interrupt, e.flags);
                }
                _ => {}
            }
        }
    }

    fn add_cpu(&mut self, apic_id: u32, flags: u32) {
        if flags & CPU_ENABLED == 0 || self.cpus().contains(&apic_id) {
            return;
        }
        let refusal = if apic_id >= FIRST_WIDE_ID && !cpu::Features::read().x2apic {
            Refusal::NeedsX2Apic
        } else if self.num_cpus == MAX_CPUS {
            Refusal::TooMany
        } else {
            self.cpus[self.num_cpus] = apic_id;
            self.num_cpus += 1;
            return;
        };
        let noted = self.refused().iter().any(|(id, _)| *id == apic_id);
        if noted {
            return;
        }
        if let Some(place) = self.refused.get_mut(self.num_refused) {
            *place = (apic_id, refusal);
        }
        self.num_refused += 1;
    }

    /// Polarity is in bits 0-1 (3 = low), trigger mode in bits 2-3 (3 = level); 0 means "as the
    /// bus has it", for ISA high and edge (ACPI 6.5, table 5.26).
    fn override_isa(&mut self, line: u8, gsi: u32, flags: u16) {
        if let Some(route) = self.isa.get_mut(usize::from(line)) {
            *route = IsaLine {
                gsi,
                active_low: flags & 3 == 3,
                level: flags >> 2 & 3 == 3,
            };
        }
    }

    fn read_fadt(&mut self, fadt: &Fadt) {
        let flags = fadt.flags;
        let timer = fadt.pm_timer_block().ok().flatten().and_then(io_port);
        self.pm_timer = timer.map(|port| PmTimer {
            port,
            mask: if flags.pm_timer_is_32_bit() {
                0xffff_ffff
            } else {
                0x00ff_ffff
            },
        });
        if !flags.system_is_hw_reduced_acpi() {
            self.pm1a_control = fadt.pm1a_control_block().ok().and_then(io_port);
        }
    }
}

fn io_port(address: GenericAddress) -> Option<u16> {
    let port = u16::try_from(address.address)
        .ok()
        .filter(|&port| port != 0);
    port.filter(|_| address.address_space == AddressSpace::SystemIo)
}

/// Do the length bytes of all entries keep within the table, and is each entry as long as its
/// type needs? A table that fails this is not used at all.
fn entries_are_sound(madt: &PhysicalMapping<Mapped, Madt>) -> bool {
    /// Type, then length (ACPI 6.5, 5.2.12): those that `read_madt` looks into.
    const NEEDED: [(u8, usize); 5] = [(0, 8), (1, 12), (2, 10), (5, 12), (9, 16)];
    let start = madt.virtual_start().as_ptr().cast::<u8>();
    // SAFETY: the crate has checked length and checksum of this table, which stays mapped.
    let bytes = unsafe { core::slice::from_raw_parts(start, madt.region_length()) };
    let mut rest = bytes.get(size_of::<Madt>()..).unwrap_or(&[]);
    while let [kind, length, ..] = *rest {
        let needed = NEEDED.iter().find(|n| n.0 == kind).map_or(2, |n| n.1);
        let length = usize::from(length);
        if length < needed || length > rest.len() {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty()
}

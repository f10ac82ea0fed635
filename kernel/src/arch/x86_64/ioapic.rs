//! The I/O APICs: everything masked but the serial line.
//!
//! One route exists, ISA IRQ 4 (COM1) to the boot CPU, by way of the MADT's interrupt source
//! override if there is one. Also silences the two 8259s, whose lines would otherwise arrive on
//! the exceptions' vectors. Refused: any other device (drivers bring MSI with them).

use x86_64::instructions::port::Port;

use super::acpi::{IoApic, Platform};
use super::apic::vector;
use super::irq;
use super::phys_to_virt;

/// Indirect registers (82093AA data sheet, 3.1 and 3.2).
const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u8 = 0x01;
const REDIRECTION: u8 = 0x10;

/// As many as 8-bit register numbers reach.
const MAX_LINES: u32 = (0x100 - REDIRECTION as u32) / 2;

const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// COM1's line on the ISA bus.
const COM1_IRQ: u8 = 4;

struct Registers(usize);

impl Registers {
    fn of(ioapic: &IoApic) -> Self {
        Self(phys_to_virt(ioapic.address) as usize)
    }

    fn read(&self, index: u8) -> u32 {
        // SAFETY: the register page of an I/O APIC, mapped with the physical memory.
        unsafe {
            ((self.0 + SELECT) as *mut u32).write_volatile(u32::from(index));
            ((self.0 + WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&self, index: u8, value: u32) {
        // SAFETY: as in `read`.
        unsafe {
            ((self.0 + SELECT) as *mut u32).write_volatile(u32::from(index));
            ((self.0 + WINDOW) as *mut u32).write_volatile(value);
        }
    }

    fn lines(&self) -> u32 {
        ((self.read(VERSION) >> 16 & 0xff) + 1).min(MAX_LINES)
    }

    /// Programs redirection entry `line`: the high half (destination) first, so that the low
    /// half, which unmasks, comes last.
    fn route(&self, line: u32, apic_id: u32, low: u32) {
        let index = REDIRECTION + 2 * line as u8;
        self.write(index + 1, apic_id << 24);
        self.write(index, low);
    }
}

/// Masks every line of every interrupt controller but the local APICs.
pub(super) fn init(platform: &Platform) {
    silence_legacy_pic();
    for ioapic in platform.io_apics() {
        let registers = Registers::of(ioapic);
        for line in 0..registers.lines() {
            registers.route(line, 0, MASKED);
        }
    }
}

/// Routes COM1 to the boot CPU. False if no I/O APIC has the line.
pub(super) fn route_serial(platform: &Platform, boot_apic_id: u32) -> bool {
    let (gsi, active_low, level) = platform.isa_route(COM1_IRQ);
    // Bits 56 to 63 hold the destination; a boot CPU with a wider id needs interrupt remapping.
    if boot_apic_id > 0xfe {
        return false;
    }
    let flags = irq::save();
    let owner = platform.io_apics().iter().find_map(|ioapic| {
        let line = gsi.checked_sub(ioapic.first_gsi)?;
        let registers = Registers::of(ioapic);
        (line < registers.lines()).then_some((registers, line))
    });
    let found = owner.is_some();
    if let Some((registers, line)) = owner {
        let mut low = vector::SERIAL as u32;
        if active_low {
            low |= ACTIVE_LOW;
        }
        if level {
            low |= LEVEL;
        }
        registers.route(line, boot_apic_id, low);
    }
    irq::restore(flags);
    found
}

/// Moves the 8259s to their own vectors, away from the exceptions, and masks all their lines
/// (8259A data sheet: ICW1 to ICW4, then OCW1).
fn silence_legacy_pic() {
    let first = *vector::LEGACY_PIC.start() as u8;
    for (command, offset, cascade) in [(0x20, first, 1 << 2), (0xa0, first + 8, 2)] {
        let mut command: Port<u8> = Port::new(command);
        let mut data: Port<u8> = Port::new(if offset == first { 0x21 } else { 0xa1 });
        // SAFETY: fixed ports of the PC; on a machine without 8259 the writes go nowhere.
        unsafe {
            command.write(0x11u8);
            data.write(offset);
            data.write(cascade);
            data.write(0x01);
            data.write(0xff);
        }
    }
}

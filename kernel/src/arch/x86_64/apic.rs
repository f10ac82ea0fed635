//! The local APIC: IPIs, end of interrupt, and the registers of its timer.
//!
//! xAPIC (memory mapped, 8-bit ids) and x2APIC (MSRs, 32-bit ids) are one struct with two ways
//! to reach a register; which one is CPUID's choice at run time, the same on all CPUs. Once
//! x2APIC is on it stays on: leaving it needs a reset (Intel SDM vol. 3, 11.12.5). Register
//! numbers are the xAPIC offsets; x2APIC has them at MSR 0x800 + offset / 16 (table 11-6).
//!
//! Refused: logical destinations and broadcast (each IPI goes to one CPU that is known to run).

use conquer_once::spin::OnceCell;
use x86_64::registers::model_specific::Msr;

use super::acpi::Platform;
use super::cpu;
use super::irq;
use super::phys_to_virt;

/// Who uses which vector. A higher upper digit is a higher priority (Intel SDM vol. 3, 11.8.3);
/// as every gate clears IF, it only orders what is pending together.
pub(super) mod vector {
    use core::ops::RangeInclusive;

    /// Where the masked 8259s are moved, away from the exceptions.
    pub(in super::super) const LEGACY_PIC: RangeInclusive<u64> = 0x20..=0x2f;
    pub(in super::super) const SERIAL: u64 = 0x40;
    pub(in super::super) const WAKE: u64 = 0xe0;
    pub(in super::super) const PREEMPT: u64 = 0xe1;
    pub(in super::super) const TIMER: u64 = 0xe2;
    pub(in super::super) const FLUSH_TLB: u64 = 0xf0;
    pub(in super::super) const ERROR: u64 = 0xfe;
    /// Bits 0 to 3 must be ones on old CPUs.
    pub(in super::super) const SPURIOUS: u64 = 0xff;
}

/// What one CPU can ask of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipi {
    /// Leave `halt` and look for work.
    Wake,
    /// Preempt the running goroutine.
    Preempt,
    /// Flush the TLB.
    FlushTlb,
}

impl Ipi {
    pub(super) fn command(self) -> u32 {
        let vector = match self {
            Self::Wake => vector::WAKE,
            Self::Preempt => vector::PREEMPT,
            Self::FlushTlb => vector::FLUSH_TLB,
        };
        vector as u32 | LEVEL_ASSERT
    }
}

/// IA32_APIC_BASE and its bits (Intel SDM vol. 3, 11.4.4 and 11.12.1).
const IA32_APIC_BASE: u32 = 0x1b;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;

/// Offsets of the registers (Intel SDM vol. 3, table 11-1).
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const EOI: u32 = 0xb0;
const SPURIOUS_VECTOR: u32 = 0xf0;
const ERROR_STATUS: u32 = 0x280;
const COMMAND_LOW: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
pub(super) const LVT_TIMER: u32 = 0x320;
const LVT_THERMAL: u32 = 0x330;
const LVT_PERFORMANCE: u32 = 0x340;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
pub(super) const INITIAL_COUNT: u32 = 0x380;
pub(super) const CURRENT_COUNT: u32 = 0x390;
pub(super) const DIVIDE: u32 = 0x3e0;

const SOFTWARE_ENABLE: u32 = 1 << 8;
pub(super) const MASKED: u32 = 1 << 16;
/// Delivery modes of LVT and ICR (Intel SDM vol. 3, 11.5.1 and 11.6.1).
const MODE_NMI: u32 = 0b100 << 8;
const MODE_INIT: u32 = 0b101 << 8;
const MODE_STARTUP: u32 = 0b110 << 8;
const LEVEL_ASSERT: u32 = 1 << 14;
const DELIVERY_PENDING: u32 = 1 << 12;

/// How often the delivery status is read before a command is sent regardless: far beyond any
/// delivery, and the only other choice is to hang.
const DELIVERY_POLLS: usize = 100_000;

#[derive(Clone, Copy)]
struct LocalApic {
    access: Access,
}

#[derive(Clone, Copy)]
enum Access {
    /// Virtual address of the register page.
    Memory(usize),
    Msr,
}

static APIC: OnceCell<LocalApic> = OnceCell::uninit();

impl LocalApic {
    fn read(self, register: u32) -> u32 {
        match self.access {
            // SAFETY: the page is mapped with the physical memory; the offset is inside it.
            Access::Memory(page) => unsafe {
                ((page + register as usize) as *const u32).read_volatile()
            },
            // SAFETY: CPUID offers x2APIC and it is on, so the MSR exists.
            Access::Msr => unsafe { Msr::new(msr_of(register)).read() as u32 },
        }
    }

    fn write(self, register: u32, value: u32) {
        match self.access {
            // SAFETY: as in `read`; the registers written affect interrupts of this CPU only.
            Access::Memory(page) => unsafe {
                ((page + register as usize) as *mut u32).write_volatile(value);
            },
            // SAFETY: as in `read`.
            Access::Msr => unsafe { Msr::new(msr_of(register)).write(u64::from(value)) },
        }
    }

    fn send(self, apic_id: u32, command: u32) {
        match self.access {
            Access::Memory(_) => {
                // The two halves must not be torn by a handler that sends an IPI itself.
                let flags = irq::save();
                self.wait_for_delivery();
                self.write(COMMAND_HIGH, apic_id << 24);
                // Writing the low half sends (Intel SDM vol. 3, 11.6.1). The store to memory
                // that the receiver shall see is older than this one, and x86 keeps stores in
                // order; the page is uncached.
                self.write(COMMAND_LOW, command);
                irq::restore(flags);
            }
            Access::Msr => {
                // x2APIC MSR writes are not serializing: without the fences the IPI may arrive
                // before the data it announces (Intel SDM vol. 3, 11.12.3).
                // SAFETY: fences have no operands; the MSR exists as in `read`.
                unsafe {
                    core::arch::x86_64::_mm_mfence();
                    core::arch::x86_64::_mm_lfence();
                    let value = u64::from(apic_id) << 32 | u64::from(command);
                    Msr::new(msr_of(COMMAND_LOW)).write(value);
                }
            }
        }
    }

    fn wait_for_delivery(self) {
        for _ in 0..DELIVERY_POLLS {
            if self.read(COMMAND_LOW) & DELIVERY_PENDING == 0 {
                return;
            }
            cpu::pause();
        }
    }
}

fn msr_of(register: u32) -> u32 {
    0x800 + (register >> 4)
}

/// Chooses xAPIC or x2APIC for all CPUs. On the boot CPU, before [`init_this_cpu`].
pub(super) fn choose(platform: &Platform) {
    let access = if cpu::Features::read().x2apic {
        Access::Msr
    } else {
        Access::Memory(phys_to_virt(platform.local_apic) as usize)
    };
    APIC.init_once(|| LocalApic { access });
}

/// The physical address of the xAPIC registers as the CPU has it.
pub(super) fn base_address() -> u64 {
    // SAFETY: every x86-64 CPU has this MSR.
    let base = unsafe { Msr::new(IA32_APIC_BASE).read() };
    base & 0x000f_ffff_ffff_f000
}

/// Turns this CPU's APIC on: all sources masked but LINT1 (NMI) and the error vector.
pub(super) fn init_this_cpu() {
    let apic = get();
    // SAFETY: EN and EXTD may be set in this order from any state that software can be in
    // (Intel SDM vol. 3, figure 11-27); the base address is kept.
    unsafe {
        let mut msr = Msr::new(IA32_APIC_BASE);
        let mut value = msr.read();
        if value & BASE_ENABLE == 0 {
            value |= BASE_ENABLE;
            msr.write(value);
        }
        if matches!(apic.access, Access::Msr) && value & BASE_X2APIC == 0 {
            msr.write(value | BASE_X2APIC);
        }
    }
    // The APIC must be software-enabled first: before that LVT mask bits cannot be cleared.
    apic.write(SPURIOUS_VECTOR, SOFTWARE_ENABLE | vector::SPURIOUS as u32);
    apic.write(TASK_PRIORITY, 0);
    apic.write(LVT_TIMER, MASKED | vector::TIMER as u32);
    apic.write(LVT_THERMAL, MASKED);
    apic.write(LVT_PERFORMANCE, MASKED);
    // LINT0 is the 8259's line: everything comes through the I/O APIC instead.
    apic.write(LVT_LINT0, MASKED);
    apic.write(LVT_LINT1, MODE_NMI);
    clear_errors();
    apic.write(LVT_ERROR, vector::ERROR as u32);
    end_of_interrupt();
}

fn get() -> LocalApic {
    *APIC.get().expect("the APIC is chosen before it is used")
}

/// Acknowledges the interrupt in service. Nothing before the APIC is chosen.
pub(super) fn end_of_interrupt() {
    if let Ok(apic) = APIC.try_get() {
        apic.write(EOI, 0);
    }
}

/// Resets the error status; writing latches it first (Intel SDM vol. 3, 11.5.3).
pub(super) fn clear_errors() {
    get().write(ERROR_STATUS, 0);
}

/// Reads a timer register.
pub(super) fn read(register: u32) -> u32 {
    get().read(register)
}

/// Writes a timer register.
pub(super) fn write(register: u32, value: u32) {
    get().write(register, value);
}

/// The id of this CPU.
pub(super) fn id() -> u32 {
    let apic = get();
    match apic.access {
        Access::Memory(_) => apic.read(ID) >> 24,
        Access::Msr => apic.read(ID),
    }
}

/// Are the 32-bit ids of x2APIC in use?
pub(super) fn is_x2apic() -> bool {
    matches!(
        APIC.try_get(),
        Ok(LocalApic {
            access: Access::Msr
        })
    )
}

/// Sends `command` to one CPU.
pub(super) fn send(apic_id: u32, command: u32) {
    if let Ok(apic) = APIC.try_get() {
        apic.send(apic_id, command);
    }
}

/// Command words for starting and stopping CPUs.
pub(super) fn nmi_command() -> u32 {
    MODE_NMI | LEVEL_ASSERT
}

pub(super) fn init_command() -> u32 {
    MODE_INIT | LEVEL_ASSERT
}

/// Starts a waiting CPU in real mode at physical address `page`.
pub(super) fn startup_command(page: u64) -> u32 {
    debug_assert!(
        page < 0x10_0000 && page.is_multiple_of(0x1000),
        "SIPI takes a page below 1 MiB"
    );
    MODE_STARTUP | LEVEL_ASSERT | (page >> 12) as u32
}

//! The bare x86-64 machine: what `arch/mod.rs` promises, kept.
//!
//! Reading order: `cpu`, `gdt`, `idt`, `traps` (how an interrupt comes in), `exceptions`,
//! `freeze`, `hold`; `acpi`, `apic`, `ioapic` (what is there and who interrupts whom); `calibrate`,
//! `clock`, `timer` (time); `trampoline`, `tsc_sync`, `smp` (more than one CPU); `serial`,
//! `power`, `describe`; `faults`, made on purpose. Beside the seam: `cost`, for the tour.
//!
//! Invariants: no heap is used anywhere below; everything that boot finds is set once; every
//! wait is bounded and pauses. Code here calls up only through [`Handlers`]. A machine that
//! cannot keep time is refused in words, with status 2.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

mod acpi;
mod apic;
mod calibrate;
mod clock;
pub mod cost;
mod cpu;
mod describe;
mod faults;
mod freeze;
mod gdt;
mod hold;
mod idt;
mod ioapic;
pub mod irq;
mod power;
mod serial;
mod smp;
mod timer;
mod trampoline;
mod traps;
mod tsc_sync;

pub use self::acpi::Refusal;
pub use self::apic::Ipi;
pub use self::calibrate::Source;
pub use self::clock::{nanotime, ns_to_cputicks};
pub use self::cpu::{CpuName, cputicks, flush_tlb, halt, pause};
pub use self::describe::{Description, Ids, describe};
pub use self::faults::set_faults;
pub use self::freeze::{freeze_others, frozen_frame};
pub use self::gdt::CpuStacks;
pub use self::hold::{Held, hold};
pub use self::power::exit;
pub use self::serial::{
    console_read, console_write, enable_console_input, has_second_port, second_port_write,
};
pub use self::smp::{StartError, choose_trampoline, num_cpu, send_ipi, start_cpu};
pub use self::timer::set_deadline;
pub use self::traps::{Handlers, set_handlers};

/// The most CPUs that are used.
pub const MAX_CPUS: usize = 64;

/// What only the boot stage knows.
pub struct BootFacts {
    /// Where all physical memory is mapped.
    pub physical_memory_offset: u64,
    /// Physical address of ACPI's root pointer.
    pub rsdp_addr: Option<u64>,
    /// Two free pages below 1 MiB (see [`choose_trampoline`]); without them no other CPU starts.
    pub trampoline: Option<u64>,
}

static PHYSICAL_MEMORY_OFFSET: AtomicU64 = AtomicU64::new(0);

/// The first thing at boot: this CPU's registers, the console, and tables with which any
/// exception is reported in words. Needs no memory.
///
/// # Safety
/// On the boot CPU, once, with interrupts off and GS base = its complete MHead (`g`, `gsignal`,
/// `cpu` = 0).
pub unsafe fn init_boot_cpu_early() {
    cpu::init();
    serial::init();
    // SAFETY: this CPU is the only one, interrupts are off, and the early stacks are static.
    unsafe {
        gdt::set_stacks(0, &CpuStacks::early());
        gdt::load(0);
        idt::fill();
        idt::load();
    }
}

/// The rest of the boot CPU: interrupt controllers, clock, timer, and the list of the others.
///
/// # Safety
/// On the boot CPU, once, after [`init_boot_cpu_early`], with interrupts off. The facts are true;
/// the stacks are mapped and used for nothing else.
pub unsafe fn init_boot_cpu(facts: &BootFacts, stacks: CpuStacks) {
    PHYSICAL_MEMORY_OFFSET.store(facts.physical_memory_offset, Ordering::Relaxed);
    // SAFETY: as promised by the caller.
    unsafe { gdt::set_stacks(0, &stacks) }
    let platform = smp::set_platform(acpi::Platform::read(facts.rsdp_addr));
    apic::choose(platform);
    ioapic::init(platform);
    apic::init_this_cpu();
    power::init(platform);
    clock::init(platform);
    timer::choose();
    timer::init_this_cpu();
    smp::init(facts.trampoline);
}

/// Where physical address `pa` is mapped. After `init_boot_cpu` began.
#[inline]
pub fn phys_to_virt(pa: u64) -> *mut u8 {
    (PHYSICAL_MEMORY_OFFSET.load(Ordering::Relaxed) + pa) as *mut u8
}

/// Ends a boot that cannot go on, in words.
fn refuse_boot(reason: fmt::Arguments<'_>) -> ! {
    serial::print(format_args!("boot refused: {reason}\n"));
    power::exit(2)
}

//! The seam between the scheduler and the machine: every name that code above `arch/` may use.
//!
//! `x86_64/` implements them on the bare machine, `host.rs` over std threads for the tests that
//! run on the host. Both define the same names with the same meaning; the choice is made here and
//! nowhere else. Modules, not a trait: a trait would spread through every signature of the
//! scheduler for two implementations that never meet in one program.
//!
//! | name | contract |
//! | --- | --- |
//! | [`switch`] | `gogo`, `mcall`, `systemstack`, the safe point: one file for both sides |
//! | [`init_boot_cpu_early`], [`init_boot_cpu`] | the boot CPU: exceptions first, then the rest |
//! | [`nanotime`] | nanoseconds since boot, monotonic on and across CPUs |
//! | [`cputicks`], [`ns_to_cputicks`] | the raw cycle counter, for slices and seeds |
//! | [`set_deadline`] | arms *this* CPU's one-shot timer at an absolute nanotime |
//! | [`irq`] | save, disable and restore interrupts of this CPU |
//! | [`halt`] | waits for an interrupt; interrupts off before, on during, off after |
//! | [`pause`] | the polite body of every wait loop |
//! | [`num_cpu`], [`start_cpu`] | CPUs that are usable, and starting one of the others |
//! | [`send_ipi`] | wake, preempt, flush TLB, on one CPU |
//! | [`flush_tlb`] | forgets all translations of this CPU |
//! | [`freeze_others`], [`frozen_frame`] | stop all other CPUs for good, and where each was |
//! | [`hold()`], [`Held`], [`Place`] | stop some CPUs where they are for the time of a function |
//! | [`set_faults`] | what goes wrong on purpose |
//! | [`set_handlers`] | the one way up: what the interrupts call |
//! | [`phys_to_virt`] | physical memory as the kernel sees it |
//! | [`console_write`], [`console_read`] | raw bytes of the serial console |
//! | [`has_second_port`], [`second_port_write`] | raw bytes to the second serial port |
//! | [`enable_console_input`] | lets input interrupt the boot CPU |
//! | [`describe`] | what was found, for the boot banner |
//! | [`exceptions`] | the names of the CPU's exceptions |
//! | [`exit`] | ends the image with a status |

pub mod exceptions;
pub mod faults;
pub mod hold;
pub use self::hold::Place;
pub mod switch;
mod trap_frame;

#[cfg(not(test))]
mod x86_64;
#[cfg(not(test))]
use x86_64 as imp;

#[cfg(test)]
mod host;
#[cfg(test)]
use host as imp;

pub use trap_frame::TrapFrame;

pub use imp::{
    Held, Ipi, MAX_CPUS, console_read, console_write, cputicks, enable_console_input, exit,
    flush_tlb, freeze_others, frozen_frame, halt, has_second_port, hold, irq, nanotime,
    ns_to_cputicks, num_cpu, pause, phys_to_virt, second_port_write, send_ipi, set_deadline,
};

/// No part of the seam: what switches cost on the machine.
#[cfg(not(test))]
pub use x86_64::cost;

/// What boot alone uses; the host tests do not boot.
#[cfg(not(test))]
pub use imp::{
    BootFacts, CpuName, CpuStacks, Description, Handlers, Ids, Refusal, Source, StartError,
    choose_trampoline, describe, init_boot_cpu, init_boot_cpu_early, set_faults, set_handlers,
    start_cpu,
};

#[cfg(test)]
pub(crate) use imp::become_cpu;

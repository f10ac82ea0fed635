//! The seam between the scheduler and the machine: every name that code above `arch/` may use.
//!
//! `x86_64/` implements them on the bare machine, `host.rs` over std threads for the tests that
//! run on the host. Both define the same names with the same meaning; the choice is made here and
//! nowhere else. Modules, not a trait: a trait would spread through every signature of the
//! scheduler for two implementations that never meet in one program.
//!
//! | name | contract |
//! | --- | --- |
//! | [`switch`] | `Gobuf`, `gogo`, `mcall`, `systemstack`, the safe point: one file for both sides |
//! | [`nanotime`] | nanoseconds since boot, monotonic on and across CPUs |
//! | [`cputicks`], [`ns_to_cputicks`] | the raw cycle counter, a few instructions, for slices and seeds |
//! | [`set_deadline`] | arms *this* CPU's one-shot timer |
//! | [`irq`] | save, disable and restore interrupts of this CPU |
//! | [`halt`] | waits for an interrupt; interrupts off before, on during, off after |
//! | [`pause`] | the polite body of every wait loop |
//! | [`num_cpu`], [`start_cpus`] | CPUs found, and starting the others |
//! | [`send_ipi`], [`freeze_others`] | wake, preempt, flush TLB; stop all others for a dump |
//! | [`set_handlers`] | the one way up: what the interrupts call |
//! | [`phys_to_virt`] | physical memory as the kernel sees it |
//! | [`console_write`], [`console_read`] | raw bytes of the serial console |
//! | [`exit`] | ends the image with a status |

pub mod switch;

#[cfg(not(any(test, loom)))]
pub mod x86_64;
#[cfg(not(any(test, loom)))]
use x86_64 as imp;

#[cfg(any(test, loom))]
mod host;
#[cfg(any(test, loom))]
use host as imp;

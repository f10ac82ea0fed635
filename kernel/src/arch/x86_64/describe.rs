//! What was found, for the boot banner.
//!
//! Reads state that boot has set; owns none.

use core::fmt;

use super::acpi::Refusal;
use super::calibrate::Source;
use super::cpu::{CpuName, Features};
use super::{apic, clock, smp, timer, traps, tsc_sync};

/// The machine in words and numbers; `Display` gives it on one line per subject.
pub struct Description {
    /// Vendor and brand.
    pub cpu: CpuName,
    /// Is x2APIC in use (else xAPIC)?
    pub x2apic: bool,
    /// APIC ids of the usable CPUs, by index.
    pub apic_ids: &'static [u32],
    /// Enabled CPUs that are not used, and why.
    pub refused: &'static [(u32, Refusal)],
    /// Where the TSC's rate came from.
    pub clock_source: Option<Source>,
    /// The TSC's rate.
    pub tsc_hz: u64,
    /// Does the TSC keep its rate in all power states?
    pub tsc_invariant: bool,
    /// By how many ticks some CPU's TSC is known to be off.
    pub tsc_skew_ticks: u64,
    /// Kind of timer.
    pub timer: &'static str,
    /// The timer's own rate, where it has one.
    pub timer_hz: Option<u64>,
    /// Interrupts on vectors that nobody uses.
    pub unexpected_interrupts: usize,
}

/// What was found. After `init_boot_cpu`.
pub fn describe() -> Description {
    let platform = smp::platform();
    let (timer, timer_hz) = timer::describe();
    Description {
        cpu: CpuName,
        x2apic: apic::is_x2apic(),
        apic_ids: platform.cpus(),
        refused: platform.refused(),
        clock_source: clock::source(),
        tsc_hz: clock::hz(),
        tsc_invariant: Features::read().invariant_tsc,
        tsc_skew_ticks: tsc_sync::worst_skew_ticks(),
        timer,
        timer_hz,
        unexpected_interrupts: traps::unexpected_interrupts(),
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.x2apic { "x2APIC" } else { "xAPIC" };
        writeln!(
            f,
            "cpu: {}, {} usable, {mode} ids {:?}",
            self.cpu,
            self.apic_ids.len(),
            self.apic_ids
        )?;
        for (apic_id, refusal) in self.refused {
            let reason = match refusal {
                Refusal::TooMany => "more CPUs than this kernel takes",
                Refusal::NeedsX2Apic => "its id needs x2APIC",
            };
            writeln!(f, "cpu: APIC id {apic_id} not used: {reason}")?;
        }
        let source = self.clock_source.map_or("nothing", Source::name);
        let invariant = if self.tsc_invariant {
            "invariant"
        } else {
            "not promised invariant"
        };
        write!(
            f,
            "clock: TSC {} MHz by {source}, {invariant}; timer: APIC {}",
            Mhz(self.tsc_hz),
            self.timer
        )?;
        if let Some(hz) = self.timer_hz {
            write!(f, " {} MHz", Mhz(hz))?;
        }
        if self.tsc_skew_ticks != 0 {
            write!(
                f,
                "\nclock: TSCs differ by {} ticks or more",
                self.tsc_skew_ticks
            )?;
        }
        Ok(())
    }
}

/// A rate in MHz with three decimals.
struct Mhz(u64);

impl fmt::Display for Mhz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}

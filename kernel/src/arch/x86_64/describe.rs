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
    /// Enabled CPUs that are not used, and why, as far as there was room to note them.
    pub refused: &'static [(u32, Refusal)],
    /// How many CPUs are enabled, used or not.
    pub enabled: usize,
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
        enabled: platform.num_enabled(),
        clock_source: clock::source(),
        tsc_hz: clock::hz(),
        tsc_invariant: Features::read().invariant_tsc,
        tsc_skew_ticks: tsc_sync::worst_skew_ticks(),
        timer,
        timer_hz,
        unexpected_interrupts: traps::unexpected_interrupts(),
    }
}

impl Description {
    /// The CPUs that are not used, by the reason why.
    pub fn refusals(&self) -> impl Iterator<Item = (impl fmt::Display, Refusal)> {
        let refused = self.refused;
        let of = move |wanted: Refusal| {
            let its = refused
                .iter()
                .filter(move |(_, refusal)| *refusal == wanted);
            its.map(|(id, _)| *id)
        };
        [Refusal::TooMany, Refusal::NeedsX2Apic]
            .into_iter()
            .filter(move |refusal| of(*refusal).next().is_some())
            .map(move |refusal| (Ids(of(refusal)), refusal))
    }
}

/// Numbers in ascending order, runs of them as `first-last`: 64 would not fit a line.
pub struct Ids<I>(pub I);

impl<I: Iterator<Item = u32> + Clone> fmt::Display for Ids<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.0.clone();
        let mut next = ids.next();
        let mut comma = "";
        while let Some(first) = next {
            let mut last = first;
            next = ids.next();
            while next.is_some_and(|id| id == last + 1) {
                last += 1;
                next = ids.next();
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "more CPUs than this kernel takes",
            Self::NeedsX2Apic => "their ids need x2APIC",
        })
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
        for (ids, refusal) in self.refusals() {
            writeln!(f, "cpu: APIC ids {ids} not used: {refusal}")?;
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

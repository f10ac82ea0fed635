//! Time: nanoseconds since boot from the TSC.
//!
//! The TSC's rate is found once (`calibrate`), then [`nanotime`] is one multiplication by a
//! 16.48-bit fraction and a shift: no division, exact to parts in 10^13, and good for centuries.
//! Time is monotonic on a CPU because the read is ordered, and across CPUs as far as their TSCs
//! agree, which `smp` checks at the start of each. Refused: a rate kept in whole MHz or in
//! floating point, a rate from an earlier run (it differs under `-icount`), and running without
//! a trustworthy rate at all: `init` ends the boot then.

use conquer_once::spin::OnceCell;

use super::acpi::Platform;
use super::calibrate::{self, Source};
use super::cpu;

const NS_PER_S: u128 = 1_000_000_000;

/// Fraction bits of both conversion factors: a rate of 10 GHz still fits 64 bits.
const SHIFT: u32 = 48;

/// Waits before the rate is known assume the fastest TSC that we accept, so they are long
/// enough on any other.
const MAX_TICKS_PER_NS: u64 = calibrate::MAX_HZ / 1_000_000_000;

struct Clock {
    base_ticks: u64,
    hz: u64,
    ns_per_tick: u64,
    ticks_per_ns: u64,
    source: Source,
}

static CLOCK: OnceCell<Clock> = OnceCell::uninit();

/// Finds the TSC's rate and starts time at 0.
pub(super) fn init(platform: &Platform) {
    let Some((hz, source)) = calibrate::tsc(platform) else {
        super::refuse_boot(format_args!(
            "no clock tells how fast the TSC runs: hypervisor leaf, CPUID 0x15, HPET, PM timer \
             and PIT are absent or give less than {} MHz or more than {} MHz",
            calibrate::MIN_HZ / 1_000_000,
            calibrate::MAX_HZ / 1_000_000,
        ))
    };
    CLOCK.init_once(|| Clock {
        base_ticks: cpu::ordered_ticks(),
        hz,
        ns_per_tick: ((NS_PER_S << SHIFT) / u128::from(hz)) as u64,
        ticks_per_ns: ((u128::from(hz) << SHIFT) / NS_PER_S) as u64,
        source,
    });
}

/// Nanoseconds since boot; 0 before the clock runs.
#[inline]
pub fn nanotime() -> u64 {
    match CLOCK.try_get() {
        // A CPU whose TSC lags at the very start must not see a time before 0.
        Ok(clock) => {
            let ticks = cpu::ordered_ticks().saturating_sub(clock.base_ticks);
            scale(ticks, clock.ns_per_tick)
        }
        Err(_) => 0,
    }
}

/// A duration in cycles of [`cputicks`](cpu::cputicks), saturating; 0 before the clock runs.
#[inline]
pub fn ns_to_cputicks(ns: u64) -> u64 {
    CLOCK
        .try_get()
        .map_or(0, |clock| scale(ns, clock.ticks_per_ns))
}

/// The TSC value at nanotime `ns`, rounded up.
pub(super) fn ticks_at(ns: u64) -> u64 {
    let base = CLOCK.try_get().map_or(0, |clock| clock.base_ticks);
    base.saturating_add(ns_to_cputicks(ns)).saturating_add(1)
}

fn scale(value: u64, factor: u64) -> u64 {
    let wide = (u128::from(value) * u128::from(factor)) >> SHIFT;
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// Polls `done` with `pause` for at most `ns`. Works before the clock runs. Returns what the
/// last poll said.
pub(super) fn spin_until(ns: u64, mut done: impl FnMut() -> bool) -> bool {
    let budget = match ns_to_cputicks(ns) {
        0 => ns.saturating_mul(MAX_TICKS_PER_NS),
        ticks => ticks,
    };
    let start = cpu::cputicks();
    loop {
        if done() {
            return true;
        }
        if cpu::cputicks().wrapping_sub(start) > budget {
            return done();
        }
        cpu::pause();
    }
}

/// TSC ticks per second; 0 before the clock runs.
pub(super) fn hz() -> u64 {
    CLOCK.try_get().map_or(0, |clock| clock.hz)
}

/// Where the rate came from.
pub(super) fn source() -> Option<Source> {
    CLOCK.try_get().ok().map(|clock| clock.source)
}

//! Finding out how fast the TSC and the local APIC's timer run.
//!
//! A rate that the hypervisor or CPUID states is taken; otherwise the TSC is counted against
//! the first reference clock that is there: HPET, ACPI PM timer, channel 0 of the PIT. Each
//! step of a reference is bracketed by two readings of the TSC, so its uncertainty is known, and
//! of three rounds the tightest counts: a round in which the machine (or the emulator's host) was
//! away looks loose and loses. (The minimum of three would do where errors are one-sided; these
//! are not.) The whole takes about ten milliseconds.
//!
//! Every loop is bounded by the TSC itself, which always runs: an absent reference reads as a
//! constant and is given up. A result outside 100 MHz..10 GHz is not believed. Rejected: PIT
//! channel 2 (its gate, port 0x61, is missing on some machines and the result garbage), PIT
//! interrupts (slow), parsing the brand string, guessing.

use x86_64::instructions::port::Port;

use super::acpi::{Platform, PmTimer};
use super::apic;
use super::cpu;
use super::phys_to_virt;

/// Rates outside are measurement errors, not machines.
pub(super) const MIN_HZ: u64 = 100_000_000;
pub(super) const MAX_HZ: u64 = 10_000_000_000;

const ROUNDS: usize = 3;
/// Readings per sample; the tightest counts.
const READINGS: usize = 4;
/// Readings until a counter that has not stepped is taken as it is.
const STEP_POLLS: usize = 100;
/// A round is 1/500 s long.
const ROUNDS_PER_S: u64 = 500;
/// When to give up on a reference that stands still: 10 ms at the fastest rate.
const ROUND_LIMIT_TICKS: u64 = MAX_HZ / 100;
/// The local APIC's timer is counted over 1 ms of TSC time.
const APIC_ROUNDS_PER_S: u64 = 1000;

/// Where the TSC's rate came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// CPUID leaf 0x40000010.
    Hypervisor,
    /// CPUID leaf 0x15, or 0x15 and 0x16.
    Cpuid,
    /// High precision event timer.
    Hpet,
    /// ACPI power-management timer.
    PmTimer,
    /// Channel 0 of the 8254.
    Pit,
}

impl Source {
    /// For the boot banner.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hypervisor => "hypervisor leaf",
            Self::Cpuid => "CPUID",
            Self::Hpet => "HPET",
            Self::PmTimer => "PM timer",
            Self::Pit => "PIT",
        }
    }
}

/// The TSC's rate in Hz and how it is known, or nothing that can be believed.
pub(super) fn tsc(platform: &Platform) -> Option<(u64, Source)> {
    type Measure = fn(&Platform) -> Option<u64>;
    let candidates: [(Measure, Source); 5] = [
        (|_| hypervisor_hz(), Source::Hypervisor),
        (|_| cpuid_hz(), Source::Cpuid),
        (|p| p.hpet.and_then(hpet_hz), Source::Hpet),
        (|p| p.pm_timer.and_then(pm_timer_hz), Source::PmTimer),
        (|_| pit_hz(), Source::Pit),
    ];
    candidates.iter().find_map(|(rate, source)| {
        let hz = rate(platform).filter(|hz| (MIN_HZ..=MAX_HZ).contains(hz))?;
        Some((hz, *source))
    })
}

fn hypervisor_hz() -> Option<u64> {
    let khz = cpu::cpuid().get_hypervisor_info()?.tsc_frequency()?;
    Some(u64::from(khz) * 1000)
}

/// CPUID 0x15 gives the ratio to a crystal whose rate it may leave out; 0x16 then gives the
/// product in whole MHz, which is what such a CPU's TSC runs at (Intel SDM vol. 3, 18.7.3).
fn cpuid_hz() -> Option<u64> {
    let id = cpu::cpuid();
    let ratio = id
        .get_tsc_info()
        .filter(|i| i.numerator() != 0 && i.denominator() != 0)?;
    if ratio.nominal_frequency() != 0 {
        return ratio.tsc_frequency();
    }
    let base = id
        .get_processor_frequency_info()?
        .processor_base_frequency();
    Some(u64::from(base) * 1_000_000)
}

/// General capabilities (period in the upper half), configuration, main counter: IA-PC HPET 1.0a,
/// 2.3.
const HPET_PERIOD: u64 = 0x04;
const HPET_CONFIGURATION: u64 = 0x10;
const HPET_COUNTER: u64 = 0xf0;
const HPET_ENABLE: u32 = 1;
/// The specification's limit, 100 ns.
const HPET_MAX_PERIOD_FS: u32 = 100_000_000;
const FS_PER_S: u64 = 1_000_000_000_000_000;

fn hpet_hz(base: u64) -> Option<u64> {
    let register = |offset| phys_to_virt(base + offset).cast::<u32>();
    // SAFETY: the register page that the HPET table names, mapped with the physical memory.
    // 32-bit accesses are allowed everywhere.
    let (period_fs, configuration) = unsafe {
        (
            register(HPET_PERIOD).read_volatile(),
            register(HPET_CONFIGURATION).read_volatile(),
        )
    };
    if period_fs == 0 || period_fs > HPET_MAX_PERIOD_FS {
        return None;
    }
    let rate = Rate {
        ticks: FS_PER_S,
        seconds: u64::from(period_fs),
    };
    // SAFETY: as above; starting the main counter arms no comparator.
    unsafe { register(HPET_CONFIGURATION).write_volatile(configuration | HPET_ENABLE) };
    let hz = against(rate, 0xffff_ffff, || {
        // SAFETY: as above.
        u64::from(unsafe { register(HPET_COUNTER).read_volatile() })
    });
    // SAFETY: as above; the counter is left as it was found.
    unsafe { register(HPET_CONFIGURATION).write_volatile(configuration) };
    hz
}

/// ACPI 6.5, 4.8.2.1.
const PM_TIMER_HZ: u64 = 3_579_545;

fn pm_timer_hz(timer: PmTimer) -> Option<u64> {
    let mut port: Port<u32> = Port::new(timer.port);
    // SAFETY: the port that the FADT names; reading has no effect.
    against(
        Rate {
            ticks: PM_TIMER_HZ,
            seconds: 1,
        },
        timer.mask,
        || u64::from(unsafe { port.read() }),
    )
}

/// The PIT runs at a third of the PM timer's rate.
const PIT_RATE: Rate = Rate {
    ticks: PM_TIMER_HZ,
    seconds: 3,
};
/// Control words for channel 0 (8254 data sheet): mode 2 with both bytes, mode 0 with both
/// bytes, latch.
const PIT_RATE_GENERATOR: u8 = 0b0011_0100;
const PIT_ONE_SHOT: u8 = 0b0011_0000;
const PIT_LATCH: u8 = 0b0000_0000;

fn pit_hz() -> Option<u64> {
    start_pit(PIT_RATE_GENERATOR);
    let hz = against(PIT_RATE, 0xffff, || u64::from(pit_count().wrapping_neg()));
    // One more edge, and then silence.
    start_pit(PIT_ONE_SHOT);
    hz
}

const PIT_CHANNEL_0: u16 = 0x40;
const PIT_CONTROL: u16 = 0x43;

/// Counts channel 0 down from 65536.
fn start_pit(mode: u8) {
    let mut channel: Port<u8> = Port::new(PIT_CHANNEL_0);
    // SAFETY: fixed ports of the PC. The interrupt line that the channel drives is masked.
    unsafe {
        Port::new(PIT_CONTROL).write(mode);
        channel.write(0);
        channel.write(0);
    }
}

fn pit_count() -> u16 {
    let mut channel: Port<u8> = Port::new(PIT_CHANNEL_0);
    // SAFETY: as in `start_pit`; the count is latched, low byte first.
    unsafe {
        Port::new(PIT_CONTROL).write(PIT_LATCH);
        u16::from_le_bytes([channel.read(), channel.read()])
    }
}

/// The rate of this CPU's APIC timer at divisor 1, counted against the TSC of `tsc_hz`.
pub(super) fn apic_timer(tsc_hz: u64) -> Option<u64> {
    apic::write(apic::LVT_TIMER, apic::MASKED | apic::vector::TIMER as u32);
    apic::write(apic::DIVIDE, super::timer::DIVIDE_BY_1);
    apic::write(apic::INITIAL_COUNT, u32::MAX);
    let wanted = tsc_hz / APIC_ROUNDS_PER_S;
    let up = || u64::from(!apic::read(apic::CURRENT_COUNT));
    let best = tightest_round(0xffff_ffff, up, |_, ticks| ticks >= wanted);
    apic::write(apic::INITIAL_COUNT, 0);
    let Interval { count, ticks, .. } = best?;
    let hz = u128::from(count) * u128::from(tsc_hz) / u128::from(ticks);
    u64::try_from(hz).ok().filter(|&hz| hz != 0)
}

/// `ticks` per `seconds` seconds.
struct Rate {
    ticks: u64,
    seconds: u64,
}

/// The TSC's rate, counted against a reference clock that counts up.
fn against(rate: Rate, mask: u64, read: impl FnMut() -> u64) -> Option<u64> {
    let wanted = rate.ticks / (rate.seconds * ROUNDS_PER_S);
    let Interval { count, ticks, .. } = tightest_round(mask, read, |count, _| count >= wanted)?;
    let hz =
        u128::from(ticks) * u128::from(rate.ticks) / (u128::from(count) * u128::from(rate.seconds));
    u64::try_from(hz).ok()
}

/// What a counter and the TSC did in one round; `slack` is the TSC uncertainty of both ends.
struct Interval {
    count: u64,
    ticks: u64,
    slack: u64,
}

/// Runs the rounds, each until `long_enough(count, ticks)`. None if the counter stands still.
fn tightest_round(
    mask: u64,
    mut read: impl FnMut() -> u64,
    long_enough: impl Fn(u64, u64) -> bool,
) -> Option<Interval> {
    let mut best: Option<Interval> = None;
    for _ in 0..ROUNDS {
        let from = Sample::take(&mut read);
        loop {
            let ticks = cpu::ordered_ticks().wrapping_sub(from.ticks);
            if long_enough(read().wrapping_sub(from.count) & mask, ticks) {
                break;
            }
            if ticks > ROUND_LIMIT_TICKS {
                return best;
            }
            cpu::pause();
        }
        let to = Sample::take(&mut read);
        let round = Interval {
            count: to.count.wrapping_sub(from.count) & mask,
            ticks: to.ticks.wrapping_sub(from.ticks),
            slack: from.slack + to.slack,
        };
        if round.count != 0 && best.as_ref().is_none_or(|b| round.slack < b.slack) {
            best = Some(round);
        }
    }
    best
}

/// A counter's value at the moment it took it, as a TSC value, give or take `slack / 2`.
struct Sample {
    count: u64,
    ticks: u64,
    slack: u64,
}

impl Sample {
    fn take(read: &mut impl FnMut() -> u64) -> Self {
        let mut best = Self::at_next_step(read);
        for _ in 1..READINGS {
            let next = Self::at_next_step(read);
            if next.slack < best.slack {
                best = next;
            }
        }
        best
    }

    /// Waits for the counter to step: its value alone says when only to within a step, which is
    /// close to a microsecond on the PIT. The step fell between the last two readings.
    fn at_next_step(read: &mut impl FnMut() -> u64) -> Self {
        let mut before = cpu::ordered_ticks();
        let old = read();
        let mut polls = 0;
        loop {
            let between = cpu::ordered_ticks();
            let count = read();
            let slack = cpu::ordered_ticks().wrapping_sub(before);
            polls += 1;
            if count != old || polls == STEP_POLLS {
                return Self {
                    count,
                    ticks: before.wrapping_add(slack / 2),
                    slack,
                };
            }
            before = between;
            cpu::pause();
        }
    }
}

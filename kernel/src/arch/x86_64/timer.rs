//! The one-shot timer of each CPU: one absolute deadline, in the local APIC.
//!
//! With TSC-deadline the APIC takes the TSC value itself; otherwise its 32-bit down-counter is
//! given the distance. Both promise the same: `Handlers::tick` runs when `nanotime()` has reached
//! the deadline, never before, once. The counter cannot hold more than some seconds and may be
//! off by a rounding, so [`expired`] arms it again as often as it comes too early.
//!
//! `DEADLINES[cpu]` is written by `cpu` alone.

use core::sync::atomic::{AtomicU64, Ordering};

use conquer_once::spin::OnceCell;
use x86_64::registers::model_specific::Msr;

use super::MAX_CPUS;
use super::apic::{self, vector};
use super::calibrate;
use super::clock;
use super::cpu;
use super::faults;
use crate::arch::switch::cpu_index;

/// Divide configuration 0b1011 (Intel SDM vol. 3, figure 11-10).
pub(super) const DIVIDE_BY_1: u32 = 0b1011;

/// LVT timer mode, bits 17-18 (Intel SDM vol. 3, 11.5.1).
const MODE_ONE_SHOT: u32 = 0b00 << 17;
const MODE_TSC_DEADLINE: u32 = 0b10 << 17;

const IA32_TSC_DEADLINE: u32 = 0x6e0;

/// No deadline.
const DISARMED: u64 = u64::MAX;

const SHIFT: u32 = 32;

#[derive(Clone, Copy)]
enum Kind {
    TscDeadline,
    /// Timer counts per nanosecond, with [`SHIFT`] fraction bits.
    OneShot {
        counts_per_ns: u64,
        hz: u64,
    },
}

static KIND: OnceCell<Kind> = OnceCell::uninit();

static DEADLINES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(DISARMED) }; MAX_CPUS];

/// Chooses the kind of timer for all CPUs. On the boot CPU, after `clock::init`.
pub(super) fn choose() {
    let kind = if cpu::Features::read().tsc_deadline {
        Kind::TscDeadline
    } else {
        let Some(hz) = calibrate::apic_timer(clock::hz()) else {
            super::refuse_boot(format_args!("the local APIC's timer does not count"))
        };
        let counts_per_ns = (u128::from(hz) << SHIFT) / 1_000_000_000;
        Kind::OneShot {
            counts_per_ns: counts_per_ns as u64,
            hz,
        }
    };
    KIND.init_once(|| kind);
}

/// Sets this CPU's timer up, disarmed.
pub(super) fn init_this_cpu() {
    match kind() {
        Kind::TscDeadline => {
            apic::write(apic::LVT_TIMER, MODE_TSC_DEADLINE | vector::TIMER as u32);
            // The LVT is a memory write in xAPIC mode, the deadline an MSR: WRMSR does not wait
            // for the former (Intel SDM vol. 3, 11.5.4.1).
            // SAFETY: a fence.
            unsafe { core::arch::x86_64::_mm_mfence() }
        }
        Kind::OneShot { .. } => {
            apic::write(apic::DIVIDE, DIVIDE_BY_1);
            apic::write(apic::LVT_TIMER, MODE_ONE_SHOT | vector::TIMER as u32);
        }
    }
    set_deadline(DISARMED);
}

/// Arms this CPU's one-shot timer for the absolute `nanotime` `deadline_ns`, replacing what was
/// armed: `u64::MAX` disarms, the past fires at once. Call with preemption off.
pub fn set_deadline(deadline_ns: u64) {
    // Only this CPU's own interrupts read it.
    DEADLINES[cpu_index()].store(deadline_ns, Ordering::Relaxed);
    program(faults::deadline(deadline_ns));
}

/// In the timer interrupt: has the deadline been reached? If so it is used up; if not, the timer
/// is armed again.
pub(super) fn expired() -> bool {
    let deadline = &DEADLINES[cpu_index()];
    let deadline_ns = deadline.load(Ordering::Relaxed);
    if deadline_ns == DISARMED {
        return false;
    }
    let reached = clock::nanotime() >= deadline_ns;
    if reached {
        deadline.store(DISARMED, Ordering::Relaxed);
    } else {
        program(deadline_ns);
    }
    reached
}

fn program(deadline_ns: u64) {
    match kind() {
        Kind::TscDeadline => {
            let value = if deadline_ns == DISARMED {
                0
            } else {
                clock::ticks_at(deadline_ns)
            };
            // SAFETY: CPUID offers TSC-deadline; 0 disarms (Intel SDM vol. 3, 11.5.4.1).
            unsafe { Msr::new(IA32_TSC_DEADLINE).write(value) }
        }
        Kind::OneShot { counts_per_ns, .. } => {
            let count = if deadline_ns == DISARMED {
                0
            } else {
                let distance_ns = deadline_ns.saturating_sub(clock::nanotime());
                let wide = (u128::from(distance_ns) * u128::from(counts_per_ns)) >> SHIFT;
                // One more than rounded down: late by a count at most, never 0, which disarms.
                u32::try_from(wide + 1).unwrap_or(u32::MAX)
            };
            apic::write(apic::INITIAL_COUNT, count);
        }
    }
}

fn kind() -> Kind {
    *KIND.get().expect("the timer is chosen before it is used")
}

/// For the boot banner: the kind of timer, and its rate where it has its own.
pub(super) fn describe() -> (&'static str, Option<u64>) {
    match KIND.try_get() {
        Ok(Kind::TscDeadline) => ("TSC-deadline", None),
        Ok(Kind::OneShot { hz, .. }) => ("one-shot", Some(*hz)),
        Err(_) => ("not set up", None),
    }
}

//! Faults of the machine that are made on purpose (`arch::faults`): interrupts that are lost,
//! doubled or for nothing, NMIs, deadlines that are kept late, a CPU that does not start.
//!
//! Each stands where the real one would: at the sending of an interrupt, at the programming of the
//! timer. A machine without faults pays for a look at one flag there.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::MAX_CPUS;
use super::apic::{self, Ipi};
use super::clock;
use super::hold;
use super::smp;
use crate::arch::faults::Faults;
use crate::arch::switch::cpu_index;

/// How late a deadline is kept at the most.
const MAX_LATE_NS: u64 = 20_000_000;

/// There are faults.
static ON: AtomicBool = AtomicBool::new(false);
static LOST: AtomicU8 = AtomicU8::new(0);
static DOUBLED: AtomicU8 = AtomicU8::new(0);
static SPURIOUS: AtomicU8 = AtomicU8::new(0);
static NMI: AtomicU8 = AtomicU8::new(0);
static LATE: AtomicU8 = AtomicU8::new(0);
static ABSENT: AtomicU8 = AtomicU8::new(0);

/// State of each CPU's random numbers. An interrupt between load and store repeats a number.
static RANDOM: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Begins with the faults. On the boot CPU, before the others are started.
pub fn set_faults(faults: &Faults, seed: u64) {
    for (place, number) in [
        (&LOST, faults.lost),
        (&DOUBLED, faults.doubled),
        (&SPURIOUS, faults.spurious),
        (&NMI, faults.nmi),
        (&LATE, faults.late),
        (&ABSENT, faults.absent),
    ] {
        place.store(number, Ordering::Relaxed);
        if number != 0 {
            ON.store(true, Ordering::Relaxed);
        }
    }
    for (cpu, random) in (1..).zip(&RANDOM) {
        random.store(mix(seed, cpu), Ordering::Relaxed);
    }
}

#[inline(always)]
fn are_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// A step of splitmix64 (Steele, Lea, Flood 2014).
fn mix(state: u64, steps: u64) -> u64 {
    let mut z = state.wrapping_add(steps.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A random number below `n`.
fn random(n: u64) -> u64 {
    let state = &RANDOM[cpu_index()];
    let next = mix(state.load(Ordering::Relaxed), 1);
    state.store(next, Ordering::Relaxed);
    ((u128::from(next) * u128::from(n)) >> 64) as u64
}

fn strikes(percent: &AtomicU8) -> bool {
    let percent = percent.load(Ordering::Relaxed);
    percent != 0 && random(100) < u64::from(percent)
}

/// Sends an IPI: once, if the machine is sound.
pub(super) fn send(cpu: usize, ipi: Ipi) {
    let apic_id = smp::apic_id(cpu);
    if are_on() {
        if strikes(&LOST) {
            return;
        }
        if strikes(&DOUBLED) {
            apic::send(apic_id, ipi.command());
        }
        disturb();
    }
    apic::send(apic_id, ipi.command());
}

/// A tick: somebody may be disturbed.
pub(super) fn on_tick() {
    if are_on() {
        disturb();
    }
}

/// Sends what nobody asked for to some CPU that runs, this one included.
#[cold]
fn disturb() {
    if strikes(&SPURIOUS) {
        apic::send(smp::apic_id(anyone()), Ipi::Wake.command());
    }
    if strikes(&NMI) {
        // Counted as one of ours, or it would be taken for the hardware's cry for help.
        hold::send_nmi(anyone());
    }
}

fn anyone() -> usize {
    let online = smp::online().count().max(1);
    let index = random(online as u64) as usize;
    smp::online().nth(index).unwrap_or(0)
}

/// What the timer is programmed to for a deadline: that, if the machine is sound.
pub(super) fn deadline(deadline_ns: u64) -> u64 {
    if are_on() && deadline_ns != u64::MAX && strikes(&LATE) {
        let from = deadline_ns.max(clock::nanotime());
        return from.saturating_add(random(MAX_LATE_NS));
    }
    deadline_ns
}

/// Whether this CPU is not to start.
pub(super) fn is_absent(cpu: usize) -> bool {
    let absent = usize::from(ABSENT.load(Ordering::Relaxed));
    absent != 0 && absent == cpu
}

//! Stopping other CPUs where they are for a moment: the machine under `arch::hold`.
//!
//! The NMI is shared: with `freeze`, and with the hardware, whose NMIs are errors to report. A CPU
//! counts how many of ours it was sent and how many it took; one beyond that is the hardware's.
//! Two of ours can become one (the second was sent when the first had not been taken), so after a
//! holder's patience was over, as many of the hardware's may pass for ours: a report too few, never
//! one too many.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::MAX_CPUS;
use super::apic;
use super::clock;
use super::cpu;
use super::freeze;
use super::irq;
use super::smp;
use super::traps;
use crate::arch::hold::{Answer, Place, Slot, Turn};
use crate::arch::switch::{cpu_index, in_switch, preempt_off, preempt_on};
use crate::arch::trap_frame::TrapFrame;

/// For how long a CPU waits for its turn: that of some holders, each as patient as they come.
const TURN_NS: u64 = 2_000_000_000;

/// For how long at most nobody is held after a hold. Up to this the rest is as long as the hold
/// was, or CPUs that ask without end would leave nobody the time for an instruction.
const MAX_REST_NS: u64 = 10_000_000;

/// After how long a CPU that does not stand is sent another NMI.
const RESEND_NS: u64 = 5_000_000;

/// When the next hold may begin.
static FREE_FROM_NS: AtomicU64 = AtomicU64::new(0);

static TURN: Turn = Turn::new();
static SLOTS: [Slot<TrapFrame>; MAX_CPUS] = [const { Slot::new() }; MAX_CPUS];

/// Our NMIs on their way to each CPU: sent and not taken.
static ON_THE_WAY: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// The CPUs that stand while [`hold`] runs its function.
pub struct Held {
    cpus: u64,
    /// Of the CPU that holds.
    of_this_cpu: PhantomData<*mut ()>,
}

impl Held {
    /// Where `cpu` was stopped, if it stands.
    pub fn frame(&self, cpu: usize) -> Option<&TrapFrame> {
        if cpu >= MAX_CPUS || self.cpus & 1 << cpu == 0 {
            return None;
        }
        // SAFETY: the CPU stands in its NMI handler with the frame on its stack until `hold`, which
        // lends this `Held`, lets it go.
        SLOTS[cpu].held().map(|frame| unsafe { &*frame })
    }
}

/// Stops the CPUs whose bits are set in `cpus`, without this one, at such a place, runs `f`, and
/// lets them go. Those that do not answer within `limit_ns` are not in [`Held`]; if others hold
/// CPUs for seconds, none is. Interrupts are off in `f`, which must not take a lock, allocate,
/// print or park, and should be short: it has the machine to itself.
pub fn hold<R>(cpus: u64, place: Place, limit_ns: u64, f: impl FnOnce(&Held) -> R) -> R {
    let (flags, has_turn) = take_turn();
    let start = clock::nanotime();
    let end = start.saturating_add(limit_ns);
    let mut held = Held {
        cpus: 0,
        of_this_cpu: PhantomData,
    };
    let asked = if has_turn { ask(cpus, place) } else { 0 };
    loop {
        let left_ns = end.saturating_sub(clock::nanotime());
        let all_stand = clock::spin_until(left_ns.min(RESEND_NS), || {
            held.cpus = standing(asked);
            held.cpus == asked
        });
        if all_stand || left_ns <= RESEND_NS {
            break;
        }
        bits(asked & !held.cpus).for_each(send_nmi);
    }
    let result = f(&held);
    bits(asked).for_each(|cpu| SLOTS[cpu].let_go());
    if has_turn {
        let now = clock::nanotime();
        let rest_ns = (now - start).min(MAX_REST_NS);
        FREE_FROM_NS.store(now + rest_ns, Ordering::Relaxed);
        TURN.give();
    }
    irq::restore(flags);
    preempt_on();
    result
}

/// Turns preemption and interrupts off and takes the turn, if it comes in time. Interrupts are as
/// they were while it waits.
fn take_turn() -> (irq::Flags, bool) {
    let end = clock::nanotime() + TURN_NS;
    loop {
        // Interrupts that are off do not keep a safe point from switching.
        preempt_off();
        let flags = irq::save();
        let now = clock::nanotime();
        if now >= FREE_FROM_NS.load(Ordering::Relaxed) && TURN.try_take() {
            return (flags, true);
        }
        if now >= end {
            return (flags, false);
        }
        irq::restore(flags);
        preempt_on();
        cpu::pause();
    }
}

/// Asks those of `cpus` that run, without this one. Which.
fn ask(cpus: u64, place: Place) -> u64 {
    let me = cpu_index();
    let mut asked = 0;
    for cpu in smp::online().filter(|&cpu| cpu != me && cpus & 1 << cpu != 0) {
        SLOTS[cpu].ask(place);
        send_nmi(cpu);
        asked |= 1 << cpu;
    }
    asked
}

fn standing(asked: u64) -> u64 {
    bits(asked)
        .filter(|&cpu| SLOTS[cpu].held().is_some())
        .fold(0, |set, cpu| set | 1 << cpu)
}

fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..MAX_CPUS).filter(move |cpu| set & 1 << cpu != 0)
}

/// Sends an NMI of ours.
pub(super) fn send_nmi(cpu: usize) {
    ON_THE_WAY[cpu].fetch_add(1, Ordering::Release);
    apic::send(smp::apic_id(cpu), apic::nmi_command());
}

/// In the NMI handler: does what is asked of this CPU. False: the NMI is not one of ours.
pub(super) fn on_nmi(frame: &mut TrapFrame) -> bool {
    let me = cpu_index();
    let take_one = |count: u32| count.checked_sub(1);
    let ours = ON_THE_WAY[me]
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take_one)
        .is_ok();
    cpu::leave_halt(&mut frame.rip);
    if freeze::is_asked() {
        freeze::stand_for_good(frame)
    }
    if freeze::is_mine() {
        // A holder that was not stopped yet asks the one that stops it: it would never let go.
        return ours;
    }
    // Asked all the same: it will stand when it is settled, and the count may have run out, since
    // two NMIs of a holder that sends again can have become one.
    answer(frame) || ours || SLOTS[me].is_asked()
}

/// At the beginning and the end of a trap other than an NMI, with the frame that it returns to:
/// answers a holder that waits for the CPU to be settled.
pub(super) fn on_trap_edge(frame: &mut TrapFrame) {
    if SLOTS[cpu_index()].is_asked() && !freeze::is_mine() {
        answer(frame);
    }
}

fn is_settled(frame: &TrapFrame) -> bool {
    !traps::is_inside(frame) && !in_switch(frame.rip as usize)
}

/// Stands until the holder lets go, if one wants this CPU here. False: none does.
fn answer(frame: &mut TrapFrame) -> bool {
    let is_settled = is_settled(frame);
    match SLOTS[cpu_index()].answer(frame, is_settled, freeze::is_asked, cpu::pause) {
        Answer::NotAsked => false,
        Answer::LetGo => true,
        Answer::Frozen => freeze::stand_for_good(frame),
    }
}

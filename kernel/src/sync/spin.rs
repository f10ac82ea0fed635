//! Spinning for a moment before parking (Go: `sync_runtime_canSpin`, `sync_runtime_doSpin`).
//!
//! A holder that runs on another CPU is often done before this goroutine would be parked. Spinning
//! pays only if somebody else can run meanwhile and nothing waits for this P: so several CPUs, at
//! least one other P that runs, an empty run queue here, and an end after a few microseconds.

use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on};
use crate::sched::SCHED;
use crate::sched::m::getm;

/// How often a goroutine spins before it parks (Go: `active_spin`).
const ROUNDS: u32 = 4;
/// `PAUSE`s of one round (Go: `active_spin_cnt`).
const PAUSES: u32 = 30;

/// Spins one round.
pub(super) fn spin() {
    for _ in 0..PAUSES {
        arch::pause();
    }
}

/// Whether to spin a round more, the `round`th since the goroutine last waited.
pub(super) fn can_spin(round: u32) -> bool {
    if round >= ROUNDS || SCHED.mcount() == 1 {
        return false;
    }
    let idle = SCHED.npidle.load(Ordering::Relaxed) + SCHED.spinning.count();
    if SCHED.gomaxprocs.load(Ordering::Relaxed) <= idle + 1 {
        return false;
    }
    preempt_off();
    let p = getm().p.load(Ordering::Relaxed);
    let nobody_waits = p.is_some_and(|p| p.runq.is_empty());
    preempt_on();
    nobody_waits
}

//! Stopping all other CPUs for good, so that a dying kernel can read their state in peace.
//!
//! An NMI reaches a CPU that has interrupts off; each victim leaves the address of its trap
//! frame in [`FROZEN`] and halts for ever on its NMI stack, so the frame stays valid. The first
//! CPU that asks wins; a second one that dies at the same time is frozen like the rest. Refused:
//! thawing (nothing that froze CPUs goes on).

use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::MAX_CPUS;
use super::apic;
use super::clock;
use super::cpu;
use super::idt;
use super::smp;
use crate::arch::switch::cpu_index;
use crate::arch::trap_frame::TrapFrame;

/// Nobody has asked.
const NOBODY: usize = usize::MAX;

/// How long the victims have: an emulated CPU may wait for its host thread.
const WAIT_NS: u64 = 500_000_000;

/// The CPU that froze the others.
static FREEZER: AtomicUsize = AtomicUsize::new(NOBODY);

/// Where each frozen CPU's frame is.
static FROZEN: [AtomicPtr<TrapFrame>; MAX_CPUS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];

/// Sends an NMI to every other CPU that runs and waits, bounded, until each has stored its frame
/// and halted. Returns how many did. For ever: frozen CPUs never run again.
pub fn freeze_others() -> usize {
    let me = cpu_index();
    // AcqRel: the winner's earlier writes are visible to the victims' handlers.
    if FREEZER
        .compare_exchange(NOBODY, me, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
        && FREEZER.load(Ordering::Acquire) != me
    {
        // Another CPU is freezing everyone, this one included: its NMI is on the way.
        clock::spin_until(WAIT_NS, || false);
        return 0;
    }
    let mut asked = 0;
    for cpu in smp::online().filter(|&cpu| cpu != me) {
        apic::send(smp::apic_id(cpu), apic::nmi_command());
        asked += 1;
    }
    clock::spin_until(WAIT_NS, || answered() == asked);
    answered()
}

fn answered() -> usize {
    FROZEN
        .iter()
        .filter(|frame| !frame.load(Ordering::Acquire).is_null())
        .count()
}

/// The frame in which `cpu` was stopped by [`freeze_others`].
pub fn frozen_frame(cpu: usize) -> Option<&'static TrapFrame> {
    // SAFETY: the victim stored the address of a frame on its NMI stack and never leaves it.
    unsafe { FROZEN.get(cpu)?.load(Ordering::Acquire).as_ref() }
}

/// In the NMI handler: if this NMI was a request to freeze, never returns.
pub(super) fn stop_if_asked(frame: &mut TrapFrame) {
    debug_assert!(frame.vector == idt::NMI, "only an NMI freezes");
    let me = cpu_index();
    let freezer = FREEZER.load(Ordering::Acquire);
    if freezer != NOBODY && freezer != me {
        // Release: the whole frame is written before its address is seen.
        FROZEN[me].store(frame, Ordering::Release);
        cpu::halt_forever()
    }
}

//! Stopping all other CPUs for good, so that a dying kernel can read their state in peace.
//!
//! An NMI reaches a CPU that has interrupts off; each victim leaves the address of its trap
//! frame in [`FROZEN`] and halts for ever on its NMI stack, so the frame stays valid. The first
//! CPU that asks wins; a second one that dies at the same time is frozen like the rest. Refused:
//! thawing (nothing that froze CPUs goes on; `hold` is the stop that ends). Freezing wins over
//! holding: a CPU that stands for a holder is frozen where it stands.

use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::MAX_CPUS;
use super::clock;
use super::cpu;
use super::hold;
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
        hold::send_nmi(cpu);
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

/// Whether this CPU is to be frozen by another one.
pub(super) fn is_asked() -> bool {
    let freezer = FREEZER.load(Ordering::Acquire);
    freezer != NOBODY && freezer != cpu_index()
}

/// Whether this CPU freezes the others: nobody holds it any more.
pub(super) fn is_mine() -> bool {
    FREEZER.load(Ordering::Acquire) == cpu_index()
}

/// In the NMI handler or at an edge of a trap: leaves the frame and never returns.
pub(super) fn stand_for_good(frame: *mut TrapFrame) -> ! {
    // Release: the whole frame is written before its address is seen. One that stands at an edge of
    // a trap has left its frame already when the NMI comes upon it.
    let first = core::ptr::null_mut();
    let _ =
        FROZEN[cpu_index()].compare_exchange(first, frame, Ordering::Release, Ordering::Relaxed);
    cpu::halt_forever()
}

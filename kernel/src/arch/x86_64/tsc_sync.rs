//! Do all CPUs read the same time? Asked at the start of each CPU, answered in `describe`.
//!
//! Boot CPU and new CPU take turns: the boot CPU reads its TSC, lets the new CPU read, and reads
//! again. A new CPU's value outside the two is proof that its TSC is behind or ahead, by at least
//! that much; the worst is kept. Nothing is corrected: TSC_ADJUST is not everywhere, and a
//! correction that is itself measured makes time step. All waits are bounded: a CPU that does not
//! answer in time is just not judged.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::clock;
use super::cpu;

/// Turns per CPU.
const TURNS: usize = 3;
const TURN_TIMEOUT_NS: u64 = 200_000_000;

/// Odd: the new CPU is to move; even: the boot CPU.
static STEP: AtomicUsize = AtomicUsize::new(0);
static ANSWER_TICKS: AtomicU64 = AtomicU64::new(0);
static WORST_SKEW_TICKS: AtomicU64 = AtomicU64::new(0);

/// Before each start.
pub(super) fn reset() {
    STEP.store(0, Ordering::Release);
}

/// On the boot CPU, while the other is in [`answer_boot_cpu`].
pub(super) fn compare_with_starting_cpu() {
    for turn in 0..TURNS {
        let before = cpu::ordered_ticks();
        STEP.store(2 * turn + 1, Ordering::Release);
        let answered = || STEP.load(Ordering::Acquire) == 2 * turn + 2;
        if !clock::spin_until(TURN_TIMEOUT_NS, answered) {
            return;
        }
        let after = cpu::ordered_ticks();
        let theirs = ANSWER_TICKS.load(Ordering::Relaxed);
        let behind = before.saturating_sub(theirs);
        let ahead = theirs.saturating_sub(after);
        WORST_SKEW_TICKS.fetch_max(behind.max(ahead), Ordering::Relaxed);
    }
}

/// On the starting CPU.
pub(super) fn answer_boot_cpu() {
    for turn in 0..TURNS {
        let asked = || STEP.load(Ordering::Acquire) == 2 * turn + 1;
        if !clock::spin_until(TURN_TIMEOUT_NS, asked) {
            return;
        }
        ANSWER_TICKS.store(cpu::ordered_ticks(), Ordering::Relaxed);
        STEP.store(2 * turn + 2, Ordering::Release);
    }
}

/// By how many ticks some CPU's TSC is known to be off; 0 if none is.
pub(super) fn worst_skew_ticks() -> u64 {
    WORST_SKEW_TICKS.load(Ordering::Relaxed)
}

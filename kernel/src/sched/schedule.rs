//! The loop of every M: find a goroutine, run it.

use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch;
use crate::sched::g::{G, Status};
use crate::sched::m::{M, getm};
use crate::sched::{SCHED, fatal, find, idle, lockedm, preempt};

/// On g0: one round of the scheduler. Never returns; the goroutine that it runs comes back by
/// `mcall`, at the top of g0's stack.
pub fn schedule() -> ! {
    let m = getm();
    assert_may_switch(m);
    if let Some(gp) = lockedm::stoplockedm(m) {
        execute(m, gp, false);
    }
    loop {
        let (gp, inherit_time) = find::find_runnable();
        if m.spinning.load(Ordering::Relaxed) {
            idle::resetspinning(m);
        }
        if lockedm::runs_elsewhere(m, gp) {
            continue;
        }
        execute(m, gp, inherit_time);
    }
}

/// What must hold before every switch. A goroutine that parks with a lock held, or with preemption
/// off, would take the right to the CPU to sleep with it.
pub(super) fn assert_may_switch(m: &M) {
    if m.head.locks.load(Ordering::Relaxed) != 0 {
        crate::println!(
            "runtime: m{} locks={} held ranks={:#b}",
            m.id(),
            m.head.locks.load(Ordering::Relaxed),
            m.head.held_ranks.load(Ordering::Relaxed)
        );
        fatal::throw("schedule: holding locks");
    }
}

/// On g0: runs a goroutine on this M; with `inherit_time` in the rest of the slice of the one
/// before, else in a new one.
pub fn execute(m: &'static M, gp: &'static G, inherit_time: bool) -> ! {
    let p =
        m.p.load(Ordering::Relaxed)
            .expect("an M that executes holds a P");
    m.head.curg.store(gp.as_head(), Ordering::Relaxed);
    gp.m.store(Some(m), Ordering::Relaxed);
    gp.casgstatus(Status::Runnable, Status::Running);
    gp.clear_preempt();
    // Whoever put something into the inbox asked the goroutine of that moment to yield; it may have
    // been gone already. The fences of inbox and status word order the two looks.
    if m.inbox_len.load(Ordering::SeqCst) != 0 {
        gp.request_preempt();
    }
    if SCHED.chaos.load(Ordering::Relaxed) != 0 {
        preempt::chaos_poison(gp);
    }
    p.stats.switches.add(1);
    if !inherit_time {
        p.schedtick.add(1);
        // Only noted: the timer that is armed already fires no later than this slice ends, and the
        // tick looks then. So a switch neither writes to the APIC nor converts units.
        let end = arch::cputicks().wrapping_add(SCHED.slice_ticks.load(Ordering::Relaxed));
        p.slice_end.store(end, Ordering::Relaxed);
    }
    if !m.is_armed() {
        preempt::arm_slice(m, p);
    }
    // SAFETY: on g0, and the G is ours: running, on this M.
    unsafe { switch::gogo(gp.gobuf()) }
}

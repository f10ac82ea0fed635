//! The loop of every M: find a goroutine, run it.

use core::sync::atomic::Ordering;

use crate::arch::switch;
use crate::sched::find::Found;
use crate::sched::g::{G, Status};
use crate::sched::m::{M, getm};
use crate::sched::p::P;
use crate::sched::{SCHED, disable, fatal, find, idle, lockedm, preempt, trace};

/// On g0: one round of the scheduler. Never returns; the goroutine that it runs comes back by
/// `mcall`, at the top of g0's stack.
#[inline(always)]
pub fn schedule() -> ! {
    let m = getm();
    assert_may_switch(m);
    if let Some((gp, inherit_time)) = next_at_once(m) {
        execute(m, gp, inherit_time, true);
    }
    find_and_execute()
}

/// What most rounds come to: nothing has to be seen to, and the first of the own queue runs next.
/// All sources that `find` asks before that queue are empty, or it is not their turn, as far as one
/// look tells, which is all that `find` knows of them; of the timers the tick tells.
#[inline(always)]
fn next_at_once(m: &'static M) -> Option<Found> {
    let p = m.p.load(Ordering::Relaxed)?;
    if !has_nothing_to_see_to(m, p) || find::is_turn_of_global(p) {
        return None;
    }
    let found = p.runq.get()?;
    (!lockedm::runs_elsewhere(m, found.0)).then_some(found)
}

/// Whether nothing comes before the run queues.
#[inline(always)]
pub(super) fn has_nothing_to_see_to(m: &M, p: &P) -> bool {
    SCHED.agenda.is_empty()
        && !p.asked.load(Ordering::Relaxed)
        && m.inbox_len.load(Ordering::Relaxed) == 0
        && m.lockedg.load(Ordering::Relaxed).is_none()
        && !m.spinning.load(Ordering::Relaxed)
}

/// The whole round.
#[inline(never)]
fn find_and_execute() -> ! {
    let m = getm();
    while let Some(gp) = lockedm::stoplockedm(m) {
        if disable::may_run(gp) {
            execute(m, gp, false, false);
        }
    }
    loop {
        let (gp, inherit_time) = find::find_runnable();
        if m.spinning.load(Ordering::Relaxed) {
            idle::resetspinning(m);
        }
        if lockedm::runs_elsewhere(m, gp) || !disable::may_run(gp) {
            continue;
        }
        execute(m, gp, inherit_time, false);
    }
}

/// What must hold before every switch. A goroutine that parks with a lock held, or with preemption
/// off, would take the right to the CPU to sleep with it.
#[inline(always)]
pub(super) fn assert_may_switch(m: &M) {
    if m.head.locks.load(Ordering::Relaxed) != 0 {
        holds_locks(m);
    }
}

#[cold]
fn holds_locks(m: &M) -> ! {
    crate::println!(
        "runtime: m{} locks={} held ranks={:#b}",
        m.id(),
        m.head.locks.load(Ordering::Relaxed),
        m.head.held_ranks.load(Ordering::Relaxed)
    );
    fatal::throw("schedule: holding locks");
}

/// On g0: runs a goroutine on this M; with `inherit_time` in the rest of the slice of the one
/// before, else in a new one. `usual`: the agenda was empty a moment ago.
#[inline(always)] // a function of its own has a safe point, of no use on g0
pub fn execute(m: &'static M, gp: &'static G, inherit_time: bool, usual: bool) -> ! {
    let p =
        m.p.load(Ordering::Relaxed)
            .expect("an M that executes holds a P");
    m.head.curg.store(gp.as_head(), Ordering::Relaxed);
    gp.m.store(Some(m), Ordering::Relaxed);
    gp.clear_preempt();
    gp.casgstatus(Status::Runnable, Status::Running);
    // Whoever put something into the inbox asked the goroutine of that moment to yield; it may have
    // been gone already, or this one's request was cleared above. The fences of inbox and status
    // word, which stands between the two for that, order the looks.
    if m.inbox_len.load(Ordering::SeqCst) != 0 {
        gp.request_preempt();
    }
    if !usual && SCHED.chaos.load(Ordering::Relaxed) != 0 {
        preempt::chaos_poison(gp);
    }
    trace::switch(m, gp);
    p.stats.switches.add(1);
    if !inherit_time {
        p.schedtick.add(1);
        // Only noted: the timer that is armed already fires no later than this slice ends, and the
        // tick looks then. So a switch neither writes to the APIC nor converts units.
        preempt::begin_slice(p);
    }
    if !m.is_armed() {
        preempt::arm_slice(m, p);
    }
    // SAFETY: on g0, and the G is ours: running, on this M.
    unsafe { switch::gogo(gp.gobuf()) }
}

//! Goroutines that only one M may run: `lock_os_thread` and `pin`.
//!
//! - **Locked** (Go: `LockOSThread`): the goroutine runs on this M only, and the M runs nothing
//!   else. While it waits, its M gives the P away and sleeps.
//! - **Pinned**: only the first half. The M runs others as well, so nothing has to sleep. A CPU
//!   whose M waits for its locked goroutine runs pinned ones in between.
//!
//! Either kind stands in the ordinary queues; the M that finds it and may not run it passes it on
//! ([`runs_elsewhere`]): into the *inbox* of its M, with this M's own P if that one sleeps.
//!
//! Here Go's rule meets fixed Ms. Go starts a new thread when all are locked; here the last M that
//! is not asleep for a locked goroutine never goes to sleep for its own: it is a *guest house*,
//! runs others meanwhile, and takes its own from the inbox at the next switch. So a locked
//! goroutine that waits can never stop the machine, not even on one CPU. Where every M has a locked
//! goroutine, one that yields lets the others that wait run before it, as guests likewise.

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on};
use crate::sched::agenda::Item;
use crate::sched::g::{G, Status, getg};
use crate::sched::m::{ALLM, M, getm};
use crate::sched::note::Wake;
use crate::sched::timers::NEVER;
use crate::sched::{Inner, SCHED, fatal, idle, park, preempt, watchdog};

/// Locks the running goroutine to its M (Go: `LockOSThread`). Nests.
pub fn lock_os_thread() {
    preempt_off();
    let (gp, m) = (getg(), getm());
    gp.locked_count.fetch_add(1, Ordering::Relaxed);
    gp.lockedm.store(Some(m), Ordering::Relaxed);
    m.lockedg.store(Some(gp), Ordering::Relaxed);
    preempt_on();
}

/// Undoes one [`lock_os_thread`]; without one, nothing (Go: `UnlockOSThread`).
pub fn unlock_os_thread() {
    let gp = getg();
    let count = gp.locked_count.load(Ordering::Relaxed);
    if count == 0 {
        return;
    }
    gp.locked_count.store(count - 1, Ordering::Relaxed);
    if count == 1 {
        unlock(gp);
    }
}

/// On its M: ends the bond of a goroutine to it. What stood behind it in the inbox may run now.
pub fn unlock(gp: &'static G) {
    preempt_off();
    gp.locked_count.store(0, Ordering::Relaxed);
    if gp.lockedm.swap(None, Ordering::Relaxed).is_some() {
        // In a guest house another goroutine may have locked itself to the same M since.
        let m = getm();
        if m.lockedg
            .load(Ordering::Relaxed)
            .is_some_and(|g| ptr::eq(g, gp))
        {
            m.lockedg.store(None, Ordering::Relaxed);
        }
    }
    preempt_on();
}

/// What binds the running goroutine to an M: its pin, and how often it has locked the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    pinned: i32,
    locked_count: u32,
}

/// What binds the running goroutine.
#[inline]
pub fn binding() -> Binding {
    let gp = getg();
    Binding {
        pinned: gp.pinned.load(Ordering::Relaxed),
        locked_count: gp.locked_count.load(Ordering::Relaxed),
    }
}

/// On g0, with two goroutines that are this M's, neither running: what bound `from`, which ran here
/// last, to this M binds `to` from now on.
#[inline(always)]
pub fn hand_binding(from: &'static G, to: &'static G) {
    let pinned = from.pinned.load(Ordering::Relaxed);
    if pinned >= 0 {
        from.pinned.store(-1, Ordering::Relaxed);
        to.pinned.store(pinned, Ordering::Relaxed);
    }
    if let Some(m) = from.lockedm.load(Ordering::Relaxed) {
        hand_lock(m, from, to);
    }
}

#[cold]
fn hand_lock(m: &'static M, from: &'static G, to: &'static G) {
    from.lockedm.store(None, Ordering::Relaxed);
    to.lockedm.store(Some(m), Ordering::Relaxed);
    to.locked_count.store(
        from.locked_count.swap(0, Ordering::Relaxed),
        Ordering::Relaxed,
    );
    // As in `unlock`, the M may be another one's by now.
    if m.lockedg
        .load(Ordering::Relaxed)
        .is_some_and(|g| ptr::eq(g, from))
    {
        m.lockedg.store(Some(to), Ordering::Relaxed);
    }
}

/// Binds the running goroutine to a CPU and moves there. Returns what it was bound to before.
///
/// # Panics
/// If there is no such CPU, or the goroutine is locked to the M of another one.
pub fn pin(cpu: usize) -> i32 {
    let gp = getg();
    assert!(
        SCHED.has_m(cpu),
        "runtime: pin to CPU {cpu}, which does not run"
    );
    if let Some(m) = gp.lockedm.load(Ordering::Relaxed) {
        assert!(
            m.id() == cpu,
            "runtime: pin of a goroutine that is locked to another thread"
        );
    }
    let before = gp.pinned.swap(cpu as i32, Ordering::Relaxed);
    if arch::switch::cpu_index() != cpu {
        // Whoever finds it passes it on.
        park::gosched();
    }
    before
}

/// Undoes [`pin`]: back to where an outer one keeps the goroutine, if there is one.
pub fn unpin(before: i32) {
    getg().pinned.store(before, Ordering::Relaxed);
    if usize::try_from(before).is_ok_and(|cpu| cpu != arch::switch::cpu_index()) {
        park::gosched();
    }
}

/// The one M that may run this goroutine, if there is just one.
#[inline(always)]
pub(super) fn home(gp: &'static G) -> Option<&'static M> {
    if let Some(m) = gp.lockedm.load(Ordering::Relaxed) {
        return Some(m);
    }
    match gp.pinned.load(Ordering::Relaxed) {
        ..0 => None,
        cpu => Some(&ALLM[cpu as usize]),
    }
}

fn inbox_push(inner: &mut Inner, m: &'static M, gp: &'static G) {
    inner.inbox[m.id()].push_back(gp);
    m.inbox_len.fetch_add(1, Ordering::SeqCst);
}

/// Takes what only this M may run: locked goroutines first. A pinned one runs here even while the M
/// waits for its locked one, since it can run nowhere else and the locked one may wait for it.
pub fn inbox_pop(inner: &mut Inner, m: &'static M) -> Option<&'static G> {
    let inbox = &mut inner.inbox[m.id()];
    let gp = inbox
        .remove_first(|gp| gp.lockedm.load(Ordering::Relaxed).is_some())
        .or_else(|| inbox.pop_front())?;
    m.inbox_len.fetch_sub(1, Ordering::Relaxed);
    Some(gp)
}

/// On g0: whether the goroutine that this M found belongs to another one; if so it is on its way
/// there, and this M, which may have lost its P to the other, holds one again (Go: `startlockedm`).
#[inline(always)]
pub fn runs_elsewhere(m: &'static M, gp: &'static G) -> bool {
    match home(gp) {
        None => false,
        Some(home) => !ptr::eq(home, m) && send_home(m, home, gp),
    }
}

/// Puts the goroutine into the inbox of its M, which is another, and gets that M to look. Always
/// true, for its caller to return.
#[cold]
fn send_home(m: &'static M, home: &'static M, gp: &'static G) -> bool {
    let mut inner = SCHED.lock.lock();
    inbox_push(&mut inner, home, gp);
    if inner.mlocked.remove(home.id()) || inner.midle.remove(home.id()) {
        // It sleeps: it gets an idle P, or this M's, and this M waits for one.
        let idle_p = inner.pidleget(arch::nanotime());
        drop(inner);
        match idle_p {
            Some(p) => idle::hand_over(home, p, false),
            None => {
                let p = idle::releasep(m);
                idle::hand_over(home, p, false);
                idle::stopm(m);
            }
        }
    } else {
        drop(inner);
        // It is awake and looks into its inbox at its next switch, which is now.
        preempt::preemptone(home);
        home.poke();
    }
    true
}

/// On g0: an M with a locked goroutine that is not running waits for it (Go: `stoplockedm`). None:
/// the M is free to run anything.
pub fn stoplockedm(m: &'static M) -> Option<&'static G> {
    let locked = m.lockedg.load(Ordering::Relaxed)?;
    let mut inner = SCHED.lock.lock();
    if let Some(gp) = inbox_pop(&mut inner, m) {
        return Some(gp);
    }
    if inner.mlocked.len() + 1 == SCHED.mcount() {
        return None; // the guest house
    }
    // It only yielded, and nobody is free to take the P.
    if inner.midle.is_empty() && locked.status() == Status::Runnable {
        if SCHED
            .allm()
            .all(|m| m.lockedg.load(Ordering::Relaxed).is_some())
        {
            return None; // nobody else would ever run the others: this one takes its turn
        }
        let mine = inner.runq.remove_first(|gp| ptr::eq(gp, locked));
        inner.publish_runqsize();
        if mine.is_some() {
            return mine;
        }
    }
    // All in one critical section: an M that counts as asleep must not hold a P with work.
    inner.mlocked.insert(m.id());
    let p = idle::releasep(m);
    let to = inner.handoff(p);
    if to.is_none() {
        fatal::checkdead(&inner);
    }
    drop(inner);
    if let Some(to) = to {
        idle::hand_over(to, p, false);
    }
    // Input that comes to this CPU is for whoever is free; each is told once.
    let told = Cell::new(None);
    let untold_input =
        || SCHED.agenda.has(Item::Input) && told.get() != Some(SCHED.inputs.load(Ordering::SeqCst));
    loop {
        // Where all Ms wait for locked goroutines, the one that called another is its only witness.
        let wake = m.sleep(watchdog::keep_watch(m, NEVER), || {
            untold_input() || watchdog::is_needed(m)
        });
        watchdog::stop_watching(m);
        if wake == Wake::Signalled {
            break;
        }
        if untold_input() {
            told.set(Some(SCHED.inputs.load(Ordering::SeqCst)));
            idle::wakep();
        }
    }
    m.park.clear();
    let p = m
        .nextp
        .swap(None, Ordering::Acquire)
        .expect("a woken M is given a P");
    idle::acquirep(m, p);
    watchdog::woken(m);
    let gp = inbox_pop(&mut SCHED.lock.lock(), m);
    Some(gp.expect("a locked M is woken for its goroutine"))
}

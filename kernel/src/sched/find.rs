//! Looking for a goroutine to run (Go: `findRunnable`), as a list of sources in their order.
//!
//! 1. the world is to stop → stop with it
//! 2. own timers, input from interrupts
//!    and a goroutine that is urgent (the shell's), when it has yielded
//! 3. every 61st slice: one from the global queue, or two goroutines that ready each other would
//!    keep it waiting for ever; but what a timer has just readied goes before it, or the timer
//!    would have preempted a goroutine only for another one's slice: once, and if timers are due
//!    again then, the one from the global queue gets a short slice
//! 4. goroutines that only this M may run
//! 5. own `runnext`, own ring
//! 6. a share of the global queue
//! 7. other Ps, four passes in random order; timers and `runnext` in the last one only
//! 8. under the lock, once more the global queue; then the P goes to the idle list
//! 9. an M that was spinning looks at everything once more, without a P
//! 10. sleep

use core::sync::atomic::Ordering;

use crate::arch;
use crate::sched::agenda::Item;
use crate::sched::g::G;
use crate::sched::m::{M, getm};
use crate::sched::model::{self, Model};
use crate::sched::p::{ALLP, P, PStatus};
use crate::sched::{SCHED, idle, lockedm, park, preempt, stop, sysmon, trace};

/// Passes over all Ps before an M gives up (Go: `stealTries`).
const STEAL_PASSES: usize = 4;

/// A running P is given this long to run its `runnext` before it is taken: whoever readied it is
/// usually about to park, and a pair that plays ping-pong must not be torn between CPUs.
const RUNNEXT_GRACE_NS: u64 = 3_000;

/// A goroutine to run, and whether it goes on in the slice of the one before.
pub type Found = (&'static G, bool);

/// On g0: finds a goroutine; sleeps until there is one.
#[inline(always)] // a function of its own has a safe point, of no use on g0
pub fn find_runnable() -> Found {
    let m = getm();
    loop {
        let usual = SCHED.agenda.is_empty();
        if !usual {
            if SCHED.agenda.has(Item::GcWaiting) {
                stop::gcstopm(m);
                continue;
            }
            sysmon::poll();
        }
        let p =
            m.p.load(Ordering::Relaxed)
                .expect("an M that schedules holds a P");
        p.asked.store(false, Ordering::Relaxed);
        let after_short = p.short_slice.load(Ordering::Relaxed);
        p.short_slice.store(false, Ordering::Relaxed);
        let timers_ran = p.timers.run_due() > 0;
        // Not a chain of `or_else`, which is a function with a safe point for each link.
        if !usual && let Some(found) = see_to_agenda() {
            return found;
        }
        if let Some(found) = from_global_1_in_61(p, timers_ran) {
            return found;
        }
        if let Some(found) = from_inbox(m) {
            return found;
        }
        if let Some((gp, inherit_time)) = p.runq.get() {
            // Whom a timer has readied gets a new slice if hardly anything is left: else the tick
            // would ask it at once, and it would go behind all others for what another one has run.
            // No others: a pair that readies each other would never come to an end.
            let timed = timers_ran || after_short;
            return (
                gp,
                inherit_time && !(timed && preempt::slice_is_nearly_over(p)),
            );
        }
        if let Some(found) = from_global(p) {
            return found;
        }
        if let Some(found) = from_others(m, p) {
            return found;
        }
        if let Some(found) = go_idle(m, p) {
            return found;
        }
    }
}

/// What the agenda has, besides what comes before own timers. An urgent goroutine that had to
/// yield, if there is one.
#[cold]
fn see_to_agenda() -> Option<Found> {
    idle::run_orphaned_timers();
    // Readies the goroutine that waits for input, if an interrupt brought some.
    if SCHED.agenda.has(Item::Input) && SCHED.agenda.take(Item::Input) {
        if let Some(gp) = SCHED.input_waiter.swap(None, Ordering::SeqCst) {
            park::goready(gp);
        }
        // Who asks for a dump makes it due before it brings the input, perhaps since the look in
        // `find_runnable`: nobody else may come for it.
        sysmon::poll();
    }
    if !SCHED.agenda.has(Item::Urgent) {
        return None;
    }
    let mut inner = SCHED.lock.lock();
    SCHED.agenda.take(Item::Urgent);
    inner.globrunqget().map(|gp| (gp, false))
}

#[inline(always)]
fn from_global_1_in_61(p: &'static P, timers_ran: bool) -> Option<Found> {
    match is_turn_of_global(p) {
        true => first_of_global(p, timers_ran),
        false => None,
    }
}

/// Whether the global queue, which has something, comes before the own one.
#[inline(always)]
pub(super) fn is_turn_of_global(p: &'static P) -> bool {
    SCHED.runqsize.load(Ordering::Relaxed) != 0 && p.schedtick.get().is_multiple_of(61)
}

#[cold]
fn first_of_global(p: &'static P, timers_ran: bool) -> Option<Found> {
    // Once: there may always be a timer that is due.
    let passed = p.global_passed.load(Ordering::Relaxed);
    let timed = timers_ran && !p.runq.is_empty();
    let passes = timed && !passed;
    p.global_passed.store(passes, Ordering::Relaxed);
    if passes {
        return None;
    }
    let gp = SCHED.lock.lock().globrunqget()?;
    if timed {
        // Not a whole slice, or each 61st of the sleeps beside a hog would end a slice late.
        preempt::begin_short_slice(getm(), p);
    }
    Some((gp, timed))
}

#[inline(always)]
fn from_inbox(m: &'static M) -> Option<Found> {
    match m.inbox_len.load(Ordering::Relaxed) {
        0 => None,
        _ => take_from_inbox(m),
    }
}

#[cold]
fn take_from_inbox(m: &'static M) -> Option<Found> {
    lockedm::inbox_pop(&mut SCHED.lock.lock(), m).map(|gp| (gp, false))
}

#[inline(always)]
fn from_global(p: &'static P) -> Option<Found> {
    if SCHED.runqsize.load(Ordering::Relaxed) == 0 {
        return None;
    }
    match SCHED.lock.lock().globrunqgetbatch(p) {
        Some(gp) => Some((gp, false)),
        None => None,
    }
}

/// Steals, if there are not enough thieves already: half as many as busy Ps keep up with them.
fn from_others(m: &'static M, p: &'static P) -> Option<Found> {
    let gomaxprocs = SCHED.gomaxprocs.load(Ordering::Relaxed);
    if gomaxprocs == 1 {
        return None;
    }
    if !m.spinning.load(Ordering::Relaxed) {
        let busy = gomaxprocs - SCHED.npidle.load(Ordering::Relaxed).min(gomaxprocs);
        if 2 * SCHED.spinning.count() >= busy {
            return None;
        }
        idle::becomes_spinning(m);
    }
    trace::flush_stop(m);
    let start = arch::nanotime();
    let found = steal_work(m, p);
    m.stats.spinning_ns.add(arch::nanotime() - start);
    found
}

/// On g0: one round of stealing (Go: `stealWork`).
fn steal_work(m: &'static M, p: &'static P) -> Option<Found> {
    for pass in 0..STEAL_PASSES {
        let last = pass == STEAL_PASSES - 1;
        for victim in RandomOrder::new(SCHED.allp().len(), m.cheaprand()) {
            let victim = &ALLP[victim];
            if SCHED.agenda.has(Item::GcWaiting) {
                return None;
            }
            if core::ptr::eq(victim, p) {
                continue;
            }
            // Its timers may have made goroutines runnable on this P, its own or an idle one's.
            if last
                && victim.timers.run_due() > 0
                && let Some((gp, _)) = p.runq.get()
            {
                return Some((gp, false)); // nobody has left it any time
            }
            if SCHED.idlep_mask.load(Ordering::Relaxed) & 1 << victim.index() != 0 {
                continue;
            }
            if let Some((gp, n)) = runqsteal(p, victim, last) {
                p.stats.steals.add(n);
                trace::stole(m, victim, n);
                return Some((gp, false));
            }
        }
    }
    None
}

/// Takes half of the victim's ring, or its `runnext` if the ring is empty and `runnext` may be
/// taken. One of them, and how many there were.
fn runqsteal(p: &'static P, victim: &'static P, take_next: bool) -> Option<(&'static G, u64)> {
    let before = p.runq.len();
    let stolen = victim.runq.steal_into(&p.runq);
    if let Some(gp) = stolen {
        return Some((gp, (p.runq.len() - before + 1) as u64));
    }
    if !take_next || !victim.runq.has_next() {
        return None;
    }
    if victim.status() == PStatus::Running {
        let until = arch::nanotime() + RUNNEXT_GRACE_NS;
        while arch::nanotime() < until {
            arch::pause();
        }
    }
    Some((victim.runq.steal_next()?, 1))
}

/// Visits each of `n` Ps once, in an order that depends on a random number (Go: `randomOrder`):
/// steps by an amount that has no factor in common with `n`, from a random place.
pub struct RandomOrder {
    n: usize,
    position: usize,
    step: usize,
    left: usize,
}

impl RandomOrder {
    /// An order of `0..n`, chosen by `random`.
    pub fn new(n: usize, random: u32) -> Self {
        let random = random as usize;
        let coprimes = (1..=n).filter(|&step| gcd(step, n) == 1).count();
        let step = (1..=n)
            .filter(|&step| gcd(step, n) == 1)
            .nth(random / n % coprimes)
            .expect("1 is coprime to every n");
        Self {
            n,
            position: random % n,
            step,
            left: n,
        }
    }
}

impl Iterator for RandomOrder {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let position = self.position;
        self.position = (position + self.step) % self.n;
        Some(position)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Nothing found: gives up the P and sleeps, unless work turns up on the way. Returns with a P.
fn go_idle(m: &'static M, p: &'static P) -> Option<Found> {
    let mut inner = SCHED.lock.lock();
    if SCHED.agenda.has(Item::GcWaiting) {
        return None;
    }
    if let Some(gp) = inner
        .globrunqgetbatch(p)
        .or_else(|| lockedm::inbox_pop(&mut inner, m))
    {
        return Some((gp, false));
    }
    if !m.spinning.load(Ordering::Relaxed) && SCHED.spinning.is_needed() {
        // Somebody made work when no P was idle: look for it before this one becomes idle.
        idle::becomes_spinning(m);
        return None;
    }
    idle::releasep(m);
    inner.pidleput(p);
    drop(inner);

    if m.spinning.load(Ordering::Relaxed) {
        // The delicate dance of `sched`'s header: first down, then look.
        m.spinning.store(false, Ordering::Relaxed);
        SCHED.spinning.give_up();
        if work_anywhere() && recover(m) {
            return None;
        }
    }
    idle::stopm(m);
    None
}

/// Without a P: whether any P's queue holds something that this M could take.
fn work_anywhere() -> bool {
    model::get() == Model::Gmp && SCHED.allp().iter().any(|p| !p.runq.is_empty())
        || idle::first_timer() <= arch::nanotime()
}

/// Gets a P back for work that turned up, and spins with it.
fn recover(m: &'static M) -> bool {
    let mut inner = SCHED.lock.lock();
    let Some(p) = inner.pidleget_spinning(arch::nanotime()) else {
        return false;
    };
    drop(inner);
    idle::acquirep(m, p);
    idle::becomes_spinning(m);
    idle::leave_timers_to_others();
    true
}

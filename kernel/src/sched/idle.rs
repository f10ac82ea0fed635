//! Idle Ms and Ps: who sleeps, who wakes whom. The protocol is in the module's parent.

use core::sync::atomic::{Ordering, fence};

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on};
use crate::sched::agenda::Item;
use crate::sched::m::{ALLM, M};
use crate::sched::note::Wake;
use crate::sched::p::{ALLP, P, PStatus};
use crate::sched::timers::NEVER;
use crate::sched::{Inner, SCHED, fatal, lockedm, preempt, trace, watchdog};

/// A set of Ms or Ps by number, the lowest first: work gathers on few CPUs when there is little.
pub struct IdleSet(u64);

impl IdleSet {
    /// None.
    pub const fn new() -> Self {
        Self(0)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The members as bits.
    pub fn bits(&self) -> u64 {
        self.0
    }

    /// Adds one.
    pub fn insert(&mut self, index: usize) {
        debug_assert!(!self.contains(index), "idle twice");
        self.0 |= 1 << index;
    }

    /// Whether it is in.
    pub fn contains(&self, index: usize) -> bool {
        self.0 & 1 << index != 0
    }

    /// Takes one out. Whether it was in.
    pub fn remove(&mut self, index: usize) -> bool {
        let was = self.contains(index);
        self.0 &= !(1 << index);
        was
    }

    /// Takes the lowest.
    pub fn pop(&mut self) -> Option<usize> {
        let index = self.0.trailing_zeros() as usize;
        self.remove(index.min(63)).then_some(index)
    }

    /// The members, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let bits = self.0;
        (0..64).filter(move |i| bits & 1 << i != 0)
    }
}

impl Inner {
    fn publish_pidle(&self) {
        SCHED
            .npidle
            .store(self.pidle.len() as u32, Ordering::Relaxed);
        SCHED.idlep_mask.store(self.pidle.bits(), Ordering::Relaxed);
    }

    /// Puts a P without work on the idle list.
    pub fn pidleput(&mut self, p: &'static P) {
        if !p.runq.is_empty() {
            fatal::throw("pidleput: P has non-empty run queue");
        }
        p.set_status(PStatus::Idle);
        self.pidle.insert(p.index());
        self.publish_pidle();
        if p.timers.min_when() != NEVER {
            // Until an idle M keeps them. Release: who sees the flag sees the P among the idle.
            SCHED.agenda.add(Item::OrphanedTimers);
        }
    }

    /// Takes a P from the idle list: one with a timer that is due, else the lowest.
    pub fn pidleget(&mut self, now_ns: u64) -> Option<&'static P> {
        let due = self
            .pidle
            .iter()
            .find(|&i| ALLP[i].timers.min_when() <= now_ns);
        let index = match due {
            Some(index) => {
                self.pidle.remove(index);
                index
            }
            None => self.pidle.pop()?,
        };
        self.publish_pidle();
        Some(&ALLP[index])
    }

    /// Like [`Inner::pidleget`] for an M that will spin: without an idle P, the next M that would
    /// go idle shall spin in its place (Go: `pidlegetSpinning`).
    pub fn pidleget_spinning(&mut self, now_ns: u64) -> Option<&'static P> {
        let p = self.pidleget(now_ns);
        if p.is_none() {
            SCHED.spinning.need();
        }
        p
    }

    /// Where the P of an M that stops goes: to an idle M, which the caller hands it over to, if
    /// there may be work for it, else to the idle list (Go: `handoffp`).
    #[must_use = "the M must be given the P"]
    pub fn handoff(&mut self, p: &'static P) -> Option<&'static M> {
        if SCHED.agenda.has(Item::GcWaiting) {
            p.set_status(PStatus::GcStop);
            SCHED.stopwait.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        // It would be the only idle P while nobody looks for work.
        let nobody_looks = SCHED.spinning.count() == 0 && self.pidle.is_empty();
        let wanted = !p.runq.is_empty()
            || !self.runq.is_empty()
            || p.timers.min_when() != NEVER
            || nobody_looks;
        if wanted && let Some(m) = self.midle.pop() {
            return Some(&ALLM[m]);
        }
        // Go would start a thread. Here every M runs, and looks at the global queue, at the latest
        // in `stopm`.
        while let Some((gp, _)) = p.runq.get() {
            self.runq.push_back(gp);
        }
        self.publish_runqsize();
        self.pidleput(p);
        None
    }

    /// All idle Ps, for whoever stops the world.
    pub fn pidle_take_all(&mut self) -> impl Iterator<Item = &'static P> + use<> {
        let all = self.pidle.iter();
        self.pidle = IdleSet::new();
        self.publish_pidle();
        all.map(|i| &ALLP[i])
    }
}

/// The M takes the P (Go: `acquirep`).
pub fn acquirep(m: &'static M, p: &'static P) {
    debug_assert!(p.m.load(Ordering::Relaxed).is_none(), "P is held already");
    p.m.store(Some(m), Ordering::Relaxed);
    m.p.store(Some(p), Ordering::Relaxed);
    p.set_status(PStatus::Running);
    trace::proc_start(m, p);
    // What the timer is set to was right for another P: `execute` sets it anew. And who is to
    // inherit a slice here does not inherit one that ended while nobody had the P.
    m.disarmed();
    preempt::begin_slice(p);
}

/// The M lets go of its P (Go: `releasep`).
pub fn releasep(m: &'static M) -> &'static P {
    let p =
        m.p.swap(None, Ordering::Relaxed)
            .expect("releasep without a P");
    trace::proc_stop(m, p);
    p.m.store(None, Ordering::Relaxed);
    p
}

/// Tries to get one more P running, because work was made (Go: `wakep`). Cheap when somebody spins
/// already, or when all Ps run.
#[inline(always)]
pub fn wakep() {
    let a_p_is_idle = || SCHED.npidle.load(Ordering::Relaxed) != 0;
    if SCHED.spinning.submitted(a_p_is_idle) {
        wakep_slow();
    }
}

#[cold]
fn wakep_slow() {
    // While nmspinning is raised nobody else wakes an M, and while a P is between the idle list and
    // its new M nobody can stop the world: no preemption in between.
    preempt_off();
    start_spinning_m();
    preempt_on();
}

fn start_spinning_m() {
    if !SCHED.spinning.try_begin_for_other() {
        return;
    }
    let mut inner = SCHED.lock.lock();
    let Some(p) = inner.pidleget(0) else {
        SCHED.spinning.woke_nobody();
        return;
    };
    let Some(m) = inner.midle.pop() else {
        // Every M runs, waits for its locked goroutine, or is on its way to sleep: the P stays
        // idle, and in the last case `stopm` comes back for it.
        inner.pidleput(p);
        SCHED.spinning.woke_nobody();
        return;
    };
    drop(inner);
    hand_over(&ALLM[m], p, true);
}

/// Hands a P to an M that was taken from the idle list, and wakes it.
pub fn hand_over(m: &'static M, p: &'static P, spinning: bool) {
    debug_assert!(
        m.nextp.load(Ordering::Relaxed).is_none(),
        "an idle M has a P waiting"
    );
    m.spinning.store(spinning, Ordering::Relaxed);
    m.nextp.store(Some(p), Ordering::Release);
    m.wake();
}

/// The M looks for work from now on. The caller looks at all queues after this.
pub fn becomes_spinning(m: &'static M) {
    m.spinning.store(true, Ordering::Relaxed);
    SCHED.spinning.begin();
}

/// The M found work: it no longer looks, and if it was the last who did, another one is woken,
/// since where one goroutine was there may be more (Go: `resetspinning`).
pub fn resetspinning(m: &'static M) {
    m.spinning.store(false, Ordering::Relaxed);
    SCHED.spinning.found();
    wakep();
}

/// On g0, without a P: sleeps until somebody hands over a P, or, as the one who watches the timers,
/// until one is due (Go: `stopm`). Returns with a P.
pub fn stopm(m: &'static M) {
    sleep_without_p(m);
    watchdog::woken(m);
}

fn sleep_without_p(m: &'static M) {
    let mut inner = SCHED.lock.lock();
    // Between giving up its P and this lock the M was on no list: what came for it alone went to
    // its inbox, as to an M that is awake; and an M that had to hand off a P with work, or made
    // work, found nobody to take it, and left the P idle.
    let for_me = m.inbox_len.load(Ordering::Relaxed) != 0;
    // Where one goroutine was left there may be more: who takes it wakes the next.
    let look = SCHED.spinning.is_needed() || !inner.runq.is_empty();
    if for_me || look {
        if let Some(p) = inner.pidleget(0) {
            drop(inner);
            acquirep(m, p);
            if look {
                becomes_spinning(m);
            }
            leave_timers_to_others();
            return;
        }
        // All Ps run. Who finds it in the global queue sends it here again, with a P.
        while let Some(gp) = lockedm::inbox_pop(&mut inner, m) {
            inner.runq.push_back(gp);
        }
        inner.publish_runqsize();
    }
    inner.midle.insert(m.id());
    fatal::checkdead(&inner);
    drop(inner);
    loop {
        let until = keep_timers(m);
        let watch_until = watchdog::keep_watch(m, until);
        let wake = m.sleep(watch_until, || {
            input_wants() || timers_want(until) || watchdog::is_needed(m)
        });
        watchdog::stop_watching(m);
        // Kept by this M, or left to it by one that was called, as it is now itself.
        let orphaned = stop_keeping(m) || SCHED.agenda.has(Item::OrphanedTimers);
        // A timer is due, or input came: run a P, if one is idle. If none is, all Ps run, and those
        // who run them look at their timers and at the input themselves.
        match wake {
            Wake::Signalled => {
                if orphaned {
                    pass_on_keeping();
                }
                break;
            }
            Wake::Interrupt if !input_wants() => {}
            Wake::Deadline if watch_until < until && !input_wants() && !timers_want(until) => {}
            Wake::Interrupt | Wake::Deadline => {
                if wake_self(m) {
                    // A keeper that was called meanwhile may have found this M on the idle list.
                    if orphaned || SCHED.agenda.has(Item::OrphanedTimers) {
                        pass_on_keeping();
                    }
                    return;
                }
            }
        }
    }
    m.park.clear();
    let p = m
        .nextp
        .swap(None, Ordering::Acquire)
        .expect("a woken M is given a P");
    acquirep(m, p);
}

/// Whether input waits for an M, and there is a P for it.
fn input_wants() -> bool {
    SCHED.agenda.has(Item::Input) && SCHED.npidle.load(Ordering::Relaxed) > 0
}

/// Whether an M that sleeps until `until` would sleep past a timer: one that was armed since, or,
/// if it was not to watch the timers, because whoever watched them has stopped.
fn timers_want(until: u64) -> bool {
    SCHED.npidle.load(Ordering::SeqCst) > 0
        && first_timer() < until
        && (until != NEVER || !SCHED.keeper.is_there())
}

/// An M wakes without having been called: takes itself off the idle list, with an idle P. False if
/// it was called meanwhile, or there is no P.
fn wake_self(m: &'static M) -> bool {
    let mut inner = SCHED.lock.lock();
    if !inner.midle.contains(m.id()) {
        return false; // the note is signalled, or about to be
    }
    let Some(p) = inner.pidleget(arch::nanotime()) else {
        return false;
    };
    inner.midle.remove(m.id());
    drop(inner);
    acquirep(m, p);
    true
}

/// One idle M sleeps with a timer for all Ps ([`keeper`](crate::sched::keeper)): returns until when
/// this one may sleep.
fn keep_timers(m: &'static M) -> u64 {
    // While all Ps run, those who run them look at their timers. Whoever makes a P idle comes here
    // itself, hands it to an idle M, or wakes one (`timers_moved`).
    if SCHED.npidle.load(Ordering::SeqCst) == 0 || !SCHED.keeper.begin(m) {
        return NEVER;
    }
    SCHED.agenda.take(Item::OrphanedTimers);
    let until = SCHED.keeper.settle(first_timer);
    if until == NEVER {
        let _ = stop_keeping(m);
        // While this M was the keeper of nothing others may have relied on it: who armed a timer
        // and went to sleep, and who took the item that it left. The fence pairs with that one's,
        // in `run_timers_of_idle_ps`.
        fence(Ordering::SeqCst);
        if first_timer() != NEVER {
            SCHED.agenda.add(Item::OrphanedTimers);
        }
    }
    until
}

/// The M no longer watches the timers. Whether it did.
fn stop_keeping(m: &'static M) -> bool {
    let until = SCHED.keeper.end(m);
    if until.is_some_and(|until| until != NEVER) {
        SCHED.agenda.add(Item::OrphanedTimers);
    }
    until.is_some()
}

/// Ps with timers became idle, or timers changed their P: those who sleep look again.
pub fn timers_moved() {
    wake_for_timer(first_timer());
    pass_on_keeping();
}

/// The M that watched the timers is called to run something: another idle one takes over.
fn pass_on_keeping() {
    let next = SCHED.lock.lock().midle.iter().next();
    if let Some(index) = next {
        ALLM[index].poke();
    }
}

/// An M has put down a P and taken another one, and will not be there to keep the timers of the
/// first: an idle M, if there is one, does so.
pub fn leave_timers_to_others() {
    if SCHED.agenda.has(Item::OrphanedTimers) {
        pass_on_keeping();
    }
}

/// On g0: runs the timers of idle Ps that no idle M watches. An M that sleeps for its locked
/// goroutine may have left its P idle while all others were busy.
#[inline]
pub fn run_orphaned_timers() {
    if SCHED.agenda.has(Item::OrphanedTimers) {
        run_timers_of_idle_ps();
    }
}

/// The flag goes down before the look and up again after it, never down after: what this very look
/// readies may have slept again meanwhile, and left its P idle behind the look.
#[cold]
fn run_timers_of_idle_ps() {
    // Acquire: pairs with the release in `pidleput`, which comes after the P is in the mask.
    if !SCHED.agenda.take(Item::OrphanedTimers) {
        return;
    }
    let mut left = false;
    for p in SCHED.allp() {
        if SCHED.idlep_mask.load(Ordering::Relaxed) & 1 << p.index() != 0 {
            p.timers.run_due();
            left |= p.timers.min_when() != NEVER;
        }
    }
    // A keeper that stops after this look raises the flag itself; one that kept nothing does so by
    // what it sees behind its fence.
    fence(Ordering::SeqCst);
    if left && !SCHED.keeper.is_there() {
        SCHED.agenda.add(Item::OrphanedTimers);
    }
}

/// When the first timer of any P is due.
pub fn first_timer() -> u64 {
    ALLP.iter()
        .map(|p| p.timers.min_when())
        .min()
        .unwrap_or(NEVER)
}

/// A timer was armed on a P that this M holds: whoever sleeps past it is woken
/// (Go: `wakeNetPoller`).
pub fn wake_for_timer(when_ns: u64) {
    // This CPU's own timer is enough while it runs; the keeper matters when it will not.
    if let Some(m) = SCHED.keeper.sleeps_past(when_ns) {
        m.poke();
    }
}

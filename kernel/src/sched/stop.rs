//! Stopping the world, and changing how many Ps there are.
//!
//! The stopper keeps its own P and its goroutine keeps running, with preemption off. It raises
//! `gcwaiting`, takes all idle Ps, and asks every running goroutine to yield; each M gives its P up
//! at its next switch ([`gcstopm`]). Requests may be lost, so they are repeated every 100 µs. Two
//! stoppers are kept apart by `worldsema`, for which the second one parks like anybody else: it is
//! then no running goroutine that the first would wait for.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on, systemstack};
use crate::sched::agenda::Item;
use crate::sched::m::{ALLM, M, getm};
use crate::sched::model::{self, Model};
use crate::sched::p::{ALLP, P, PStatus};
use crate::sched::park::WaitReason;
use crate::sched::wait::Limit;
use crate::sched::{SCHED, disable, fatal, idle, preempt};

/// How often the request to stop is repeated.
const RETRY_NS: u64 = 100_000;
/// How often a flush of TLBs is asked for again: no interrupt should be lost, but if one were, all
/// would wait for it.
const ASK_AGAIN_NS: u64 = 20_000_000;
/// A world that does not stop for this long will never (preemption switched off, a goroutine in an
/// endless loop).
const STUCK_NS: u64 = 60_000_000_000;

/// Stops all other Ps. Preemption stays off until [`start_the_world`].
pub(super) fn stop_the_world() {
    disable::begin_unstoppable();
    // Without a limit there is but one outcome.
    let _ = SCHED
        .worldsema
        .acquire(1, Limit::Forever, WaitReason::Semacquire);
    preempt_off();
    let me = getm()
        .p
        .load(Ordering::Relaxed)
        .expect("a goroutine runs with a P");
    let mut inner = SCHED.lock.lock();
    let n = SCHED.gomaxprocs.load(Ordering::Relaxed) as i32;
    SCHED.stopwait.store(n - 1, Ordering::SeqCst);
    SCHED.agenda.add(Item::GcWaiting);
    me.set_status(PStatus::GcStop);
    for p in inner.pidle_take_all() {
        p.set_status(PStatus::GcStop);
        SCHED.stopwait.fetch_sub(1, Ordering::SeqCst);
    }
    drop(inner);
    let start = arch::nanotime();
    while SCHED.stopwait.load(Ordering::SeqCst) > 0 {
        preempt::preemptall();
        let until = arch::nanotime() + RETRY_NS;
        while SCHED.stopwait.load(Ordering::SeqCst) > 0 && arch::nanotime() < until {
            arch::pause();
        }
        if until - start > STUCK_NS {
            fatal::throw("stop the world: a goroutine does not yield");
        }
    }
}

/// Lets the world go on with `n` Ps.
pub(super) fn start_the_world(n: usize) {
    let m = getm();
    systemstack(|| procresize(m, n));
    idle::wakep();
    preempt_on();
    SCHED.worldsema.release(1);
    disable::end_unstoppable();
}

/// Calls `f` with the world stopped: no other goroutine runs, none is on its way from a run queue
/// to a CPU, no timer's function runs, and nobody holds a [`Lock`](crate::base::lock::Lock).
/// Preemption is off; `f` must not park.
///
/// Waits until every running goroutine has reached a switch: with `preempt=off` that may be never,
/// which is fatal after a minute.
pub fn with_the_world_stopped<R>(f: impl FnOnce() -> R) -> R {
    stop_the_world();
    let result = f();
    start_the_world(SCHED.gomaxprocs.load(Ordering::Relaxed) as usize);
    result
}

/// Changes how many Ps there are; 0 only asks. Returns how many there were.
pub fn gomaxprocs(n: usize) -> usize {
    let old = SCHED.gomaxprocs.load(Ordering::Relaxed) as usize;
    let mcount = SCHED.mcount();
    let n = n.min(mcount);
    if n == 0 || n == old || model::get() == Model::Single {
        return old;
    }
    stop_the_world();
    let old = SCHED.gomaxprocs.load(Ordering::Relaxed) as usize;
    // The scheduler may have been changed on the way here.
    start_the_world(if model::get() == Model::Single { 1 } else { n });
    old
}

/// On g0, world stopped: makes `n` Ps, moves what retired ones hold, and gives Ps with work to Ms.
pub fn procresize(m: &'static M, n: usize) {
    let old = SCHED.gomaxprocs.load(Ordering::Relaxed) as usize;
    for (id, p) in (0u32..).zip(&ALLP[..n]) {
        p.id.store(id, Ordering::Relaxed);
        if id as usize >= old {
            p.set_status(PStatus::GcStop);
        }
    }
    // The M keeps its P, or takes P0 if it is retired.
    let mine = match m.p.load(Ordering::Relaxed) {
        Some(p) if p.index() < n => p,
        Some(_) => {
            idle::releasep(m);
            idle::acquirep(m, &ALLP[0]);
            &ALLP[0]
        }
        None => {
            idle::acquirep(m, &ALLP[0]);
            &ALLP[0]
        }
    };
    for p in &ALLP[n.min(old)..old] {
        retire(p, mine);
    }
    SCHED.gomaxprocs.store(n as u32, Ordering::Relaxed);
    restart(mine, n);
    // `mine` may have got timers.
    preempt::arm_slice(m, mine);
    idle::timers_moved();
}

/// Gives all that a P holds to others (Go: `p.destroy`).
fn retire(p: &'static P, to: &'static P) {
    let mut inner = SCHED.lock.lock();
    // To the front, oldest first: they have waited longest.
    let mut held = crate::sched::gqueue::GQueue::new();
    while let Some((gp, _)) = p.runq.get() {
        held.push_front(gp);
    }
    while let Some(gp) = held.pop_front() {
        inner.runq.push_front(gp);
    }
    inner.publish_runqsize();
    p.gfree.retire(&mut inner.gfree);
    p.set_status(PStatus::Dead);
    drop(inner);
    to.timers.take(&p.timers);
}

/// Ends the stop: Ps with work get Ms, the one they had if it is free; the others are idle.
fn restart(mine: &'static P, n: usize) {
    let mut inner = SCHED.lock.lock();
    SCHED.agenda.take(Item::GcWaiting);
    mine.set_status(PStatus::Running);
    for p in &ALLP[..n] {
        if core::ptr::eq(p, mine) {
            continue;
        }
        if p.runq.is_empty() {
            inner.pidleput(p);
            continue;
        }
        let oldm = p
            .oldm
            .swap(None, Ordering::Relaxed)
            .filter(|m| inner.midle.remove(m.id()));
        match oldm.or_else(|| inner.midle.pop().map(|i| &ALLM[i])) {
            Some(m) => idle::hand_over(m, p, false),
            None => {
                while let Some((gp, _)) = p.runq.get() {
                    inner.runq.push_back(gp);
                }
                inner.publish_runqsize();
                inner.pidleput(p);
            }
        }
    }
}

/// On g0: the M stops with the world, and sleeps until it gets a P again.
pub fn gcstopm(m: &'static M) {
    if m.spinning.swap(false, Ordering::Relaxed) {
        SCHED.spinning.found();
    }
    let inner = SCHED.lock.lock();
    if !SCHED.agenda.has(Item::GcWaiting) {
        return;
    }
    let p = idle::releasep(m);
    p.oldm.store(Some(m), Ordering::Relaxed);
    p.set_status(PStatus::GcStop);
    SCHED.stopwait.fetch_sub(1, Ordering::SeqCst);
    drop(inner);
    idle::stopm(m);
}

/// Asks all other CPUs to forget what their TLBs know, and waits until they have. No lock is held;
/// each CPU answers in its interrupt handler, so none may wait for this one with interrupts off.
pub fn flush_all_tlbs() {
    preempt_off();
    let me = getm();
    arch::flush_tlb();
    let generation = TLB_GENERATION.fetch_add(1, Ordering::SeqCst) + 1;
    let others = SCHED.allm().filter(|m| !core::ptr::eq(*m, me));
    let ask = |m: &M| {
        me.stats.ipis_sent.add(1);
        arch::send_ipi(m.id(), arch::Ipi::FlushTlb);
    };
    others.clone().for_each(ask);
    let start = arch::nanotime();
    for m in others {
        let mut asked = start;
        while m.tlb_generation.load(Ordering::Acquire) < generation {
            arch::pause();
            let now = arch::nanotime();
            if now - start > STUCK_NS {
                fatal::throw("flush of TLBs: a CPU does not answer");
            }
            if now - asked > ASK_AGAIN_NS {
                asked = now;
                ask(m);
            }
        }
    }
    preempt_on();
}

/// Number of the last flush that was asked for.
static TLB_GENERATION: AtomicU64 = AtomicU64::new(0);

/// Interrupt: another CPU has unmapped something.
pub fn flush_tlb_ipi() {
    // Read before the flush: what is asked for later comes with its own interrupt.
    let generation = TLB_GENERATION.load(Ordering::SeqCst);
    arch::flush_tlb();
    let m = getm();
    m.stats.ipis_got.add(1);
    m.tlb_generation.store(generation, Ordering::Release);
}

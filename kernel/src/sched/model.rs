//! The three schedulers: where a ready goroutine is put and where it is looked for. Everything else
//! they share.
//!
//! | `sched=` | as in | ready goroutines | Ps |
//! | --- | --- | --- | --- |
//! | `gmp` | Go 1.1 and later | each P's own ring, stealing, global overflow | all CPUs |
//! | `global` | Go 1.0 | one queue behind one lock | all CPUs |
//! | `single` | before Go 1.0 | one queue | one |
//!
//! They exist to be run against each other: `global` is the many-thread loop, whose lock every
//! spawn, wake and switch of every CPU goes through.
//!
//! # Changing it while goroutines run
//!
//! [`switch`] stops the world first. Then
//!
//! 1. nobody is between reading the model and using the queue that it chose: [`runqput`] and the
//!    sources of `find` run on an M with a P, and all Ps but the caller's are stopped;
//! 2. all rings are emptied into the global queue, the one place that every model looks at; from
//!    there on "not gmp implies that all rings are empty" holds again;
//! 3. the model is set, and the number of Ps with it: `single` has one.
//!
//! An M *without* a P may still be on its way to sleep and read the model late (`find`'s last look,
//! step 9). Old `gmp`: it looks at rings that are empty. Old `global`: it skips rings that may have
//! work, but only if it read the model before the world went on; whoever put that work there did so
//! later, and by the two fences of the wake protocol either saw that this M no longer spins, and
//! woke another, or its work and the new model were both visible to this M's look.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::sched::agenda::Item;
use crate::sched::g::G;
use crate::sched::p::{ALLP, P};
use crate::sched::runq::Overflow;
use crate::sched::{Inner, SCHED, preempt, stop};

/// Which scheduler runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Model {
    /// Local queues and stealing.
    Gmp = 0,
    /// One locked queue, many Ms.
    Global = 1,
    /// One queue, one M.
    Single = 2,
}

static MODEL: AtomicU8 = AtomicU8::new(Model::Gmp as u8);

/// Chooses the scheduler; at boot, or with the world stopped and all rings empty.
pub fn set(model: Model) {
    MODEL.store(model as u8, Ordering::Relaxed);
    SCHED.note_unusual();
}

/// The scheduler that was chosen.
#[inline(always)]
pub fn get() -> Model {
    match MODEL.load(Ordering::Relaxed) {
        0 => Model::Gmp,
        1 => Model::Global,
        _ => Model::Single,
    }
}

/// Changes the scheduler and how many Ps there are, by stopping the world. `single` has one P,
/// whatever `procs` says; else at least one and at most one a CPU. Returns what it was before.
///
/// On a goroutine, no lock held.
pub fn switch(to: Model, procs: usize) -> (Model, usize) {
    stop::stop_the_world();
    let before = (get(), SCHED.gomaxprocs.load(Ordering::Relaxed) as usize);
    let mcount = {
        let mut inner = SCHED.lock.lock();
        for p in &ALLP {
            // Owner's side of the ring: the P is stopped, or the caller's own.
            while let Some((gp, _)) = p.runq.get() {
                inner.runq.push_back(gp);
            }
        }
        inner.publish_runqsize();
        SCHED.mcount()
    };
    set(to);
    let procs = if to == Model::Single {
        1
    } else {
        procs.clamp(1, mcount)
    };
    stop::start_the_world(procs);
    before
}

/// Puts a runnable goroutine where this scheduler keeps them; `next`: ahead of all others of this P
/// (Go: `runqput`). The M holds `p`, preemption is off.
#[inline(always)]
pub fn runqput(p: &'static P, gp: &'static G, next: bool) {
    if SCHED.agenda.has(Item::Unusual) {
        return runqput_unusual(p, gp, next);
    }
    put(p, gp, next);
}

#[inline(always)]
fn put(p: &'static P, gp: &'static G, next: bool) {
    let gp = if next {
        match p.runq.put_next(gp) {
            Some(kicked) => kicked,
            None => return,
        }
    } else {
        gp
    };
    if !p.runq.try_put(gp) {
        put_into_full(p, gp);
    }
}

#[cold]
fn runqput_unusual(p: &'static P, gp: &'static G, next: bool) {
    if get() != Model::Gmp {
        return globrunqput(gp);
    }
    // A pair that hands over through runnext shares one slice, which nobody would end with
    // preemption off (Go: no runnext without sysmon). Chaos: as Go's race builds do, do not rely on
    // it.
    put(
        p,
        gp,
        next && preempt::mode() != preempt::Mode::Off && !SCHED.chaos_strikes(),
    );
}

#[cold]
fn put_into_full(p: &'static P, gp: &'static G) {
    while let Err(overflow) = p.runq.put(gp) {
        runqputslow(&overflow);
    }
}

/// Moves half of a full ring to the global queue.
fn runqputslow(overflow: &Overflow<G>) {
    let mut inner = SCHED.lock.lock();
    for gp in overflow.iter() {
        inner.runq.push_back(gp);
    }
    inner.publish_runqsize();
}

/// Puts a runnable goroutine at the end of the global queue.
pub fn globrunqput(gp: &'static G) {
    let mut inner = SCHED.lock.lock();
    inner.runq.push_back(gp);
    inner.publish_runqsize();
}

/// Puts a runnable goroutine that is urgent before all others: the next M that schedules takes it.
pub fn globrunqput_urgent(gp: &'static G) {
    let mut inner = SCHED.lock.lock();
    inner.runq.push_front(gp);
    inner.publish_runqsize();
    SCHED.agenda.add(Item::Urgent);
}

/// How many goroutines a P fetches from the global queue at once (Go: half a ring at most).
const GLOBAL_BATCH: usize = 128;

impl Inner {
    /// Mirrors the length of the global queue for those who look without the lock.
    pub fn publish_runqsize(&self) {
        SCHED
            .runqsize
            .store(self.runq.len() as u32, Ordering::Relaxed);
    }

    /// Takes one goroutine from the global queue.
    pub fn globrunqget(&mut self) -> Option<&'static G> {
        let gp = self.runq.pop_front();
        self.publish_runqsize();
        gp
    }

    /// Takes a fair share of the global queue: one to run, the rest into `p`'s empty ring
    /// (Go: `globrunqgetbatch`).
    pub fn globrunqgetbatch(&mut self, p: &'static P) -> Option<&'static G> {
        if get() != Model::Gmp {
            return self.globrunqget();
        }
        let gomaxprocs = SCHED.gomaxprocs.load(Ordering::Relaxed) as usize;
        let n = (self.runq.len() / gomaxprocs + 1)
            .min(GLOBAL_BATCH)
            .min(self.runq.len());
        let first = self.runq.pop_front()?;
        for _ in 1..n {
            let Some(gp) = self.runq.pop_front() else {
                break;
            };
            if p.runq.put(gp).is_err() {
                self.runq.push_front(gp);
                break;
            }
        }
        self.publish_runqsize();
        Some(first)
    }
}

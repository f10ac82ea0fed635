//! The three schedulers: where a ready goroutine is put and where it is looked for. Everything else
//! they share.
//!
//! | `sched=` | as in | ready goroutines | Ps |
//! | --- | --- | --- | --- |
//! | `gmp` | Go 1.1 and later | each P's own ring, stealing, global overflow | all CPUs |
//! | `global` | Go 1.0 | one queue behind one lock | all CPUs |
//! | `single` | before Go 1.0 | one queue | one |
//!
//! They exist to be run against each other: `global` is what the notes call the many-thread loop,
//! whose lock every spawn, wake and switch of every CPU goes through.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::sched::g::G;
use crate::sched::p::P;
use crate::sched::runq::Overflow;
use crate::sched::{Inner, SCHED};

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

/// Chooses the scheduler; at boot.
pub fn set(model: Model) {
    MODEL.store(model as u8, Ordering::Relaxed);
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

/// Puts a runnable goroutine where this scheduler keeps them; `next`: ahead of all others of this P
/// (Go: `runqput`). The M holds `p`, preemption is off.
#[inline]
pub fn runqput(p: &'static P, gp: &'static G, next: bool) {
    if get() != Model::Gmp {
        globrunqput(gp);
        return;
    }
    // Chaos: as Go's race builds do, do not rely on runnext.
    let next = next && !SCHED.chaos_strikes();
    let gp = if next {
        match p.runq.put_next(gp) {
            Some(kicked) => kicked,
            None => return,
        }
    } else {
        gp
    };
    while let Err(overflow) = p.runq.put(gp) {
        runqputslow(&overflow);
    }
}

/// Moves half of a full ring to the global queue.
#[cold]
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

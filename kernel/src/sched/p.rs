//! P: the right to run goroutines, with all that an M needs for it without asking others.
//!
//! There are `gomaxprocs` Ps. A P is held by one M (running), sits on the idle list (idle), or is
//! stopped with the world (gcstop); those beyond `gomaxprocs` are dead. Fields marked *owner*
//! belong to the M that holds the P, with preemption off; the others may be read by anyone.

use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::arch::MAX_CPUS;
use crate::base::aref::AtomicRef;
use crate::base::counter::Counter;
use crate::sched::g::G;
use crate::sched::gfree::LocalFree;
use crate::sched::m::M;
use crate::sched::runq::RunQueue;
use crate::sched::timers::Timers;

/// What becomes of a P (Go: `_Pidle` … `_Pdead`, with Go's numbers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PStatus {
    /// On the idle list; its run queue is empty.
    Idle = 0,
    /// Held by an M.
    Running = 1,
    /// Stopped with the world.
    GcStop = 3,
    /// Beyond gomaxprocs.
    Dead = 4,
}

/// How many goroutine ids a P takes at once (Go: `_GoidCacheBatch`).
pub const GOID_BATCH: u64 = 16;

/// A processor in Go's sense.
pub struct P {
    /// Index in [`ALLP`].
    pub id: AtomicU32,
    status: AtomicU32,
    /// The M that holds it.
    pub m: AtomicRef<M>,
    /// The M that held it before the world stopped, which gets it back.
    pub oldm: AtomicRef<M>,

    /// Runnable goroutines.
    pub runq: RunQueue<G>,
    /// Timers.
    pub timers: Timers,

    /// Owner: counts slices begun (not those inherited through runnext).
    pub schedtick: Counter,
    /// Owner: the global queue has given up its turn to what a timer readied.
    pub global_passed: AtomicBool,
    /// Owner: when the slice of the running goroutine ends, in CPU ticks.
    pub slice_end: AtomicU64,
    /// Owner: the slice is a short one, before which a timer has readied whoever runs next.
    pub short_slice: AtomicBool,
    /// The tick has found the slice over or a timer due: the next round is to be a whole one.
    pub asked: AtomicBool,

    /// Dead Gs.
    pub gfree: LocalFree,
    /// Owner: next goroutine id, and the end of the batch.
    pub goid_next: AtomicU64,
    /// Owner: end of the batch of goroutine ids.
    pub goid_end: AtomicU64,

    /// Owner: what `runtime::stats` shows.
    pub stats: PStats,
}

/// What a P has done since boot.
#[derive(Default)]
pub struct PStats {
    /// Goroutines that an M with this P began or continued to run.
    pub switches: Counter,
    /// Goroutines taken from other Ps.
    pub steals: Counter,
    /// Preemptions asked for by the timer.
    pub preempt_asked: Counter,
    /// Preemptions at safe points.
    pub preempt_taken: Counter,
    /// Preemptions by the interrupt itself.
    pub preempt_async: Counter,
    /// Goroutines created.
    pub created: Counter,
    /// Goroutines ended.
    pub ended: Counter,
}

impl PStats {
    const fn new() -> Self {
        Self {
            switches: Counter::new(),
            steals: Counter::new(),
            preempt_asked: Counter::new(),
            preempt_taken: Counter::new(),
            preempt_async: Counter::new(),
            created: Counter::new(),
            ended: Counter::new(),
        }
    }
}

impl P {
    /// Where the status is, in bytes: for a debugger.
    pub const STATUS: usize = offset_of!(P, status);

    const fn new() -> Self {
        Self {
            id: AtomicU32::new(0),
            status: AtomicU32::new(PStatus::Dead as u32),
            m: AtomicRef::none(),
            oldm: AtomicRef::none(),
            runq: RunQueue::new(),
            timers: Timers::new(),
            schedtick: Counter::new(),
            global_passed: AtomicBool::new(false),
            slice_end: AtomicU64::new(0),
            short_slice: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            gfree: LocalFree::new(),
            goid_next: AtomicU64::new(0),
            goid_end: AtomicU64::new(0),
            stats: PStats::new(),
        }
    }

    /// Index of this P.
    pub fn index(&self) -> usize {
        self.id.load(Ordering::Relaxed) as usize
    }

    /// What becomes of it. Changes under `SCHED`'s lock, but for running ↔ idle of its own M.
    pub fn status(&self) -> PStatus {
        match self.status.load(Ordering::Relaxed) {
            0 => PStatus::Idle,
            1 => PStatus::Running,
            3 => PStatus::GcStop,
            _ => PStatus::Dead,
        }
    }

    /// Sets what becomes of it.
    pub fn set_status(&self, status: PStatus) {
        self.status.store(status as u32, Ordering::Relaxed);
    }
}

/// All Ps that can ever be; those beyond gomaxprocs are dead.
pub static ALLP: [P; MAX_CPUS] = [const { P::new() }; MAX_CPUS];

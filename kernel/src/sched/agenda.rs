//! What a round of the scheduler has to see to besides the run queues: all of it in one word, so
//! that a round with nothing of the kind, which is nearly every one, looks once.
//!
//! All changes are read-modify-writes, so that no two lose each other's, and sequentially
//! consistent: whoever adds an item then looks for an M that sleeps, and an M that goes to sleep
//! looks here after it has said so (`idle`, `stop`); at least one sees the other. What is looked at
//! in between is a hint.
//!
//! Models: `loom_tests.rs`: items that come together, and one against an M that halts.

use crate::primitive::{AtomicU32, Ordering};

/// One thing to see to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Item {
    /// The world is to stop (Go: `sched.gcwaiting`).
    GcWaiting = 1,
    /// Periodic work is due (`sysmon`).
    Sysmon = 1 << 1,
    /// An idle P may have timers that no idle M keeps (`idle::run_orphaned_timers`).
    OrphanedTimers = 1 << 2,
    /// Interrupts left work (Go: `netpoll`; of this kernel: serial input).
    Input = 1 << 3,
    /// An urgent goroutine is at the front of the global run queue.
    Urgent = 1 << 4,
    /// Goroutines may be held back (`disable`).
    HeldBack = 1 << 5,
    /// The scheduler runs in a way in which nothing takes a short way: chaos, another model than
    /// `gmp`, no preemption.
    Unusual = 1 << 6,
}

/// The word.
pub struct Agenda {
    items: AtomicU32,
}

impl Agenda {
    /// Nothing.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            items: AtomicU32::new(0),
        }
    }

    /// Nothing.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            items: AtomicU32::new(0),
        }
    }

    /// Whether there is nothing to see to.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.items.load(Ordering::Relaxed) == 0
    }

    /// Whether this is to be seen to.
    #[inline(always)]
    pub fn has(&self, item: Item) -> bool {
        self.items.load(Ordering::Relaxed) & item as u32 != 0
    }

    /// Adds an item. What was done before is seen by whoever takes it.
    pub fn add(&self, item: Item) {
        self.items.fetch_or(item as u32, Ordering::SeqCst);
    }

    /// Takes an item off; whether it was there.
    pub fn take(&self, item: Item) -> bool {
        self.items.fetch_and(!(item as u32), Ordering::SeqCst) & item as u32 != 0
    }

    /// Adds an item or takes it off.
    pub fn set(&self, item: Item, on: bool) {
        if on {
            self.add(item);
        } else {
            self.take(item);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

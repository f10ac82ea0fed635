//! Ticket: which of the many that may end a goroutine's wait does end it (Go: `g.selectDone`).
//!
//! The word holds the number of the wait, even while it lasts, and odd (`| 1`) once somebody ended
//! it. A number names one wait: a timer that fired for an earlier one, but was slow to say so,
//! comes with an old ticket and loses.
//!
//! Models: `loom_tests.rs`: the words alone; those of `sema` and of `chan::select` with all that
//! may end a wait around it.

use crate::primitive::{AtomicU32, Ordering};

/// The waits of one goroutine.
pub struct Ticket {
    word: AtomicU32,
}

impl Ticket {
    /// No wait so far.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// No wait so far.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// The goroutine: begins its next wait, whose number this is. Whoever is to end it learns the
    /// number under a lock, which also orders this store before any [`Ticket::win`] with it.
    pub fn begin(&self) -> u32 {
        let ticket = (self.word.load(Ordering::Relaxed) | 1).wrapping_add(1);
        self.word.store(ticket, Ordering::Relaxed);
        ticket
    }

    /// The goroutine, or who parks it: the number of its latest wait.
    pub fn current(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    /// Ends the wait of that number: true for the one who does.
    pub fn win(&self, ticket: u32) -> bool {
        debug_assert!(ticket.is_multiple_of(2), "a ticket of no wait");
        // Acquire and release: what the winner does to the goroutine stays inside this one wait.
        self.word
            .compare_exchange(ticket, ticket | 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

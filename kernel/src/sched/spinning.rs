//! Spinning: how many Ms look for work, and whether one more shall. The words of the protocol that
//! the module's parent describes; who sleeps and which P is idle is not known here.
//!
//! Of two sides at least one sees the other, by the full fence that each has between its store and
//! its loads:
//!
//! - a submitter publishes work, then calls [`Spinning::submitted`];
//! - an M that looked in vain puts its P on the idle list, calls [`Spinning::give_up`], then looks
//!   at all queues again.
//!
//! `needed` means: work was made when no P was idle, or no M was. It is set under the scheduler's
//! lock, after looking at the idle lists there, and whoever is about to put itself on one of them
//! looks at it under the lock. So it is not overlooked. [`Spinning::begin`] clears it without the
//! lock and without a fence: whoever began ends by finding work, and then submits, or by giving
//! up. Of that fence and the submitter's, either the submitter's is the first, then the last look
//! sees the work; or it is the second, then what the submitter does to `needed` after it comes
//! after the clearing.
//!
//! Models: `loom_tests.rs`: submitters against Ms that look or go idle; `halt_tests.rs`: the same
//! with Ms that halt and are woken.

use crate::primitive::{AtomicBool, AtomicU32, Ordering, fence};

/// The Ms that look for work.
pub struct Spinning {
    count: AtomicU32,
    needed: AtomicBool,
}

impl Spinning {
    /// Nobody looks.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            needed: AtomicBool::new(false),
        }
    }

    /// Nobody looks.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            needed: AtomicBool::new(false),
        }
    }

    /// How many look (Go: `nmspinning`). A hint.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Submitter, after the work was published: whether it has to wake an M.
    #[inline]
    pub fn submitted(&self, a_p_is_idle: impl FnOnce() -> bool) -> bool {
        // Pairs with the fence of `give_up`.
        fence(Ordering::SeqCst);
        // With no idle P all that is left to do is to set `needed`; if it is set, whoever clears it
        // looks at all queues afterwards.
        self.count() == 0 && (a_p_is_idle() || !self.needed.load(Ordering::Relaxed))
    }

    /// Waker: counts the M that it is going to wake, if nobody else looks. If it wakes none after
    /// all, it calls [`Spinning::woke_nobody`].
    pub fn try_begin_for_other(&self) -> bool {
        self.count
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Waker, under the lock under which it found no P or no M: the next M that would go idle shall
    /// look, and the count is what it was.
    ///
    /// Not after the lock: an M could find the work, clear `needed`, look again in vain and go to
    /// sleep, while another submitter relies on a count with nobody behind it.
    pub fn woke_nobody(&self) {
        self.need();
        self.found();
    }

    /// The M begins to look: at all queues, after this.
    pub fn begin(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.needed.store(false, Ordering::Release);
    }

    /// The M stops looking, because it has work. The caller then does as if it had submitted some,
    /// since where one goroutine was there may be more.
    pub fn found(&self) {
        let before = self.count.fetch_sub(1, Ordering::AcqRel);
        assert!(before > 0, "negative nmspinning");
    }

    /// The M stops looking, having put its P on the idle list. It looks at all queues once more:
    /// every M, not just the last, since a waker raises the count before it knows of an M.
    pub fn give_up(&self) {
        self.found();
        // Pairs with the fence of `submitted`.
        fence(Ordering::SeqCst);
    }

    /// Under the lock: the next M that would go idle shall look instead (Go: `needspinning`).
    pub fn need(&self) {
        self.needed.store(true, Ordering::Release);
    }

    /// Whether the next M that would go idle shall look instead.
    pub fn is_needed(&self) -> bool {
        self.needed.load(Ordering::Acquire)
    }
}

#[cfg(all(test, loom))]
mod halt_tests;

#[cfg(all(test, loom))]
mod loom_tests;

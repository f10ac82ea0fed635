//! Who keeps the timers: the one sleeping M that is woken when the first timer of any P is due.
//!
//! # Protocol
//!
//! Words: `who` keeps them, and `until`, when that M's own timer wakes it.
//!
//! ```text
//! who arms a timer                        keeper
//!   min_when of its P = when                who = me
//!   fence (SeqCst)                          until = the first of all min_when
//!   if who && when < until: poke who        fence (SeqCst)
//!                                           again, if one is earlier by now
//!                                           halt (`note`: a poke ends it)
//! ```
//!
//! By the two fences either the keeper sees the new deadline, or whoever armed it sees the keeper
//! and until when it sleeps. Both may; then one poke is for nothing.
//!
//! A keeper that is called to run something stops, and `who` is nobody. An M that was about to
//! sleep without a deadline, relying on the keeper, looks at `who` after it has announced the halt,
//! and the keeper that stopped pokes one that sleeps: by the fences of [`note`] one of the two
//! happens (`idle::pass_on_keeping`).
//!
//! Models: `loom_tests.rs`: keepers that fall asleep against those who arm timers and those who
//! call the keeper away, with the steps of `idle.rs` around it.
//!
//! [`note`]: crate::sched::note

use crate::base::aref::AtomicRef;
use crate::primitive::{AtomicU64, Ordering, fence};
use crate::sched::timers::NEVER;

/// The M that keeps the timers, if any.
pub struct Keeper<M: 'static> {
    who: AtomicRef<M>,
    until: AtomicU64,
}

impl<M: Sync> Keeper<M> {
    /// Nobody.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            who: AtomicRef::none(),
            until: AtomicU64::new(NEVER),
        }
    }

    /// Nobody.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            who: AtomicRef::none(),
            until: AtomicU64::new(NEVER),
        }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.who.load(Ordering::SeqCst).is_some()
    }

    /// The M becomes the keeper, if there is none.
    pub fn begin(&self, m: &'static M) -> bool {
        self.who
            .compare_exchange(None, Some(m), Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// The keeper: publishes until when it will sleep, which is when the first timer is due.
    pub fn settle(&self, first_timer: impl Fn() -> u64) -> u64 {
        let mut until = first_timer();
        loop {
            self.until.store(until, Ordering::SeqCst);
            // Pairs with the fence of `sleeps_past`.
            fence(Ordering::SeqCst);
            let again = first_timer();
            if again >= until {
                return until;
            }
            until = again;
        }
    }

    /// The M no longer keeps the timers, if it did: until when it would have slept.
    pub fn end(&self, m: &'static M) -> Option<u64> {
        let kept = self.who.load(Ordering::Relaxed);
        if !kept.is_some_and(|keeper| core::ptr::eq(keeper, m)) {
            return None;
        }
        let until = self.until.swap(NEVER, Ordering::SeqCst);
        self.who.store(None, Ordering::SeqCst);
        Some(until)
    }

    /// Who armed a timer: the keeper, if it sleeps past this deadline and is to be poked.
    #[must_use = "a keeper that is not poked sleeps past the timer"]
    pub fn sleeps_past(&self, when_ns: u64) -> Option<&'static M> {
        // Pairs with the fence of `settle`.
        fence(Ordering::SeqCst);
        let keeper = self.who.load(Ordering::SeqCst)?;
        (when_ns < self.until.load(Ordering::SeqCst)).then_some(keeper)
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

//! The state word of a mutex: Go's protocol without its queue, so that a model can drive it.
//!
//! | bit | meaning | set by | cleared by |
//! | --- | --- | --- | --- |
//! | `LOCKED` | somebody holds the mutex | who takes it; who hands it over | its holder |
//! | `WOKEN` | a waiter is awake and competes: wake no other | unlock; a spinner | that waiter |
//! | `STARVING` | only handed over, not taken | a waiter of over 1 ms that lost again | see below |
//! | `WAITING` | the queue may not be empty | who queues itself | who empties the queue |
//!
//! The queue has a lock of its own. `WAITING` and `STARVING` are set and cleared under it, but for
//! the new holder that ends starvation ([`MutexState::end_starvation`]), and so is who is waked: so
//! while the queue's lock is free, a queue with somebody in it implies `WAITING`. Nothing is on its
//! way between word and queue, as Go's semaphore counts are; that is what lets a waiter give up.
//!
//! # Who gets the mutex
//!
//! - *Normal mode*: whoever makes the word `LOCKED` by compare-and-swap. Who unlocks wakes the
//!   first waiter, unless one is awake already; the woken one competes with those who come by, and
//!   if it loses it goes back to the front. They have the advantage of running, and many of them
//!   keep a waiter out for ever; therefore
//! - *starvation mode*: `STARVING` keeps everybody from taking the mutex. Who unlocks leaves
//!   `LOCKED` clear for a moment, and under the queue's lock makes the first waiter the holder.
//!   The mode ends when that waiter is the last, or waited less than 1 ms, or when none is left.
//!
//! `WOKEN` belongs to one goroutine, which gives it up in the same step in which it takes the mutex
//! or queues itself. So it is never set together with `STARVING`.
//!
//! # Orderings
//!
//! Taking is acquire and unlocking is release: the next holder sees what the last one wrote. A
//! hand-over reads the word with acquire, and reaches the new holder through the queue's lock. An
//! unlocker that saw no `WAITING` and a waiter that saw `LOCKED` cannot both be right: the two
//! change the same word. All other changes are read-modify-writes too, relaxed: they prolong the
//! release of the last unlock.
//!
//! Models: `loom_tests.rs`: with the steps of `RawMutex` and a queue around the word.

use crate::primitive::{AtomicU32, Ordering};

const LOCKED: u32 = 1;
const WOKEN: u32 = 2;
const STARVING: u32 = 4;
const WAITING: u32 = 8;

/// A value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u32);

impl Seen {
    /// Whoever comes may take the mutex.
    pub(super) fn is_free(self) -> bool {
        self.0 & (LOCKED | STARVING) == 0
    }

    /// Held, and the holder will not hand it over: worth spinning.
    pub(super) fn is_held_normally(self) -> bool {
        self.0 & (LOCKED | STARVING) == LOCKED
    }
}

/// What a goroutine brings to its next attempt.
#[derive(Clone, Copy, Default)]
pub(super) struct Attempt {
    /// It is the one that `WOKEN` stands for.
    pub(super) awake: bool,
    /// It has waited for too long.
    pub(super) starving: bool,
}

/// What is to be done with a waiter that was taken out of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Wake it, to compete.
    Wake,
    /// The mutex is its own.
    HandOver,
}

/// The state word.
pub(super) struct MutexState {
    word: AtomicU32,
}

impl MutexState {
    /// Free.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// Free.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// The word now.
    pub(super) fn load(&self) -> Seen {
        Seen(self.word.load(Ordering::Relaxed))
    }

    /// Whether somebody holds the mutex.
    pub(super) fn is_locked(&self) -> bool {
        self.word.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Takes a mutex that nobody holds, wants or wakes for: the whole fast path.
    #[inline(always)]
    pub(super) fn lock_fast(&self) -> bool {
        self.word
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the mutex if it is free, whoever waits.
    pub(super) fn try_lock(&self) -> bool {
        loop {
            let seen = self.load();
            if !seen.is_free() {
                return false;
            }
            if self.take(seen, Attempt::default()) {
                return true;
            }
        }
    }

    /// Takes the mutex that was seen free, if the word is still the same.
    pub(super) fn take(&self, seen: Seen, attempt: Attempt) -> bool {
        debug_assert!(seen.is_free(), "taken from its holder");
        let woken = if attempt.awake { WOKEN } else { 0 };
        self.change(seen, (seen.0 | LOCKED) & !woken)
    }

    /// A spinner: asks that nobody be woken, since it is awake itself.
    pub(super) fn claim_woken(&self, seen: Seen) -> bool {
        seen.0 & WOKEN == 0 && seen.0 & WAITING != 0 && self.change(seen, seen.0 | WOKEN)
    }

    /// Under the queue's lock: says that the caller is about to queue itself, if the word, which
    /// was not free, is still the same.
    pub(super) fn queue(&self, seen: Seen, attempt: Attempt) -> bool {
        debug_assert!(!seen.is_free(), "waits for nobody");
        let mut to = seen.0 | WAITING;
        // Not while it is handed over: the mode may be about to end.
        if attempt.starving && seen.0 & LOCKED != 0 {
            to |= STARVING;
        }
        if attempt.awake {
            to &= !WOKEN;
        }
        self.change(seen, to)
    }

    fn change(&self, from: Seen, to: u32) -> bool {
        self.word
            .compare_exchange(from.0, to, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// The holder lets go. What is left of the word: nothing if nobody else is concerned.
    #[inline(always)]
    pub(super) fn unlock_fast(&self) -> u32 {
        self.word
            .fetch_sub(LOCKED, Ordering::Release)
            .wrapping_sub(LOCKED)
    }

    /// With what [`MutexState::unlock_fast`] left: whether it was locked at all.
    pub(super) fn was_locked(left: u32) -> bool {
        left.wrapping_add(LOCKED) & LOCKED != 0
    }

    /// Whether somebody may have to be woken: a look that spares the queue's lock.
    pub(super) fn has_next(left: u32) -> bool {
        left & WAITING != 0 && left & (LOCKED | WOKEN) == 0
    }

    /// Under the queue's lock: what the word asks to be done for those who wait, if anything, and
    /// the waiter whom it is about. `dequeue` takes out the first that time has not taken, and says
    /// whether the queue is empty then.
    ///
    /// Asks nothing of the past, so it may be called once too often, and late.
    pub(super) fn next<W>(&self, dequeue: impl FnOnce() -> (Option<W>, bool)) -> Option<(W, Next)> {
        loop {
            let seen = Seen(self.word.load(Ordering::Acquire));
            if !Self::has_next(seen.0) {
                return None;
            }
            if seen.0 & STARVING != 0 {
                let (waiter, empty) = dequeue();
                let to = match (&waiter, empty) {
                    (None, _) => 0,
                    (Some(_), true) => LOCKED,
                    (Some(_), false) => LOCKED | STARVING | WAITING,
                };
                // Nobody else changes a word that is starving and not locked.
                self.word.store(to, Ordering::Release);
                return waiter.map(|waiter| (waiter, Next::HandOver));
            }
            if self.change(seen, seen.0 | WOKEN) {
                let (waiter, empty) = dequeue();
                let mut done = if empty { WAITING } else { 0 };
                if waiter.is_none() {
                    done |= WOKEN;
                }
                self.word.fetch_and(!done, Ordering::Relaxed);
                return waiter.map(|waiter| (waiter, Next::Wake));
            }
        }
    }

    /// The holder, which did not wait for long: those behind it need no hand-over.
    pub(super) fn end_starvation(&self) {
        self.word.fetch_and(!STARVING, Ordering::Relaxed);
    }

    /// Under the queue's lock: a waiter gave up and the queue is empty.
    pub(super) fn nobody_waits(&self) {
        self.word
            .fetch_and(!(WAITING | STARVING), Ordering::Relaxed);
    }

    /// Under the queue's lock: a goroutine that `WOKEN` stands for gives up.
    pub(super) fn not_awake(&self) {
        self.word.fetch_and(!WOKEN, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(all(test, not(loom)))]
mod tests;

//! The state word of a WaitGroup: Go's protocol without its queue, so that a model can drive it.
//!
//! High half: the counter. Low half: how many wait. The counter changes by one addition, without
//! the queue's lock; the number of waiters changes under it.
//!
//! Whoever brings the counter to zero and sees waiters in the same instant is to release them: it
//! takes the queue's lock and makes the whole word zero, which is the moment at which the group is
//! open. A waiter counts itself by compare-and-swap on a word whose counter is not zero, under the
//! lock. So of a waiter and a last `done`, either the waiter sees zero, or `done` sees the waiter.
//!
//! A waiter whose time is up takes itself off the count, if its round was not released meanwhile.
//! Then the releaser may find nobody, or even the next round, and goes by what the word says then,
//! not by what made it come.
//!
//! Between zero and the release nobody may add: whoever waits would miss that the group had been
//! empty. The one who adds sees that, and is told. (Go tells the releaser too, if the word has
//! changed; here it may have changed for good reasons.)
//!
//! Orderings: `add` is acquire and release, looking at the counter is acquire: who waited sees what
//! all did before their `done`.
//!
//! Models: `loom_tests.rs`: with a queue around the word.

use crate::primitive::{AtomicU64, Ordering};

const ONE: u64 = 1 << 32;

/// What an addition means for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    /// Nothing more.
    Done,
    /// Zero, and somebody waits: release them.
    Release,
    /// The counter is below zero.
    Negative,
    /// It was zero with waiters who have not been released yet.
    Misuse,
}

/// Counter and number of waiters.
pub(super) struct GroupState {
    word: AtomicU64,
}

fn counter(word: u64) -> i32 {
    (word >> 32) as i32
}

fn waiters(word: u64) -> u32 {
    word as u32
}

impl GroupState {
    /// Nobody to wait for, and nobody waits.
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
        }
    }

    /// Whether the counter is zero.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        counter(self.word.load(Ordering::Acquire)) == 0
    }

    /// Whether nobody has begun a new round: after a release, before the waiters have returned.
    pub(super) fn is_unused(&self) -> bool {
        self.word.load(Ordering::Acquire) == 0
    }

    /// Adds to the counter: one locked instruction.
    #[inline]
    pub(super) fn add(&self, delta: i32) -> Added {
        let addend = ONE.wrapping_mul(i64::from(delta) as u64);
        let before = self.word.fetch_add(addend, Ordering::AcqRel);
        let word = before.wrapping_add(addend);
        let (now, waiters) = (counter(word), waiters(word));
        // First what is usual.
        if now >= 0 && waiters == 0 {
            Added::Done
        } else if now < 0 {
            Added::Negative
        } else if now == 0 {
            Added::Release
        } else if delta < 0 || now != delta {
            Added::Done
        } else {
            Added::Misuse
        }
    }

    /// Under the queue's lock: counts the caller as a waiter. False: the counter is zero.
    pub(super) fn begin_wait(&self) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        while counter(word) != 0 {
            match self
                .word
                .compare_exchange(word, word + 1, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Under the queue's lock: a waiter that was not released gives up.
    pub(super) fn end_wait(&self) {
        self.word.fetch_sub(1, Ordering::Relaxed);
    }

    /// Under the queue's lock, after [`Added::Release`]: if the counter is zero and somebody waits,
    /// takes all waiters off the word. Whether it did.
    pub(super) fn open(&self) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        while counter(word) == 0 && waiters(word) > 0 {
            match self
                .word
                .compare_exchange(word, 0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

//! The status word of a G: who owns its stack, and a lock on every change of that.
//!
//! Only whoever owns the G by its status moves it on, so there is never a race between two
//! transitions, but there is one between a transition and a scanner: [`SCAN`] ORed in holds the
//! status where it is while somebody looks at the stack. Waits have no part in this word: that each
//! park is ended once is the matter of the queue, or of the ticket, that the waker got it from.
//!
//! # Orderings
//!
//! A transition is acquire-release: what the old owner wrote to the G and its stack is seen by the
//! new one. A claim acquires, so the scanner sees what the owner saved before it let go; its end
//! releases, so whoever moves the G on writes to the stack after the scanner has read it.
//!
//! Models: `loom_tests.rs`: parks against wakers, thieves and scanners, with the steps of
//! [`park`](crate::sched::park) around the word.

use crate::primitive::{AtomicU32, Ordering};

/// What a goroutine is doing (Go: `_Gidle` … `_Gdead`, with Go's numbers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Status {
    /// Just made, not yet published.
    Idle = 0,
    /// On a run queue.
    Runnable = 1,
    /// On an M with a P.
    Running = 2,
    /// Parked; not on a run queue.
    Waiting = 4,
    /// Ended, or on a free list.
    Dead = 6,
}

/// The scan bit (Go: `_Gscan`).
pub const SCAN: u32 = 0x1000;

impl Status {
    /// The status that a word stands for, without its scan bit.
    pub fn of(word: u32) -> Status {
        match word & !SCAN {
            1 => Status::Runnable,
            2 => Status::Running,
            4 => Status::Waiting,
            6 => Status::Dead,
            _ => Status::Idle,
        }
    }
}

/// The word.
#[repr(transparent)] // a debugger reads it as an u32
pub struct StatusWord {
    word: AtomicU32,
}

impl StatusWord {
    /// Of a G that was never used.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            word: AtomicU32::new(Status::Idle as u32),
        }
    }

    /// Of a G that was never used.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            word: AtomicU32::new(Status::Idle as u32),
        }
    }

    /// The word, scan bit and all.
    #[inline(always)]
    pub fn load(&self) -> u32 {
        self.word.load(Ordering::Acquire)
    }

    /// Owner: from one status to another.
    ///
    /// # Errors
    /// The word, if it is another: a scanner holds the G, or the caller does not own it.
    #[inline(always)]
    pub fn change(&self, from: Status, to: Status) -> Result<(), u32> {
        self.word
            .compare_exchange(from as u32, to as u32, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }

    /// Owner: goes on with a [`StatusWord::change`] that found this word, and calls `wait` as long
    /// as a scanner holds the G.
    ///
    /// # Errors
    /// The word, if the caller does not own the G.
    #[cold]
    pub fn change_after(
        &self,
        mut found: u32,
        from: Status,
        to: Status,
        mut wait: impl FnMut(),
    ) -> Result<(), u32> {
        while found == from as u32 | SCAN || found == from as u32 {
            wait();
            match self.change(from, to) {
                Ok(()) => return Ok(()),
                Err(now) => found = now,
            }
        }
        Err(found)
    }

    /// Scanner: holds a G that is not running where it is (Go: `castogscanstatus`). False if its
    /// status is another, or another scanner has it.
    pub fn try_claim(&self, status: Status) -> bool {
        self.word
            .compare_exchange(
                status as u32,
                status as u32 | SCAN,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Scanner: ends a [`StatusWord::try_claim`] (Go: `casfrom_Gscanstatus`).
    pub fn unclaim(&self) {
        self.word.fetch_and(!SCAN, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

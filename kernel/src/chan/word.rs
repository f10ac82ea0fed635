//! What everybody may see of a channel without its lock: how many values it holds, and what else
//! there is to it.
//!
//! # Protocol
//!
//! The word changes under the channel's lock alone. It counts the values exactly. Its marks are on
//! the safe side: what is there is marked whenever the lock is free; what has gone may be marked
//! still, until somebody who is led astray by it puts it right.
//!
//! - Who holds the lock and finds no mark in the way puts a value in, or takes one out, without a
//!   look at the queues (`takes_value`, `gives_value`).
//! - Who does not hold the lock may conclude that an operation would wait, from one load
//!   (`send_would_wait`, `recv_would_wait`): such an answer was true at that instant. Nothing else
//!   follows without the lock.
//!
//! An answer of "would wait" is also a message: "no room" means that a receiver has yet to come,
//! who will see what was done before the answer. So the load stands behind a fence
//! ([`Word::glance`]), and so does whatever comes after a change ([`Word::set`]): of two who each
//! change something and then look at the other's, at least one sees the other's change. (Go's
//! `empty` and `full` lean on the locked instruction that ends each hold of a channel's lock.) And
//! whoever sees a change sees what was done before it: release and acquire, plain moves on x86.
//!
//! Models: `loom_tests.rs`.

use crate::primitive::{AtomicU64, Ordering, fence};

/// No value will be accepted any more.
const CLOSED: u64 = 1;
/// Somebody may be in the senders' queue.
const SENDERS: u64 = 1 << 1;
/// In the receivers' queue.
const RECEIVERS: u64 = 1 << 2;
/// In the queue of those who wait for a change of readiness.
const WATCHERS: u64 = 1 << 3;
/// Places may be granted to lazy senders.
const RESERVED: u64 = 1 << 4;
/// One value.
const VALUE: u64 = 1 << 8;

/// The word of a channel.
pub(super) struct Word {
    word: AtomicU64,
}

impl Word {
    /// Open and empty.
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
        }
    }

    /// Without the lock.
    #[inline(always)]
    pub(super) fn glance(&self) -> View {
        // Pairs with the fence of `set`.
        fence(Ordering::SeqCst);
        self.hint()
    }

    /// Without the lock, and without the fence that a conclusion needs.
    #[inline(always)]
    pub(super) fn hint(&self) -> View {
        // Pairs with the release of `set`.
        View(self.word.load(Ordering::Acquire))
    }

    /// With the lock, which orders it after the last change.
    #[inline(always)]
    pub(super) fn get(&self) -> View {
        View(self.word.load(Ordering::Relaxed))
    }

    /// With the lock.
    #[inline(always)]
    pub(super) fn set(&self, view: View) {
        // Pairs with the acquire of `hint`.
        self.word.store(view.0, Ordering::Release);
        // Pairs with the fence of `glance`.
        fence(Ordering::SeqCst);
    }
}

/// A value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct View(u64);

impl View {
    /// How many values.
    #[inline(always)]
    pub(super) fn len(self) -> usize {
        (self.0 / VALUE) as usize
    }

    #[inline(always)]
    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Whether places may be granted to lazy senders.
    #[inline(always)]
    pub(super) fn is_reserved(self) -> bool {
        self.0 & RESERVED != 0
    }

    /// Whether a value may go into the buffer without more ado; `room`: of the empty buffer.
    #[inline(always)]
    pub(super) fn takes_value(self, room: usize) -> bool {
        self.0 & (CLOSED | RECEIVERS | WATCHERS | RESERVED) == 0 && self.len() < room
    }

    /// Whether a value may be taken out of the buffer without more ado.
    #[inline(always)]
    pub(super) fn gives_value(self) -> bool {
        self.0 & (SENDERS | WATCHERS) == 0 && self.0 >= VALUE
    }

    /// Whether a send would certainly have to wait.
    #[inline(always)]
    pub(super) fn send_would_wait(self, room: usize) -> bool {
        self.0 & (CLOSED | RECEIVERS) == 0 && self.len() >= room
    }

    /// Whether a receive would certainly have to wait.
    #[inline(always)]
    pub(super) fn recv_would_wait(self) -> bool {
        self.0 & !(RECEIVERS | WATCHERS) == 0
    }

    #[inline(always)]
    pub(super) fn with_value(self) -> Self {
        View(self.0 + VALUE)
    }

    #[inline(always)]
    pub(super) fn without_value(self) -> Self {
        View(self.0 - VALUE)
    }

    #[inline(always)]
    pub(super) fn without_values(self) -> Self {
        View(self.0 % VALUE)
    }

    pub(super) fn closed(self) -> Self {
        View(self.0 | CLOSED)
    }

    /// Somebody goes into the senders' queue.
    pub(super) fn with_sender(self) -> Self {
        View(self.0 | SENDERS)
    }

    /// Into the receivers' queue.
    pub(super) fn with_receiver(self) -> Self {
        View(self.0 | RECEIVERS)
    }

    /// Into the queue of those who watch.
    pub(super) fn with_watcher(self) -> Self {
        View(self.0 | WATCHERS)
    }

    /// A place is granted.
    pub(super) fn with_reserved(self) -> Self {
        View(self.0 | RESERVED)
    }

    /// Marked with what is there and nothing else.
    pub(super) fn marked(
        self,
        senders: bool,
        receivers: bool,
        watchers: bool,
        reserved: bool,
    ) -> Self {
        let mark = |there: bool, mark| if there { mark } else { 0 };
        View(
            self.0 & !(SENDERS | RECEIVERS | WATCHERS | RESERVED)
                | mark(senders, SENDERS)
                | mark(receivers, RECEIVERS)
                | mark(watchers, WATCHERS)
                | mark(reserved, RESERVED),
        )
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

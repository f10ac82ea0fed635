//! Channels: Go's semantics under crossbeam-channel's names.
//!
//! # Invariants, under the channel's lock
//!
//! - At least one of the two wait queues is empty.
//! - Values in the buffer imply that no receiver waits; room in the buffer implies that no sender
//!   waits.
//!
//! A value goes straight to a waiting receiver, or from a waiting sender, without passing through
//! the buffer: the peer stands still, parked, and its sudog says where its value is. Waiters are
//! served first in, first out. Nobody is readied while the lock is held.

mod error;
mod raw;

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

pub use error::{
    CloseError, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError,
    TrySendError,
};
use raw::Chan;

use crate::sched::wait::Limit;

/// A channel that holds at most `cap` values; 0: each send waits for its receive.
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    let chan = Arc::new(Chan::new(cap));
    (Sender { chan: chan.clone() }, Receiver { chan })
}

/// The sending side. Clones are the same channel; when the last is dropped, the channel closes.
pub struct Sender<T> {
    chan: Arc<Chan<T>>,
}

/// The receiving side. Clones are the same channel; when the last is dropped, senders are told.
pub struct Receiver<T> {
    chan: Arc<Chan<T>>,
}

impl<T> Sender<T> {
    /// Sends; waits for room, or for a receiver.
    ///
    /// # Errors
    /// The channel is closed, or all receivers are gone; the value comes back.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.chan
            .send(value, Limit::Forever)
            .map_err(|e| SendError(e.into_inner()))
    }

    /// Sends if this is possible at once.
    ///
    /// # Errors
    /// No room, or disconnected; the value comes back.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.chan.send(value, Limit::Now).map_err(|e| match e {
            SendTimeoutError::Timeout(v) => TrySendError::Full(v),
            SendTimeoutError::Disconnected(v) => TrySendError::Disconnected(v),
        })
    }

    /// Sends; waits at most `timeout`.
    ///
    /// # Errors
    /// Time is up, or disconnected; the value comes back.
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.chan.send(value, Limit::after(timeout))
    }

    /// Closes the channel for all its clones: receivers drain it and are then disconnected
    /// (Go: `close`).
    ///
    /// # Errors
    /// It is closed already.
    pub fn close(&self) -> Result<(), CloseError> {
        self.chan.close()
    }
}

impl<T> Receiver<T> {
    /// Receives; waits for a value.
    ///
    /// # Errors
    /// The channel is empty, and closed or without senders.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.chan.recv(Limit::Forever).map_err(|_| RecvError)
    }

    /// Receives what is there at once.
    ///
    /// # Errors
    /// Empty, or empty and disconnected.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.chan.recv(Limit::Now).map_err(|e| match e {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives; waits at most `timeout`.
    ///
    /// # Errors
    /// Time is up, or the channel is empty and disconnected.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.chan.recv(Limit::after(timeout))
    }

    /// The values until the channel is empty and disconnected; waits for each (Go: `range`).
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

macro_rules! both_sides {
    ($side:ident, $added:ident, $dropped:ident) => {
        impl<T> $side<T> {
            /// How many values the buffer holds.
            pub fn len(&self) -> usize {
                self.chan.len()
            }

            /// Whether the buffer holds nothing.
            pub fn is_empty(&self) -> bool {
                self.chan.len() == 0
            }

            /// Whether a send would wait for room. A rendezvous channel is always full.
            pub fn is_full(&self) -> bool {
                self.chan.len() == self.chan.capacity()
            }

            /// How many values the buffer can hold.
            pub fn capacity(&self) -> Option<usize> {
                Some(self.chan.capacity())
            }

            /// Whether it was closed by [`Sender::close`] or by the last sender's end.
            pub fn is_closed(&self) -> bool {
                self.chan.is_closed()
            }

            /// Whether both are the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.chan, &other.chan)
            }
        }

        impl<T> Clone for $side<T> {
            fn clone(&self) -> Self {
                self.chan.$added();
                Self {
                    chan: self.chan.clone(),
                }
            }
        }

        impl<T> Drop for $side<T> {
            fn drop(&mut self) {
                self.chan.$dropped();
            }
        }

        impl<T> fmt::Debug for $side<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($side), " { .. }"))
            }
        }
    };
}

both_sides!(Sender, sender_added, sender_dropped);
both_sides!(Receiver, receiver_added, receiver_dropped);

/// Iterates over received values; see [`Receiver::iter`].
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

/// Iterates over received values, owning the receiver.
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

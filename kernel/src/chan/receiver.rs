//! The receiving side, and its iterators.

use alloc::sync::Arc;
use core::fmt;
use core::iter::FusedIterator;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::base::instant::Instant;
use crate::chan::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::chan::raw::Chan;
use crate::chan::timechan::TimeChan;
use crate::sched::park::{self, WaitReason};
use crate::sched::wait::{self, Limit};

/// The receiving side of a channel. Clones are the same channel, and each value goes to one of
/// them; when the last is dropped, what the channel holds is dropped, and senders are told.
///
/// ```
/// use gosched::{chan, go};
///
/// let (s, r) = chan::bounded(0);
/// go(move || s.send("hello").unwrap());
/// assert_eq!(r.recv(), Ok("hello"));
/// assert!(r.recv().is_err()); // the sender is gone
/// ```
pub struct Receiver<T> {
    pub(super) flavor: Flavor<T>,
}

/// Where values come from.
pub(super) enum Flavor<T> {
    /// From senders.
    Chan(Arc<Chan<T>>),
    /// From the clock; and whether a value that is due shows in `len`.
    Clock(Arc<TimeChan<T>>, bool),
    /// From nowhere.
    Never,
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// Receives; waits for a value (Go: `<-c`; `crossbeam_channel::Receiver::recv`).
    ///
    /// # Errors
    /// The channel is empty, and closed or without senders.
    ///
    /// ```
    /// use gosched::chan::{self, RecvError};
    ///
    /// let (s, r) = chan::unbounded();
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!((r.recv(), r.recv()), (Ok(5), Err(RecvError)));
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive(Limit::Forever).map_err(|_| RecvError)
    }

    /// Receives what is there at once.
    ///
    /// # Errors
    /// Empty, or empty and disconnected.
    ///
    /// ```
    /// use gosched::chan::{self, TryRecvError};
    ///
    /// let (s, r) = chan::bounded::<i32>(1);
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    /// drop(s);
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receive(Limit::Now).map_err(|e| match e {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives; waits at most `timeout`.
    ///
    /// # Errors
    /// Time is up, or the channel is empty and disconnected.
    ///
    /// ```
    /// use core::time::Duration;
    /// use gosched::chan::{self, RecvTimeoutError};
    ///
    /// let (_s, r) = chan::bounded::<i32>(1);
    /// let ms = Duration::from_millis(1);
    /// assert_eq!(r.recv_timeout(ms), Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive(Limit::after(timeout))
    }

    /// Receives; waits until `deadline`.
    ///
    /// # Errors
    /// As for [`Receiver::recv_timeout`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use gosched::{chan, time::Instant};
    ///
    /// let (_s, r) = chan::bounded::<i32>(1);
    /// assert!(r.recv_deadline(Instant::now() + Duration::from_millis(1)).is_err());
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.receive(Limit::until(deadline))
    }

    #[inline(always)]
    fn receive(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        match &self.flavor {
            Flavor::Chan(chan) => chan.recv(limit),
            Flavor::Clock(chan, _) => chan.recv(limit),
            Flavor::Never => {
                receive_nothing(limit);
                Err(RecvTimeoutError::Timeout)
            }
        }
    }

    /// The values until the channel is empty and disconnected; waits for each (Go: `range`).
    ///
    /// ```
    /// use gosched::{chan, go};
    ///
    /// let (s, r) = chan::bounded(2);
    /// go(move || (1..=3).for_each(|i| s.send(i).unwrap()));
    /// assert_eq!(r.iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The values that are there now; ends, without waiting, when the channel is empty.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// let (s, r) = chan::unbounded();
    /// s.send(1).unwrap();
    /// assert_eq!(r.try_iter().count(), 1);
    /// assert_eq!(r.try_iter().count(), 0);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// How many values wait to be received.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// let (s, r) = chan::bounded(2);
    /// assert!(r.is_empty() && !r.is_full());
    /// s.send(1).unwrap();
    /// assert_eq!((r.len(), r.capacity()), (1, Some(2)));
    /// ```
    pub fn len(&self) -> usize {
        match &self.flavor {
            Flavor::Chan(chan) => chan.len(),
            Flavor::Clock(chan, true) => usize::from(chan.is_ready()),
            Flavor::Clock(_, false) | Flavor::Never => 0,
        }
    }

    /// Whether no value waits to be received. A rendezvous channel is always empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer has no room. A rendezvous channel is always full.
    pub fn is_full(&self) -> bool {
        match &self.flavor {
            Flavor::Chan(chan) => chan.is_full(),
            Flavor::Clock(chan, true) => chan.is_ready(),
            Flavor::Clock(_, false) | Flavor::Never => true,
        }
    }

    /// How many values the buffer can hold; `None`: as many as memory does.
    pub fn capacity(&self) -> Option<usize> {
        match &self.flavor {
            Flavor::Chan(chan) => chan.capacity(),
            Flavor::Clock(_, shows_len) => Some(usize::from(*shows_len)),
            Flavor::Never => Some(0),
        }
    }

    /// Whether the channel is closed: what it holds can still be received, and nothing after it.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// let (s, r) = chan::bounded::<i32>(1);
    /// assert!(!r.is_closed());
    /// drop(s);
    /// assert!(r.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        match &self.flavor {
            Flavor::Chan(chan) => chan.is_closed(),
            Flavor::Clock(..) | Flavor::Never => false,
        }
    }

    /// Whether both receive from the same channel.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// let (_s, r) = chan::unbounded::<i32>();
    /// assert!(r.same_channel(&r.clone()));
    /// assert!(!r.same_channel(&chan::unbounded().1));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.flavor, &other.flavor) {
            (Flavor::Chan(a), Flavor::Chan(b)) => Arc::ptr_eq(a, b),
            (Flavor::Clock(a, _), Flavor::Clock(b, _)) => Arc::ptr_eq(a, b),
            (Flavor::Never, Flavor::Never) => true,
            _ => false,
        }
    }
}

/// Waits for what never comes (Go: a receive from a nil channel).
fn receive_nothing(limit: Limit) {
    match limit {
        Limit::Now => {}
        Limit::Until(until_ns) => wait::sleep_until(until_ns),
        Limit::Forever => park::park_forever(WaitReason::ChanReceiveNil),
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let flavor = match &self.flavor {
            Flavor::Chan(chan) => {
                chan.receiver_added();
                Flavor::Chan(chan.clone())
            }
            Flavor::Clock(chan, shows_len) => Flavor::Clock(chan.clone(), *shows_len),
            Flavor::Never => Flavor::Never,
        };
        Self { flavor }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Flavor::Chan(chan) = &self.flavor {
            chan.receiver_dropped();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

/// Iterates over received values, waiting for each; see [`Receiver::iter`].
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

/// Iterates over the values that are there; see [`Receiver::try_iter`].
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

/// Iterates over received values, waiting for each, and owns the receiver.
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
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

//! The sending side.

use alloc::sync::Arc;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::base::instant::Instant;
use crate::chan::error::{CloseError, SendError, SendTimeoutError, TrySendError};
use crate::chan::raw::Chan;
use crate::sched::wait::Limit;

/// The sending side of a channel. Clones are the same channel; when the last is dropped, the
/// channel closes.
///
/// ```
/// use gosched::chan;
///
/// let (s1, r) = chan::unbounded();
/// let s2 = s1.clone();
/// s1.send(1).unwrap();
/// s2.send(2).unwrap();
/// drop((s1, s2));
/// assert_eq!(r.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    pub(super) chan: Arc<Chan<T>>,
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Sends; waits for room, or, on a rendezvous channel, for a receiver. A receiver that waits
    /// gets the value at once, without a detour through the buffer, and runs next on this P.
    /// (Go: `c <- v`; `crossbeam_channel::Sender::send`.)
    ///
    /// # Errors
    /// The channel is closed, or all receivers are gone; the value comes back.
    ///
    /// ```
    /// use gosched::chan::{self, SendError};
    ///
    /// let (s, r) = chan::bounded(1);
    /// assert_eq!(s.send(1), Ok(()));
    /// drop(r);
    /// assert_eq!(s.send(2), Err(SendError(2)));
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.chan
            .send(value, Limit::Forever)
            .map_err(|e| SendError(e.into_inner()))
    }

    /// Sends if this is possible at once.
    ///
    /// # Errors
    /// No room (on a rendezvous channel: nobody receives now), or disconnected; the value comes
    /// back.
    ///
    /// ```
    /// use gosched::chan::{self, TrySendError};
    ///
    /// let (s, r) = chan::bounded(1);
    /// assert_eq!(s.try_send(1), Ok(()));
    /// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    /// drop(r);
    /// assert_eq!(s.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
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
    ///
    /// ```
    /// use core::time::Duration;
    /// use gosched::chan::{self, SendTimeoutError};
    ///
    /// let (s, r) = chan::bounded(0);
    /// let ms = Duration::from_millis(1);
    /// assert_eq!(s.send_timeout(1, ms), Err(SendTimeoutError::Timeout(1)));
    /// drop(r);
    /// assert_eq!(s.send_timeout(2, ms), Err(SendTimeoutError::Disconnected(2)));
    /// ```
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.chan.send(value, Limit::after(timeout))
    }

    /// Sends; waits until `deadline`.
    ///
    /// # Errors
    /// As for [`Sender::send_timeout`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use gosched::{chan, time::Instant};
    ///
    /// let (s, _r) = chan::bounded(0);
    /// assert!(s.send_deadline(1, Instant::now() + Duration::from_millis(1)).is_err());
    /// ```
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.chan.send(value, Limit::until(deadline))
    }

    /// Closes the channel for all its clones (Go: `close`): receivers drain it and are then
    /// disconnected; senders, also those that wait, get their values back as disconnected.
    ///
    /// # Errors
    /// It is closed already, by this function, by the last receiver's end, or by the last sender's.
    ///
    /// ```
    /// use gosched::chan::{self, CloseError, RecvError, SendError};
    ///
    /// let (s, r) = chan::bounded(2);
    /// s.send(1).unwrap();
    /// assert_eq!(s.close(), Ok(()));
    /// assert_eq!(s.close(), Err(CloseError));
    /// assert_eq!(s.send(2), Err(SendError(2)));
    /// assert_eq!((r.recv(), r.recv()), (Ok(1), Err(RecvError)));
    /// ```
    pub fn close(&self) -> Result<(), CloseError> {
        self.chan.close()
    }

    /// Whether the channel is closed: no value will be accepted any more.
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
    }

    /// How many values the buffer holds.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// let (s, _r) = chan::bounded(1);
    /// assert!(s.is_empty() && !s.is_full() && !s.is_closed());
    /// s.send(1).unwrap();
    /// assert!(s.len() == 1 && s.is_full());
    /// ```
    pub fn len(&self) -> usize {
        self.chan.len()
    }

    /// Whether the buffer holds nothing. A rendezvous channel is always empty.
    pub fn is_empty(&self) -> bool {
        self.chan.len() == 0
    }

    /// Whether the buffer has no room. A rendezvous channel is always full.
    pub fn is_full(&self) -> bool {
        self.chan.is_full()
    }

    /// How many values the buffer can hold; `None`: as many as memory does.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// assert_eq!(chan::bounded::<u8>(5).0.capacity(), Some(5));
    /// assert_eq!(chan::unbounded::<u8>().0.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.chan.capacity()
    }

    /// Whether both send to the same channel.
    ///
    /// ```
    /// use gosched::chan;
    ///
    /// let (s, _r) = chan::unbounded::<i32>();
    /// assert!(s.same_channel(&s.clone()));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.chan.sender_added();
        Self {
            chan: self.chan.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.chan.sender_dropped();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

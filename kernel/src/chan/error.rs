//! The errors of channels and of selecting: crossbeam-channel's, with its texts.

use core::fmt;

/// A send failed: disconnected. Holds the value.
///
/// ```
/// use gosched::chan::{self, SendError};
///
/// let (s, _) = chan::bounded(1); // the receiver is gone
/// let error = s.send("back").unwrap_err();
/// assert_eq!(error.into_inner(), "back");
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct SendError<T>(pub T);

/// A send that does not wait failed. Holds the value.
///
/// ```
/// use gosched::chan;
///
/// let (s, r) = chan::bounded(0);
/// assert!(s.try_send(1).is_err_and(|e| e.is_full()));
/// drop(r);
/// assert!(s.try_send(1).is_err_and(|e| e.is_disconnected() && e.into_inner() == 1));
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum TrySendError<T> {
    /// There was no room, or nobody received.
    Full(T),
    /// Nobody ever will.
    Disconnected(T),
}

/// A send with a time limit failed. Holds the value.
///
/// ```
/// use core::time::Duration;
/// use gosched::chan;
///
/// let (s, _r) = chan::bounded(0);
/// assert!(s.send_timeout(1, Duration::from_millis(1)).is_err_and(|e| e.is_timeout()));
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum SendTimeoutError<T> {
    /// The time was up.
    Timeout(T),
    /// Nobody will receive.
    Disconnected(T),
}

/// A receive failed: empty and disconnected.
///
/// ```
/// extern crate alloc;
/// use alloc::string::ToString;
/// use gosched::chan::RecvError;
///
/// assert_eq!(RecvError.to_string(), "receiving on an empty and disconnected channel");
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct RecvError;

/// A receive that does not wait failed.
///
/// ```
/// use gosched::chan;
///
/// let (s, r) = chan::bounded::<i32>(0);
/// assert!(r.try_recv().is_err_and(|e| e.is_empty()));
/// drop(s);
/// assert!(r.try_recv().is_err_and(|e| e.is_disconnected()));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum TryRecvError {
    /// There was nothing.
    Empty,
    /// There never will be.
    Disconnected,
}

/// A receive with a time limit failed.
///
/// ```
/// use core::time::Duration;
/// use gosched::chan;
///
/// let (_s, r) = chan::bounded::<i32>(0);
/// assert!(r.recv_timeout(Duration::from_millis(1)).is_err_and(|e| e.is_timeout()));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum RecvTimeoutError {
    /// The time was up.
    Timeout,
    /// Nobody will send.
    Disconnected,
}

/// The channel was closed already (Go: `close of closed channel`).
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct CloseError;

/// [`Select::try_select`](super::Select::try_select) found nothing that was ready.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TrySelectError;

/// A select with a time limit failed: nothing became ready.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct SelectTimeoutError;

/// [`Select::try_ready`](super::Select::try_ready) found nothing that was ready.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TryReadyError;

/// A wait for readiness with a time limit failed: nothing became ready.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct ReadyTimeoutError;

impl<T> SendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(v) | Self::Disconnected(v) => v,
        }
    }

    /// Whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the channel is disconnected.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(v) | Self::Disconnected(v) => v,
        }
    }

    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether the channel is disconnected.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl TryRecvError {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether the channel is disconnected.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl RecvTimeoutError {
    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }

    /// Whether the channel is disconnected.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

macro_rules! texts {
    ($ty:ident $(<$t:ident>)?: $($value:pat => $text:literal),+) => {
        impl$(<$t>)? fmt::Display for $ty$(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($value => $text),+ })
            }
        }
    };
}

texts!(SendError<T>: _ => "sending on a disconnected channel");
texts!(TrySendError<T>: Self::Full(_) => "sending on a full channel",
    Self::Disconnected(_) => "sending on a disconnected channel");
texts!(SendTimeoutError<T>: Self::Timeout(_) => "timed out waiting on send operation",
    Self::Disconnected(_) => "sending on a disconnected channel");
texts!(RecvError: _ => "receiving on an empty and disconnected channel");
texts!(TryRecvError: Self::Empty => "receiving on an empty channel",
    Self::Disconnected => "receiving on an empty and disconnected channel");
texts!(RecvTimeoutError: Self::Timeout => "timed out waiting on receive operation",
    Self::Disconnected => "channel is empty and disconnected");
texts!(TrySelectError: _ => "all operations in select would block");
texts!(SelectTimeoutError: _ => "timed out waiting on select");
texts!(TryReadyError: _ => "all operations in select would block");
texts!(ReadyTimeoutError: _ => "timed out waiting on select");
texts!(CloseError: _ => "close of closed channel");

// A value need not be Debug for its error to be unwrapped. As in crossbeam, the text is shown as a
// string, with quotes.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt("SendError(..)", f)
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        };
        fmt::Debug::fmt(text, f)
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt("SendTimeoutError(..)", f)
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        Self::Disconnected(error.0)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(error: SendError<T>) -> Self {
        Self::Disconnected(error.0)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(_: RecvError) -> Self {
        Self::Disconnected
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(_: RecvError) -> Self {
        Self::Disconnected
    }
}

impl<T> core::error::Error for SendError<T> {}
impl<T> core::error::Error for TrySendError<T> {}
impl<T> core::error::Error for SendTimeoutError<T> {}
impl core::error::Error for RecvError {}
impl core::error::Error for TryRecvError {}
impl core::error::Error for RecvTimeoutError {}
impl core::error::Error for TrySelectError {}
impl core::error::Error for SelectTimeoutError {}
impl core::error::Error for TryReadyError {}
impl core::error::Error for ReadyTimeoutError {}
impl core::error::Error for CloseError {}

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

//!
//! A select looks at all its channels at one instant, and waits in all their queues with one
//! ticket: see `select`.

#[doc(hidden)]
#[path = "case.rs"]
pub mod __select;
mod buffer;
mod dynamic;
mod error;
mod raw;
mod receiver;
mod select;
mod select_chan;
mod sender;

use alloc::sync::Arc;

pub use dynamic::{Select, SelectedOperation};
pub use error::{
    CloseError, ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use gosched_macros::{select, select_biased};
use raw::Chan;
use receiver::Flavor;
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
use select::SelectChan;
pub use sender::Sender;

/// A channel that holds at most `cap` values; 0: each send waits for its receive (Go:
/// `make(chan T, cap)`). Room for `cap` values is allocated at once.
///
/// # Panics
/// `capacity overflow`, when `cap` values are more than the address space.
///
/// ```
/// use gosched::{chan, go};
///
/// let (s, r) = chan::bounded(1);
/// s.send(1).unwrap();
/// go(move || s.send(2).unwrap()); // waits until 1 is received
/// assert_eq!((r.recv(), r.recv()), (Ok(1), Ok(2)));
/// ```
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    channel(Some(cap))
}

/// A channel that holds as many values as memory does: sends never wait. Costs an allocation for
/// each 64 values that no receiver keeps up with.
///
/// ```
/// use gosched::chan;
///
/// let (s, r) = chan::unbounded();
/// for i in 0..1000 {
///     s.send(i).unwrap();
/// }
/// assert_eq!(r.try_iter().sum::<i32>(), 499_500);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

fn channel<T>(cap: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let chan = Arc::new(Chan::new(cap));
    let receiver = Receiver {
        flavor: Flavor::Chan(chan.clone()),
    };
    (Sender { chan }, receiver)
}

/// A receiver that never gets a value and never is disconnected (Go: a nil channel).
///
/// ```
/// use core::time::Duration;
/// use gosched::{chan, select};
///
/// let r = chan::never::<i32>();
/// select! {
///     recv(r) -> _ => unreachable!(),
///     default(Duration::from_millis(1)) => {}
/// }
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver {
        flavor: Flavor::Never,
    }
}

impl<T> Sender<T> {
    fn select_chan(&self) -> &dyn SelectChan {
        &*self.chan
    }

    /// Ends a send that a select chose.
    fn complete(&self, grant: *mut (), value: T) -> Result<(), SendError<T>> {
        self.chan.complete_send(grant, value)
    }
}

impl<T> Receiver<T> {
    fn select_chan(&self) -> Option<&dyn SelectChan> {
        match &self.flavor {
            Flavor::Chan(chan) => Some(&**chan),
            Flavor::Never => None,
        }
    }
}

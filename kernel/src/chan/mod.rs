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
//! How much there is, and that an operation would have to wait, can be seen without the lock: see
//! `word`.
//!
//! A select looks at all its channels at one instant, and waits in all their queues with one
//! ticket: see `select`.

#[doc(hidden)]
#[path = "case.rs"]
pub mod __select;
mod buffer;
mod dynamic;
mod erased;
mod error;
mod lazy;
mod raw;
mod receiver;
mod select;
mod select_chan;
mod sender;
mod signal;
mod timechan;
mod word;

use alloc::sync::Arc;
use core::time::Duration;

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
pub(crate) use select::parked_cases;
pub use sender::Sender;
pub(crate) use signal::{Signal, signal};
pub(crate) use timechan::TimeChan;

use crate::time::Instant;

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
pub const fn never<T>() -> Receiver<T> {
    Receiver {
        flavor: Flavor::Never,
    }
}

/// A receiver that gets one value, after at least `d`: the instant at which it was due (Go:
/// `time.After`; `crossbeam_channel::after`). It never is disconnected. Costs one allocation, and,
/// while somebody waits, what a sleep costs.
///
/// ```
/// use core::time::Duration;
/// use gosched::{chan, select};
///
/// let (_s, r) = chan::bounded::<i32>(0);
/// let timeout = chan::after(Duration::from_millis(1));
/// select! {
///     recv(r) -> _ => unreachable!(),
///     recv(timeout) -> due => assert!(due.is_ok()),
/// }
/// ```
pub fn after(d: Duration) -> Receiver<Instant> {
    at(Instant::now() + d)
}

/// A receiver that gets one value, at that instant or later: the instant itself
/// (`crossbeam_channel::at`). As [`after`] otherwise.
///
/// ```
/// use core::time::Duration;
/// use gosched::{chan, time::Instant};
///
/// let due = Instant::now() + Duration::from_millis(1);
/// assert_eq!(chan::at(due).recv(), Ok(due));
/// assert!(Instant::now() >= due);
/// ```
pub fn at(due: Instant) -> Receiver<Instant> {
    Receiver::of_clock(TimeChan::new(due.as_nanos(), 0, Instant::from_nanos), true)
}

/// A receiver that gets a value each `period`: the instant at which it was due (Go: `time.Tick`;
/// `crossbeam_channel::tick`). It never is disconnected. It holds one value at most: a receiver
/// that comes late gets the one that it missed first, and the next one on time.
///
/// ```
/// use core::time::Duration;
/// use gosched::{chan, time::Instant};
///
/// let start = Instant::now();
/// let ticks = chan::tick(Duration::from_millis(1));
/// for n in 1..=3 {
///     assert!(ticks.recv().unwrap() >= start + n * Duration::from_millis(1));
/// }
/// ```
pub fn tick(period: Duration) -> Receiver<Instant> {
    let period = period.max(Duration::from_nanos(1));
    let (first, period_ns) = first_tick(period);
    Receiver::of_clock(TimeChan::new(first, period_ns, Instant::from_nanos), true)
}

/// The time of the first tick from now on, and the period, in ns. What lies beyond the end of time
/// is at its end.
pub(crate) fn first_tick(period: Duration) -> (u64, u64) {
    let first = Instant::now() + period;
    let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    (first.as_nanos(), period_ns)
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
            Flavor::Clock(chan, _) => Some(&**chan),
            Flavor::Never => None,
        }
    }
}

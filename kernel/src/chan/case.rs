//! What the code of `select!` calls. Not for use by hand.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::time::Duration;

use crate::chan::error::{RecvError, SendError, TryRecvError};
use crate::chan::raw::{Op, Slot, elem_of};
use crate::chan::select;
pub use crate::chan::select::Case;
use crate::chan::{Receiver, Sender};
use crate::sched::park::{self, WaitReason};
use crate::sched::wait::Limit;

/// Where a case's value goes.
pub struct RecvSlot<T>(Slot<T>);

impl<T> RecvSlot<T> {
    /// After the case was chosen.
    pub fn into_result(self) -> Result<T, RecvError> {
        self.0.into_inner().ok_or(RecvError)
    }

    /// After another case was chosen.
    pub fn end(self) {}
}

/// The receiver of a case; `None` never is ready.
pub struct Source<'a, T>(Option<&'a Receiver<T>>);

impl<'a, T> Source<'a, T> {
    /// What can be received at once, without a selection.
    #[inline(always)]
    pub fn poll(&self) -> Option<Result<T, RecvError>> {
        match self.0?.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }

    /// Where the value will go.
    pub fn slot(&self) -> RecvSlot<T> {
        RecvSlot(Cell::new(None))
    }

    /// The case.
    pub fn case(&self, slot: &'a RecvSlot<T>) -> Case<'a> {
        let chan = self.0.and_then(Receiver::select_chan);
        // SAFETY: a slot for values of this receiver, borrowed for 'a.
        unsafe { Case::new(chan, Op::Recv, elem_of(&slot.0)) }
    }
}

/// The sender of a case; `None` never is ready.
pub struct Sink<'a, T>(Option<&'a Sender<T>>);

impl<'a, T> Sink<'a, T> {
    /// The case.
    pub fn case(&self) -> Case<'a> {
        let chan = self.0.map(Sender::select_chan);
        // SAFETY: a send has no slot.
        unsafe { Case::new(chan, Op::Send, core::ptr::null_mut()) }
    }

    /// Sends the value of the case that was chosen.
    ///
    /// # Errors
    /// Disconnected.
    pub fn send(&self, grant: Grant, value: T) -> Result<(), SendError<T>> {
        let grant = ManuallyDrop::new(grant);
        let sender = self.0.expect("a case without a channel is never chosen");
        assert!(
            sender.select_chan().key() == grant.key,
            "the grant of another channel"
        );
        sender.complete(grant.place, value)
    }
}

/// The right to send one value without waiting, and the duty: the other side may wait for it.
pub struct Grant {
    place: *mut (),
    key: usize,
}

impl Drop for Grant {
    /// The value's expression has left the `select!`; compare `SelectedOperation`.
    fn drop(&mut self) {
        panic!("left a `select!` without the value of the `send` that was chosen");
    }
}

/// Which case was chosen, with its grant if it is a send.
pub fn select<const N: usize>(
    mut cases: [Case<'_>; N],
    biased: bool,
    limit: Limit,
) -> Option<(usize, Option<Grant>)> {
    let mut order = [[0; 2]; N];
    let index = select::select(&mut cases, order.as_flattened_mut(), biased, limit)?;
    let grant = cases[index].grant().map(|place| Grant {
        place,
        key: cases[index].key(),
    });
    Some((index, grant))
}

/// No cases at all (Go: `select {}`).
pub fn block() -> ! {
    park::park_forever(WaitReason::SelectNoCases)
}

/// No `default`.
pub fn forever() -> Limit {
    Limit::Forever
}

/// `default`.
pub fn now() -> Limit {
    Limit::Now
}

/// `default(timeout)`.
pub fn timeout(timeout: Duration) -> Limit {
    Limit::after(timeout)
}

impl<T> Receiver<T> {
    /// This receiver in a `recv(…)` case.
    #[doc(hidden)]
    #[inline(always)]
    pub fn __recv_in_select(&self) -> Source<'_, T> {
        Source(Some(self))
    }
}

impl<T> Sender<T> {
    /// This sender in a `send(…)` case.
    #[doc(hidden)]
    #[inline(always)]
    pub fn __send_in_select(&self) -> Sink<'_, T> {
        Sink(Some(self))
    }
}

/// `recv(option)`: None is Go's nil channel.
pub trait OptionalReceiver<T> {
    /// This receiver in a `recv(…)` case.
    fn __recv_in_select(&self) -> Source<'_, T>;
}

impl<T> OptionalReceiver<T> for Option<&Receiver<T>> {
    #[inline(always)]
    fn __recv_in_select(&self) -> Source<'_, T> {
        Source(*self)
    }
}

impl<T> OptionalReceiver<T> for Option<Receiver<T>> {
    #[inline(always)]
    fn __recv_in_select(&self) -> Source<'_, T> {
        Source(self.as_ref())
    }
}

/// `send(option, …)`: None is Go's nil channel.
pub trait OptionalSender<T> {
    /// This sender in a `send(…)` case.
    fn __send_in_select(&self) -> Sink<'_, T>;
}

impl<T> OptionalSender<T> for Option<&Sender<T>> {
    #[inline(always)]
    fn __send_in_select(&self) -> Sink<'_, T> {
        Sink(*self)
    }
}

impl<T> OptionalSender<T> for Option<Sender<T>> {
    #[inline(always)]
    fn __send_in_select(&self) -> Sink<'_, T> {
        Sink(self.as_ref())
    }
}

//! The channel behind both sides (Go: `hchan`).
//!
//! # Senders that choose before they have a value
//!
//! A sender that waits in a select names its value only when its case was chosen, as crossbeam's
//! do: so it waits without one (*lazily*: its sudog's `elem` is null), and being chosen means to be
//! granted a place for the value. `elem` then says where it goes:
//!
//! - null: to nobody; the channel is closed, and the value stays with the sender.
//! - [`RESERVED`]: into the buffer. `reserved` keeps the room free meanwhile, and who finds the
//!   buffer empty waits, even after a close: the value is on its way.
//! - A receiver's sudog: to that receiver, which is out of all queues and parked, and which the
//!   sender alone will ready.
//!
//! A receiver that meets a lazy sender on a rendezvous channel must wait for it, even if it came
//! with `try_recv` or a select with a default: it has the sender's word, and the sender is readied
//! when the receiver is parked ([`Chan::collect`]).

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::base::lock::{Lock, LockGuard, Rank};
use crate::chan::buffer::Buffer;
use crate::chan::error::{CloseError, RecvTimeoutError, SendError, SendTimeoutError};
use crate::sched::g::{G, getg};
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

pub(super) struct State<T> {
    buffer: Buffer<T>,
    /// Places in the buffer that are granted to lazy senders.
    reserved: usize,
    sendq: WaitQueue,
    recvq: WaitQueue,
    /// Who waits for a change of readiness (`Select::ready`); all are woken by any.
    watchers: WaitQueue,
    closed: bool,
}

/// A channel.
pub(super) struct Chan<T> {
    pub(super) state: Lock<State<T>>,
    cap: Option<usize>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

// SAFETY: values pass from one goroutine to another, which T: Send allows; all else is under the
// lock.
unsafe impl<T: Send> Sync for Chan<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Chan<T> {}

/// Where a parked goroutine's value is (sender), or is to go (receiver): on its stack.
pub(super) type Slot<T> = Cell<Option<T>>;

/// The grant of a place in the buffer: an address that no sudog has.
static RESERVED_PLACE: u8 = 0;
pub(super) const RESERVED: *mut () = (&raw const RESERVED_PLACE).cast_mut().cast();

/// The `elem` of a sudog whose value is in, or is to go into, this slot.
pub(super) fn elem_of<T>(slot: &Slot<T>) -> *mut () {
    ptr::from_ref(slot).cast_mut().cast()
}

/// # Safety
/// `elem` comes from [`elem_of`] a slot of a goroutine that is parked, or the caller itself.
pub(super) unsafe fn slot<'a, T>(elem: *mut ()) -> &'a Slot<T> {
    // SAFETY: the caller's promise.
    unsafe { &*elem.cast::<Slot<T>>() }
}

/// What a receiver finds.
pub(super) enum Taken<'a, T> {
    /// A value, and a sender to ready when the lock is gone.
    Value(T, Option<&'static G>),
    /// A lazy sender, taken out of its queue: it owes a value.
    Owed(&'a Sudog),
    /// Nothing now.
    Empty,
    /// Nothing ever.
    Disconnected,
}

/// What a sender finds, before it gives its value.
pub(super) enum Offer<'a> {
    /// A receiver, taken out of its queue.
    Receiver(&'a Sudog),
    /// Room in the buffer.
    Room,
    /// None now.
    Full,
    /// None ever.
    Closed,
}

impl<T> State<T> {
    /// Whether a receive would not wait.
    pub(super) fn can_recv(&self) -> bool {
        self.buffer.len() > 0 || !self.sendq.is_empty() || self.is_drained()
    }

    /// Closed, and no value is on its way.
    fn is_drained(&self) -> bool {
        self.closed && self.reserved == 0 && self.buffer.len() == 0
    }

    /// Takes what a receiver gets.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Taken<'_, T> {
        if let Some(value) = self.buffer.pop_front() {
            let sender = self.refill();
            return Taken::Value(value, sender);
        }
        let drained = self.is_drained();
        match self.sendq.dequeue() {
            Some(sender) if is_lazy(sender) => Taken::Owed(sender),
            Some(sender) => Taken::Value(value_of(sender), Some(sender.g)),
            None if drained => Taken::Disconnected,
            None => Taken::Empty,
        }
    }

    /// A place in the buffer has come free: it goes to the sender that waits longest.
    #[inline(always)]
    fn refill(&mut self) -> Option<&'static G> {
        match self.sendq.dequeue() {
            Some(sender) if is_lazy(sender) => {
                self.reserved += 1;
                sender.elem.set(RESERVED);
                Some(sender.g)
            }
            Some(sender) => {
                let (value, gp) = (value_of(sender), sender.g);
                self.buffer.push_back(value);
                Some(gp)
            }
            None => {
                self.wake_watchers();
                None
            }
        }
    }

    /// Grants the room that a lazy sender has found.
    pub(super) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Readies who waits for a change of readiness. With the lock held, into which they will run:
    /// a detour for the few, so that all others need not carry a list along.
    #[inline]
    pub(super) fn wake_watchers(&mut self) {
        if !self.watchers.is_empty() {
            park::goready_all(self.watchers.drain());
        }
    }

    /// The queue of those who wait to receive, or to send.
    pub(super) fn queue(&mut self, op: Op) -> &mut WaitQueue {
        match op {
            Op::Recv => &mut self.recvq,
            Op::Send => &mut self.sendq,
            Op::WatchRecv | Op::WatchSend => &mut self.watchers,
        }
    }
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Recv,
    Send,
    /// That a receive would not wait.
    WatchRecv,
    /// That a send would not wait.
    WatchSend,
}

impl Op {
    pub(super) fn is_watch(self) -> bool {
        matches!(self, Op::WatchRecv | Op::WatchSend)
    }
}

/// A sender in the queue that will name its value when it is chosen.
fn is_lazy(sender: &Sudog) -> bool {
    sender.elem.get().is_null()
}

fn value_of<T>(sender: &Sudog) -> T {
    // SAFETY: a parked sender of this channel, with a value.
    unsafe { slot(sender.elem.get()) }
        .take()
        .expect("a parked sender holds its value")
}

impl<T> Chan<T> {
    /// An empty channel with one sender and one receiver; `None`: without bound.
    pub(super) fn new(cap: Option<usize>) -> Self {
        let state = State {
            buffer: Buffer::new(cap),
            reserved: 0,
            sendq: WaitQueue::new(),
            recvq: WaitQueue::new(),
            watchers: WaitQueue::new(),
            closed: false,
        };
        Self {
            state: Lock::new(Rank::Chan, state),
            cap,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        }
    }

    /// Whether a send would not wait.
    pub(super) fn can_send(&self, state: &State<T>) -> bool {
        state.closed || !state.recvq.is_empty() || self.has_room(state)
    }

    #[inline(always)]
    fn has_room(&self, state: &State<T>) -> bool {
        self.cap
            .is_none_or(|cap| state.buffer.len() + state.reserved < cap)
    }

    /// Finds a place for a value.
    #[inline(always)]
    pub(super) fn find_place<'a>(&self, state: &'a mut State<T>) -> Offer<'a> {
        if state.closed {
            return Offer::Closed;
        }
        let room = self.has_room(state);
        match state.recvq.dequeue() {
            Some(receiver) => Offer::Receiver(receiver),
            None if room => Offer::Room,
            None => Offer::Full,
        }
    }

    pub(super) fn send(&self, value: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.state.lock();
        match self.find_place(&mut state) {
            Offer::Closed => return Err(SendTimeoutError::Disconnected(value)),
            Offer::Receiver(receiver) => {
                // SAFETY: a parked receiver of this channel.
                unsafe { slot(receiver.elem.get()) }.set(Some(value));
                let gp = receiver.g;
                drop(state);
                park::goready(gp);
                return Ok(());
            }
            Offer::Room => {
                state.buffer.push_back(value);
                state.wake_watchers();
                return Ok(());
            }
            Offer::Full if limit.is_over() => return Err(SendTimeoutError::Timeout(value)),
            Offer::Full => {}
        }
        let slot = Cell::new(Some(value));
        let sent = Self::wait(state, Op::Send, &slot, limit, WaitReason::ChanSend);
        match (slot.take(), sent) {
            (None, _) => Ok(()),
            (Some(value), Waited::Woken) => Err(SendTimeoutError::Disconnected(value)),
            (Some(value), Waited::TimedOut) => Err(SendTimeoutError::Timeout(value)),
        }
    }

    /// A lazy sender gives its value to the place that it was granted.
    pub(super) fn complete_send(&self, grant: *mut (), value: T) -> Result<(), SendError<T>> {
        if grant.is_null() {
            return Err(SendError(value));
        }
        if grant == RESERVED {
            return self.fill_reserved(value);
        }
        // SAFETY: the sudog of a receiver that is parked until it is readied here.
        let receiver = unsafe { &*grant.cast::<Sudog>() };
        // SAFETY: its slot, likewise.
        unsafe { slot(receiver.elem.get()) }.set(Some(value));
        park::goready(receiver.g);
        Ok(())
    }

    fn fill_reserved(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.state.lock();
        state.reserved -= 1;
        // Looked at under the lock, under which the last receiver empties the buffer.
        if self.receivers.load(Ordering::Relaxed) == 0 {
            return Err(SendError(value));
        }
        let mut ready = GQueue::new();
        match state.recvq.dequeue() {
            Some(receiver) => {
                // SAFETY: a parked receiver of this channel.
                unsafe { slot(receiver.elem.get()) }.set(Some(value));
                ready.push_back(receiver.g);
            }
            None => state.buffer.push_back(value),
        }
        if state.is_drained() {
            // Closed meanwhile: who still waits, waited for this value.
            ready.append(state.recvq.drain());
        }
        state.wake_watchers();
        drop(state);
        park::goready_all(ready);
        Ok(())
    }

    pub(super) fn recv(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        match state.take() {
            Taken::Value(value, sender) => {
                drop(state);
                if let Some(gp) = sender {
                    park::goready(gp);
                }
                return Ok(value);
            }
            Taken::Owed(sender) => {
                let slot = Cell::new(None);
                let sudog = Sudog::new(getg(), elem_of(&slot));
                let gp = owe(sender, &sudog);
                drop(state);
                return Ok(Self::collect(&slot, gp));
            }
            Taken::Disconnected => return Err(RecvTimeoutError::Disconnected),
            Taken::Empty if limit.is_over() => return Err(RecvTimeoutError::Timeout),
            Taken::Empty => {}
        }
        let slot = Cell::new(None);
        let waited = Self::wait(state, Op::Recv, &slot, limit, WaitReason::ChanReceive);
        match (slot.take(), waited) {
            (Some(value), _) => Ok(value),
            (None, Waited::Woken) => Err(RecvTimeoutError::Disconnected),
            (None, Waited::TimedOut) => Err(RecvTimeoutError::Timeout),
        }
    }

    fn collect(slot: &Slot<T>, sender: &'static G) -> T {
        await_owed(sender, WaitReason::ChanReceive);
        slot.take().expect("the sender owed a value")
    }

    /// Parks in a queue until a peer, a close or the time limit ends the wait. A peer that did has
    /// emptied or filled the slot.
    fn wait(
        mut state: LockGuard<'_, State<T>>,
        op: Op,
        slot: &Slot<T>,
        limit: Limit,
        reason: WaitReason,
    ) -> Waited {
        // Whoever watches sees the waiter when the lock is gone.
        state.wake_watchers();
        let sudog = Sudog::new(getg(), elem_of(slot));
        wait::wait(state, |s| s.queue(op), &sudog, Place::Back, limit, reason)
    }

    pub(super) fn close(&self) -> Result<(), CloseError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(CloseError);
        }
        state.closed = true;
        let mut ready = state.sendq.drain();
        if state.is_drained() {
            ready.append(state.recvq.drain());
        }
        state.wake_watchers();
        drop(state);
        park::goready_all(ready);
        Ok(())
    }

    pub(super) fn sender_added(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn receiver_added(&self) {
        self.receivers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sender_dropped(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Closed already is closed as well.
            let _ = self.close();
        }
    }

    pub(super) fn receiver_dropped(&self) {
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.close();
            // Nobody will receive what is left: it goes now, as in crossbeam, outside the lock,
            // since a value's drop may use this channel.
            let left = self.state.lock().buffer.take();
            drop(left);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().buffer.len()
    }

    pub(super) fn is_full(&self) -> bool {
        !self.has_room(&self.state.lock())
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.cap
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

/// With the channel's lock held: a lazy sender is to give its value to this receiver. Returns whom
/// [`await_owed`] has to ready.
pub(super) fn owe(sender: &Sudog, receiver: &Sudog) -> &'static G {
    sender.elem.set(ptr::from_ref(receiver).cast_mut().cast());
    sender.g
}

/// No lock held: parks, readies the lazy sender, and returns when it has given its value.
pub(super) fn await_owed(sender: &'static G, reason: WaitReason) {
    // Readied only from g0, when this goroutine is parked: it is the one who readies us.
    park::gopark(
        |_, sender| {
            // SAFETY: the address of a G; Gs are never freed.
            park::goready(unsafe { &*(sender as *const G) });
            true
        },
        ptr::from_ref(sender) as usize,
        reason,
    );
}

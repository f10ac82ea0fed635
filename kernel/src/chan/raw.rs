//! The channel behind both sides (Go: `hchan`). Senders that wait without a value: see `lazy`.

use core::ptr;

use crate::base::lock::{Lock, LockGuard, Rank};
use crate::chan::buffer::Buffer;
use crate::chan::error::{CloseError, RecvTimeoutError, SendError, SendTimeoutError};
use crate::chan::lazy::{RESERVED, is_lazy, owe};
use crate::chan::word::Word;
use crate::primitive::{AtomicUsize, Cell, Ordering};
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
}

/// A channel.
pub(super) struct Chan<T> {
    /// What is there, for all to see.
    word: Word,
    pub(super) state: Lock<State<T>>,
    /// How many values the empty buffer has room for; without bound, all that there could be.
    room: usize,
    is_bounded: bool,
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
        };
        Self {
            word: Word::new(),
            state: Lock::new(Rank::Chan, state),
            room: cap.unwrap_or(usize::MAX),
            is_bounded: cap.is_some(),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        }
    }

    /// Without the lock: whether this would certainly wait, as far as one look tells. Who draws a
    /// conclusion from it puts a fence before it (`word`).
    #[inline(always)]
    pub(super) fn seems_to_wait(&self, op: Op) -> bool {
        match op {
            Op::Recv | Op::WatchRecv => self.word.hint().recv_would_wait(),
            Op::Send | Op::WatchSend => self.word.hint().send_would_wait(self.room),
        }
    }

    /// Whether a receive would not wait.
    pub(super) fn can_recv(&self, state: &State<T>) -> bool {
        self.word.get().len() > 0 || !state.sendq.is_empty() || self.is_drained(state)
    }

    /// Whether a send would not wait.
    pub(super) fn can_send(&self, state: &State<T>) -> bool {
        self.word.get().is_closed() || !state.recvq.is_empty() || self.has_room(state)
    }

    /// Closed, and no value is on its way.
    fn is_drained(&self, state: &State<T>) -> bool {
        let view = self.word.get();
        view.is_closed() && state.reserved == 0 && view.len() == 0
    }

    #[inline(always)]
    fn has_room(&self, state: &State<T>) -> bool {
        self.word.get().len() + state.reserved < self.room
    }

    /// Marks what is there, and nothing that has gone.
    fn mark(&self, state: &State<T>) {
        self.word.set(self.word.get().marked(
            !state.sendq.is_empty(),
            !state.recvq.is_empty(),
            !state.watchers.is_empty(),
            state.reserved > 0,
        ));
    }

    /// Before somebody goes into a queue.
    #[inline(always)]
    pub(super) fn mark_waiter(&self, op: Op) {
        let view = self.word.get();
        let marked = match op {
            Op::Recv => view.with_receiver(),
            Op::Send => view.with_sender(),
            Op::WatchRecv | Op::WatchSend => view.with_watcher(),
        };
        if marked != view {
            self.word.set(marked);
        }
    }

    /// Puts a value into the buffer. There is room.
    fn put(&self, state: &mut State<T>, value: T) {
        debug_assert!(self.word.get().len() < self.room, "a value too many");
        // SAFETY: there is room.
        unsafe { state.buffer.push_back(value) };
        self.word.set(self.word.get().with_value());
    }

    /// Takes what a receiver gets.
    #[inline(always)]
    pub(super) fn take<'a>(&self, state: &'a mut State<T>) -> Taken<'a, T> {
        let view = self.word.get();
        if view.len() > 0 {
            // SAFETY: there is a value.
            let value = unsafe { state.buffer.pop_front() };
            self.word.set(view.without_value());
            let sender = match view.gives_value() {
                true => None,
                false => self.refill(state),
            };
            return Taken::Value(value, sender);
        }
        let drained = self.is_drained(state);
        if state.sendq.is_empty() && !drained && !view.recv_would_wait() {
            self.mark(state); // the word has misled whoever called
        }
        match state.sendq.dequeue() {
            Some(sender) if is_lazy(sender) => Taken::Owed(sender),
            Some(sender) => Taken::Value(value_of(sender), Some(sender.g)),
            None if drained => Taken::Disconnected,
            None => Taken::Empty,
        }
    }

    /// A place in the buffer has come free: it goes to the sender that waits longest.
    #[inline(never)]
    fn refill(&self, state: &mut State<T>) -> Option<&'static G> {
        let gp = match state.sendq.dequeue() {
            Some(sender) if is_lazy(sender) => {
                sender.elem.set(RESERVED);
                let gp = sender.g;
                self.reserve(state);
                Some(gp)
            }
            Some(sender) => {
                let (value, gp) = (value_of(sender), sender.g);
                self.put(state, value);
                Some(gp)
            }
            None => {
                state.wake_watchers();
                None
            }
        };
        self.mark(state);
        gp
    }

    /// Grants the room that a lazy sender has found.
    pub(super) fn reserve(&self, state: &mut State<T>) {
        state.reserved += 1;
        self.word.set(self.word.get().with_reserved());
    }

    /// Finds a place for a value.
    #[inline(always)]
    pub(super) fn find_place<'a>(&self, state: &'a mut State<T>) -> Offer<'a> {
        let view = self.word.get();
        if view.is_closed() {
            return Offer::Closed;
        }
        let room = self.has_room(state);
        if state.recvq.is_empty() && !view.send_would_wait(self.room) {
            self.mark(state); // the word has misled whoever called
        }
        match state.recvq.dequeue() {
            Some(receiver) => Offer::Receiver(receiver),
            None if room => Offer::Room,
            None => Offer::Full,
        }
    }

    #[inline(always)]
    pub(super) fn send(&self, value: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        if limit == Limit::Now && self.word.glance().send_would_wait(self.room) {
            return Err(SendTimeoutError::Timeout(value));
        }
        let mut state = self.state.lock();
        let view = self.word.get();
        if view.takes_value(self.room) {
            // SAFETY: there is room.
            unsafe { state.buffer.push_back(value) };
            self.word.set(view.with_value());
            return Ok(());
        }
        self.send_to_others(state, value, limit)
    }

    /// When it takes more than to put the value into the buffer.
    #[inline(never)]
    fn send_to_others(
        &self,
        mut state: LockGuard<'_, State<T>>,
        value: T,
        limit: Limit,
    ) -> Result<(), SendTimeoutError<T>> {
        match self.find_place(&mut state) {
            Offer::Closed => return Err(SendTimeoutError::Disconnected(value)),
            Offer::Receiver(receiver) => {
                // SAFETY: a parked receiver of this channel.
                unsafe { slot(receiver.elem.get()) }.set(Some(value));
                let gp = receiver.g;
                park::goready_unlock(state, gp);
                return Ok(());
            }
            Offer::Room => {
                self.put(&mut state, value);
                state.wake_watchers();
                return Ok(());
            }
            Offer::Full if limit.is_over() => return Err(SendTimeoutError::Timeout(value)),
            Offer::Full => {}
        }
        let slot = Cell::new(Some(value));
        let sent = self.wait(state, Op::Send, &slot, limit, WaitReason::ChanSend);
        match (slot.take(), sent) {
            (None, _) => Ok(()),
            (Some(value), Waited::Woken) => Err(SendTimeoutError::Disconnected(value)),
            (Some(value), Waited::TimedOut) => Err(SendTimeoutError::Timeout(value)),
        }
    }

    /// Puts the value of a lazy sender into the place that was granted.
    pub(super) fn fill_reserved(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.state.lock();
        state.reserved -= 1;
        self.mark(&state);
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
            None => self.put(&mut state, value),
        }
        if self.is_drained(&state) {
            // Closed meanwhile: who still waits, waited for this value.
            ready.append(state.recvq.drain());
        }
        state.wake_watchers();
        drop(state);
        park::goready_all(ready);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn recv(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        if limit == Limit::Now && self.word.glance().recv_would_wait() {
            return Err(RecvTimeoutError::Timeout);
        }
        let mut state = self.state.lock();
        let view = self.word.get();
        if view.gives_value() {
            // SAFETY: there is a value.
            let value = unsafe { state.buffer.pop_front() };
            self.word.set(view.without_value());
            return Ok(value);
        }
        self.recv_from_others(state, limit)
    }

    /// When it takes more than to take a value out of the buffer.
    #[inline(never)]
    fn recv_from_others(
        &self,
        mut state: LockGuard<'_, State<T>>,
        limit: Limit,
    ) -> Result<T, RecvTimeoutError> {
        match self.take(&mut state) {
            Taken::Value(value, sender) => {
                if let Some(gp) = sender {
                    park::goready_unlock(state, gp);
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
        let waited = self.wait(state, Op::Recv, &slot, limit, WaitReason::ChanReceive);
        match (slot.take(), waited) {
            (Some(value), _) => Ok(value),
            (None, Waited::Woken) => Err(RecvTimeoutError::Disconnected),
            (None, Waited::TimedOut) => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Parks in a queue until a peer, a close or the time limit ends the wait. A peer that did has
    /// emptied or filled the slot.
    #[inline(always)]
    fn wait(
        &self,
        mut state: LockGuard<'_, State<T>>,
        op: Op,
        slot: &Slot<T>,
        limit: Limit,
        reason: WaitReason,
    ) -> Waited {
        // Whoever watches sees the waiter when the lock is gone.
        state.wake_watchers();
        self.mark_waiter(op);
        let sudog = Sudog::new(getg(), elem_of(slot));
        wait::wait(state, |s| s.queue(op), &sudog, Place::Back, limit, reason)
    }

    pub(super) fn close(&self) -> Result<(), CloseError> {
        let mut state = self.state.lock();
        let view = self.word.get();
        if view.is_closed() {
            return Err(CloseError);
        }
        self.word.set(view.closed());
        let mut ready = state.sendq.drain();
        if self.is_drained(&state) {
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
            let mut state = self.state.lock();
            let view = self.word.get();
            self.word.set(view.without_values());
            // SAFETY: the word counts them.
            let left = unsafe { state.buffer.take(view.len()) };
            drop(state);
            drop(left);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.word.glance().len()
    }

    pub(super) fn is_full(&self) -> bool {
        let view = self.word.glance();
        match view.is_reserved() {
            true => !self.has_room(&self.state.lock()),
            false => view.len() >= self.room,
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.is_bounded.then_some(self.room)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.word.glance().is_closed()
    }
}

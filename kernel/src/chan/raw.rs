//! The channel behind both sides (Go: `hchan`).

use alloc::collections::VecDeque;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::base::lock::{Lock, LockGuard, Rank};
use crate::chan::error::{CloseError, RecvTimeoutError, SendTimeoutError};
use crate::sched::g::getg;
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

struct State<T> {
    buffer: VecDeque<T>,
    sendq: WaitQueue,
    recvq: WaitQueue,
    closed: bool,
}

/// A channel.
pub(super) struct Chan<T> {
    state: Lock<State<T>>,
    cap: usize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

// SAFETY: values pass from one goroutine to another, which T: Send allows; all else is under the
// lock.
unsafe impl<T: Send> Sync for Chan<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Chan<T> {}

/// Where a parked goroutine's value is (sender), or is to go (receiver): on its stack.
type Slot<T> = Cell<Option<T>>;

/// # Safety
/// `sudog` was queued by a sender or receiver of a `Chan<T>`, which is parked, and the caller took
/// it out of the queue.
unsafe fn slot<T>(sudog: &Sudog) -> &Slot<T> {
    // SAFETY: the caller's promise: `elem` is the address of the parked goroutine's slot.
    unsafe { &*sudog.elem.get().cast::<Slot<T>>() }
}

impl<T> Chan<T> {
    /// An empty channel with one sender and one receiver.
    pub(super) fn new(cap: usize) -> Self {
        let state = State {
            buffer: VecDeque::with_capacity(cap),
            sendq: WaitQueue::new(),
            recvq: WaitQueue::new(),
            closed: false,
        };
        Self {
            state: Lock::new(Rank::Chan, state),
            cap,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        }
    }

    pub(super) fn send(&self, value: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SendTimeoutError::Disconnected(value));
        }
        if let Some(receiver) = state.recvq.dequeue() {
            // SAFETY: a parked receiver of this channel.
            unsafe { slot(receiver) }.set(Some(value));
            let gp = receiver.g;
            drop(state);
            park::goready(gp);
            return Ok(());
        }
        if state.buffer.len() < self.cap {
            state.buffer.push_back(value);
            return Ok(());
        }
        if limit.is_over() {
            return Err(SendTimeoutError::Timeout(value));
        }
        let slot = Cell::new(Some(value));
        let sent = Self::wait(state, |s| &mut s.sendq, &slot, limit, WaitReason::ChanSend);
        match (slot.take(), sent) {
            (None, _) => Ok(()),
            (Some(value), Waited::Woken) => Err(SendTimeoutError::Disconnected(value)),
            (Some(value), Waited::TimedOut) => Err(SendTimeoutError::Timeout(value)),
        }
    }

    pub(super) fn recv(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        let buffered = state.buffer.pop_front();
        if let Some(sender) = state.sendq.dequeue() {
            // SAFETY: a parked sender of this channel.
            let sent = unsafe { slot(sender) }
                .take()
                .expect("a parked sender holds its value");
            let gp = sender.g;
            // The buffer was full: its head goes to us, the sender's value to its tail.
            let value = match buffered {
                Some(value) => {
                    state.buffer.push_back(sent);
                    value
                }
                None => sent,
            };
            drop(state);
            park::goready(gp);
            return Ok(value);
        }
        if let Some(value) = buffered {
            return Ok(value);
        }
        if state.closed {
            return Err(RecvTimeoutError::Disconnected);
        }
        if limit.is_over() {
            return Err(RecvTimeoutError::Timeout);
        }
        let slot = Cell::new(None);
        let waited = Self::wait(
            state,
            |s| &mut s.recvq,
            &slot,
            limit,
            WaitReason::ChanReceive,
        );
        match (slot.take(), waited) {
            (Some(value), _) => Ok(value),
            (None, Waited::Woken) => Err(RecvTimeoutError::Disconnected),
            (None, Waited::TimedOut) => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Parks in a queue until a peer, a close or the time limit ends the wait. A peer that did has
    /// emptied or filled the slot.
    fn wait(
        state: LockGuard<'_, State<T>>,
        queue: fn(&mut State<T>) -> &mut WaitQueue,
        slot: &Slot<T>,
        limit: Limit,
        reason: WaitReason,
    ) -> Waited {
        let sudog = Sudog::new(getg(), ptr::from_ref(slot).cast_mut().cast());
        wait::wait(state, queue, &sudog, Place::Back, limit, reason)
    }

    pub(super) fn close(&self) -> Result<(), CloseError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(CloseError);
        }
        state.closed = true;
        // Readied only after the lock is gone: they would run into it.
        let mut ready = GQueue::new();
        while let Some(receiver) = state.recvq.dequeue() {
            ready.push_back(receiver.g);
        }
        while let Some(sender) = state.sendq.dequeue() {
            ready.push_back(sender.g);
        }
        drop(state);
        while let Some(gp) = ready.pop_front() {
            park::goready(gp);
        }
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
            let left = core::mem::take(&mut self.state.lock().buffer);
            drop(left);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().buffer.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.cap
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

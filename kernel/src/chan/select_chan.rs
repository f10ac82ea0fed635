//! A channel's operations as cases of a select.

use crate::chan::lazy::{RESERVED, owe};
use crate::chan::raw::{Chan, Offer, Op, State, Taken, slot};
use crate::chan::select::{Poll, SelectChan};
use crate::sched::sudog::Sudog;

impl<T> Chan<T> {
    /// # Safety
    /// This M holds the lock, by `SelectChan::lock`, and has no other reference to the state.
    #[allow(
        clippy::mut_from_ref,
        reason = "the lock is held: the caller's promise"
    )]
    unsafe fn locked(&self) -> &mut State<T> {
        // SAFETY: the caller's promise.
        unsafe { self.state.leaked() }
    }

    fn poll_send(&self, state: &mut State<T>, sudog: &Sudog) -> Poll {
        match self.find_place(state) {
            Offer::Full => return Poll::NotReady,
            Offer::Closed => sudog.elem.set(core::ptr::null_mut()),
            Offer::Receiver(receiver) => {
                let receiver: *const Sudog = receiver;
                sudog.elem.set(receiver.cast_mut().cast());
            }
            Offer::Room => {
                self.reserve(state);
                sudog.elem.set(RESERVED);
            }
        }
        Poll::Ready(None)
    }
}

impl<T> SelectChan for Chan<T> {
    fn key(&self) -> usize {
        (&raw const self.state) as usize
    }

    fn lock(&self, is_first: bool) {
        let guard = if is_first {
            self.state.lock()
        } else {
            self.state.lock_same_rank()
        };
        guard.leak();
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.state.unlock_leaked() };
    }

    fn seems_to_wait(&self, op: Op) -> bool {
        Chan::seems_to_wait(self, op)
    }

    unsafe fn poll(&self, op: Op, sudog: &Sudog) -> Poll {
        // SAFETY: the caller's promise.
        let state = unsafe { self.locked() };
        let ready = match op {
            Op::Send => return self.poll_send(state, sudog),
            Op::WatchRecv => self.can_recv(state),
            Op::WatchSend => self.can_send(state),
            Op::Recv => match self.take(state) {
                Taken::Value(value, sender) => {
                    // SAFETY: the caller's promise: a slot for values of this channel.
                    unsafe { slot(sudog.elem.get()) }.set(Some(value));
                    return Poll::Ready(sender);
                }
                Taken::Owed(sender) => return Poll::Owed(owe(sender, sudog)),
                Taken::Disconnected => true,
                Taken::Empty => false,
            },
        };
        if ready {
            Poll::Ready(None)
        } else {
            Poll::NotReady
        }
    }

    unsafe fn enqueue(&self, op: Op, sudog: &Sudog) {
        // SAFETY: the caller's promise.
        let state = unsafe { self.locked() };
        if !op.is_watch() {
            state.wake_watchers();
        }
        self.mark_waiter(op);
        // SAFETY: the caller's promise.
        unsafe { state.queue(op).enqueue(sudog) };
    }

    unsafe fn dequeue(&self, op: Op, sudog: &Sudog) {
        // SAFETY: the caller's promise.
        unsafe { self.locked() }.queue(op).remove(sudog);
    }
}

//! Sudog: a goroutine's place in a wait queue, and the queue.
//!
//! A sudog lives on the stack of the goroutine that waits, which does not return before it is out
//! of the queue. (Go allocates them, since its stacks move.) Whoever holds the lock of the queue's
//! owner may follow the pointers.
//!
//! Models: those of `sema` and of `chan::select`, where loom watches each cell of a sudog.

use core::ptr::NonNull;

use crate::primitive::Cell;
use crate::sched::g::G;
use crate::sched::gqueue::GQueue;

/// A goroutine in a wait queue.
pub struct Sudog {
    /// Who waits.
    pub g: &'static G,
    /// Where the value is, or is to go; what it points to is the queue's owner's matter.
    pub elem: Cell<*mut ()>,
    /// A waker took it out of the queue and so ended the wait; if not, time did.
    pub taken: Cell<bool>,
    /// Several may end this wait (a timer, other channels): only who wins with this ticket
    /// (`G::wait`) may use the sudog.
    pub ticket: Cell<Option<u32>>,
    next: Cell<Option<NonNull<Sudog>>>,
    prev: Cell<Option<NonNull<Sudog>>>,
    queued: Cell<bool>,
}

impl Sudog {
    /// A place for `g`, in no queue yet.
    #[inline(always)]
    pub fn new(g: &'static G, elem: *mut ()) -> Self {
        Self {
            g,
            elem: Cell::new(elem),
            taken: Cell::new(false),
            ticket: Cell::new(None),
            next: Cell::new(None),
            prev: Cell::new(None),
            queued: Cell::new(false),
        }
    }
}

/// Waiting goroutines, first in, first out.
pub struct WaitQueue {
    first: Option<NonNull<Sudog>>,
    last: Option<NonNull<Sudog>>,
}

// SAFETY: the pointers are followed under the lock of the queue's owner only, and lead to sudogs of
// goroutines that cannot go on before they are out of the queue.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    /// Nobody.
    pub const fn new() -> Self {
        Self {
            first: None,
            last: None,
        }
    }

    /// Whether nobody waits.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds a waiter at the end.
    ///
    /// # Safety
    /// The sudog stays in place until it is out of the queue.
    #[inline(always)]
    pub unsafe fn enqueue(&mut self, sudog: &Sudog) {
        sudog.prev.set(self.last);
        sudog.next.set(None);
        sudog.queued.set(true);
        let place = Some(NonNull::from(sudog));
        match self.last {
            // SAFETY: sudogs in the queue are alive.
            Some(last) => unsafe { last.as_ref() }.next.set(place),
            None => self.first = place,
        }
        self.last = place;
    }

    /// Adds a waiter before all others.
    ///
    /// # Safety
    /// As for [`WaitQueue::enqueue`].
    pub unsafe fn enqueue_front(&mut self, sudog: &Sudog) {
        sudog.prev.set(None);
        sudog.next.set(self.first);
        sudog.queued.set(true);
        let place = Some(NonNull::from(sudog));
        match self.first {
            // SAFETY: sudogs in the queue are alive.
            Some(first) => unsafe { first.as_ref() }.prev.set(place),
            None => self.last = place,
        }
        self.first = place;
    }

    /// Takes the first waiter whose wait nobody else has ended.
    #[inline(always)]
    pub fn dequeue(&mut self) -> Option<&Sudog> {
        self.dequeue_if(|_| true)
    }

    /// Takes the first waiter, as [`WaitQueue::dequeue`] does, but none whom `want` refuses, and
    /// then none behind it either.
    #[inline(always)]
    pub fn dequeue_if(&mut self, want: impl Fn(&Sudog) -> bool) -> Option<&Sudog> {
        loop {
            // SAFETY: sudogs in the queue are alive.
            let sudog = unsafe { self.first?.as_ref() };
            if !want(sudog) {
                return None;
            }
            self.unlink(sudog);
            if sudog
                .ticket
                .get()
                .is_none_or(|ticket| sudog.g.wait.win(ticket))
            {
                sudog.taken.set(true);
                return Some(sudog);
            }
        }
    }

    /// Takes all whose wait nobody else has ended, for the caller to ready when the lock is gone:
    /// they would run into it.
    pub fn drain(&mut self) -> GQueue {
        let mut ready = GQueue::new();
        while let Some(sudog) = self.dequeue() {
            ready.push_back(sudog.g);
        }
        ready
    }

    /// Takes this very sudog out. False if it is out already.
    pub fn remove(&mut self, sudog: &Sudog) -> bool {
        let queued = sudog.queued.get();
        if queued {
            self.unlink(sudog);
        }
        queued
    }

    #[inline(always)]
    fn unlink(&mut self, sudog: &Sudog) {
        let (prev, next) = (sudog.prev.get(), sudog.next.get());
        match prev {
            // SAFETY: neighbours in the queue are alive.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.first = next,
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.last = prev,
        }
        sudog.queued.set(false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

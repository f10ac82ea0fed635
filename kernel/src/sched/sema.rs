//! A weighted semaphore for goroutines, strictly in order (Go: `golang.org/x/sync/semaphore`, and
//! `semacquire` with one permit).
//!
//! All under one lock. `free` permits are there for whoever comes while nobody waits; as soon as
//! somebody waits, newcomers queue behind, even if what they want is free. Released permits go
//! straight to the first waiters whose wishes they fill: a waiter that is taken out of the queue
//! has its permits already, so nobody barges in. A first waiter whose wish is not filled holds back
//! all behind it; if time ends its wait, whoever stood behind it is looked at anew.
//!
//! `free` counts what nobody holds, so permits are exact whatever ends a wait: the ticket of the
//! waiter decides between a release and the limit.
//!
//! Models: `loom_tests.rs`: permits against waiters, some of which time ends.

use crate::base::lock::{Lock, Rank};
use crate::sched::g::{G, getg};
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

struct State {
    free: usize,
    waiters: WaitQueue,
}

/// A number of permits, and the goroutines that wait for some.
pub struct Semaphore {
    size: usize,
    state: Lock<State>,
}

impl Semaphore {
    /// A semaphore with this many permits.
    #[cfg(not(loom))]
    pub const fn new(size: usize) -> Self {
        Self {
            size,
            state: Lock::new(Rank::Chan, State::new(size)),
        }
    }

    /// A semaphore with this many permits.
    #[cfg(loom)]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            state: Lock::new(Rank::Chan, State::new(size)),
        }
    }

    /// How many permits there are in all.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many of them nobody holds now.
    pub fn free(&self) -> usize {
        self.state.lock().free
    }

    /// Takes `n` permits; parks until there are as many, at most until the limit.
    ///
    /// More than there are in all come never. Who wants them waits for the limit, but not in the
    /// queue, where it would hold up all behind it.
    pub fn acquire(&self, n: usize, limit: Limit, reason: WaitReason) -> Waited {
        let mut state = self.state.lock();
        if state.take(n) {
            return Waited::Woken;
        }
        if limit.is_over() {
            return Waited::TimedOut;
        }
        if n > self.size {
            drop(state);
            let nobody = Lock::new(Rank::Chan, WaitQueue::new());
            let sudog = Sudog::new(getg(), core::ptr::null_mut());
            return wait::wait(nobody.lock(), |q| q, &sudog, Place::Back, limit, reason);
        }
        let sudog = Sudog::new(getg(), core::ptr::from_ref(&n).cast_mut().cast());
        let waited = wait::wait(
            state,
            |s| &mut s.waiters,
            &sudog,
            Place::Back,
            limit,
            reason,
        );
        if waited == Waited::TimedOut {
            // It may have been the one that the others waited behind.
            self.serve(0);
        }
        waited
    }

    /// Takes `n` permits if they are there and nobody waits.
    pub fn try_acquire(&self, n: usize) -> bool {
        self.state.lock().take(n)
    }

    /// Gives `n` permits back, to the first waiters if there are any.
    ///
    /// # Panics
    /// `semaphore: released more than held`.
    pub fn release(&self, n: usize) {
        assert!(self.serve(n), "semaphore: released more than held");
    }

    /// Adds `n` to the free permits and hands them out. False, with nothing done, if that would be
    /// more than there are.
    fn serve(&self, n: usize) -> bool {
        let mut state = self.state.lock();
        if n > self.size - state.free {
            return false;
        }
        state.free += n;
        let mut ready = GQueue::new();
        while let Some(gp) = state.grant() {
            ready.push_back(gp);
        }
        drop(state);
        park::goready_all(ready);
        true
    }
}

impl State {
    const fn new(free: usize) -> Self {
        Self {
            free,
            waiters: WaitQueue::new(),
        }
    }

    fn take(&mut self, n: usize) -> bool {
        let there = self.waiters.is_empty() && n <= self.free;
        if there {
            self.free -= n;
        }
        there
    }

    /// Fills the first waiter's wish, if the free permits do.
    fn grant(&mut self) -> Option<&'static G> {
        let free = self.free;
        let sudog = self.waiters.dequeue_if(|sudog| wish(sudog) <= free)?;
        self.free -= wish(sudog);
        Some(sudog.g)
    }
}

/// How many permits this waiter wants.
fn wish(sudog: &Sudog) -> usize {
    // SAFETY: `acquire` made the sudog point to its `n`, which is there while it waits.
    unsafe { *sudog.elem.get().cast::<usize>() }
}

#[cfg(all(test, loom))]
mod loom_tests;

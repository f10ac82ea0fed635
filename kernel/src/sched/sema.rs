//! A counting semaphore for goroutines (Go: `semacquire`, `semrelease`).
//!
//! Released permits go straight to the first waiter: its sudog is taken out under the lock and the
//! count never shows the permit, so nobody barges in and nobody is forgotten.

use crate::base::lock::{Lock, Rank};
use crate::sched::g::getg;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};

struct State {
    permits: u32,
    waiters: WaitQueue,
}

/// A number of permits, and the goroutines that wait for one.
pub struct Semaphore {
    state: Lock<State>,
}

impl Semaphore {
    /// A semaphore with this many permits.
    pub const fn new(permits: u32) -> Self {
        Self {
            state: Lock::new(
                Rank::Chan,
                State {
                    permits,
                    waiters: WaitQueue::new(),
                },
            ),
        }
    }

    /// Takes a permit; parks until there is one.
    pub fn acquire(&self, reason: WaitReason) {
        let mut state = self.state.lock();
        if state.permits > 0 {
            state.permits -= 1;
            return;
        }
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        // SAFETY: this goroutine stays parked, and the sudog in place, until `release` took it out.
        unsafe { state.waiters.enqueue(&sudog) };
        park::gopark_unlock(state, reason);
    }

    /// Takes a permit if there is one now.
    pub fn try_acquire(&self) -> bool {
        let mut state = self.state.lock();
        let got = state.permits > 0;
        if got {
            state.permits -= 1;
        }
        got
    }

    /// Gives a permit to the first waiter, or back.
    pub fn release(&self) {
        let mut state = self.state.lock();
        let waiter = state.waiters.dequeue().map(|sudog| sudog.g);
        if waiter.is_none() {
            state.permits += 1;
        }
        drop(state);
        if let Some(gp) = waiter {
            park::goready(gp);
        }
    }
}

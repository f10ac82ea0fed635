//! Go's WaitGroup.

use alloc::sync::Arc;
use core::time::Duration;

use crate::base::lock::{Lock, Rank};
use crate::sched::g::getg;
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

struct State {
    counter: i64,
    waiters: WaitQueue,
}

/// Waits until a number of goroutines are done (Go: `sync.WaitGroup`). Clones are the same group.
#[derive(Clone)]
pub struct WaitGroup {
    state: Arc<Lock<State>>,
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitGroup {
    /// A group that waits for nobody.
    pub fn new() -> Self {
        let state = State {
            counter: 0,
            waiters: WaitQueue::new(),
        };
        Self {
            state: Arc::new(Lock::new(Rank::Chan, state)),
        }
    }

    /// Adds `delta`, which may be negative, to the counter; at zero all waiters go on.
    ///
    /// # Panics
    /// `sync: negative WaitGroup counter`.
    pub fn add(&self, delta: i64) {
        let mut state = self.state.lock();
        let counter = state.counter.saturating_add(delta);
        if counter < 0 {
            drop(state);
            panic!("sync: negative WaitGroup counter");
        }
        state.counter = counter;
        let mut ready = GQueue::new();
        if counter == 0 {
            while let Some(sudog) = state.waiters.dequeue() {
                ready.push_back(sudog.g);
            }
        }
        drop(state);
        while let Some(gp) = ready.pop_front() {
            park::goready(gp);
        }
    }

    /// One is done: `add(-1)`.
    pub fn done(&self) {
        self.add(-1);
    }

    /// Waits until the counter is zero.
    pub fn wait(&self) {
        let _ = self.wait_until(Limit::Forever);
    }

    /// Waits until the counter is zero, at most `d`. Whether it became zero.
    pub fn wait_timeout(&self, d: Duration) -> bool {
        self.wait_until(Limit::after(d)) == Waited::Woken
    }

    fn wait_until(&self, limit: Limit) -> Waited {
        let state = self.state.lock();
        if state.counter == 0 {
            return Waited::Woken;
        }
        if limit.is_over() {
            return Waited::TimedOut;
        }
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        wait::wait(
            state,
            |s| &mut s.waiters,
            &sudog,
            Place::Back,
            limit,
            WaitReason::SyncWaitGroupWait,
        )
    }

    /// Starts a goroutine that the group waits for (Go 1.25: `WaitGroup.Go`).
    pub fn go(&self, f: impl FnOnce() + Send + 'static) {
        self.add(1);
        let group = self.clone();
        crate::go(move || {
            f();
            group.done();
        });
    }
}

//! Go's WaitGroup.

use alloc::sync::Arc;
use core::time::Duration;

use crate::base::lock::{Lock, Rank};
use crate::sched::g::getg;
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::time::Instant;

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
        let mut state = self.state.lock();
        if state.counter == 0 {
            return;
        }
        let sudog = Sudog::new(getg(), core::ptr::null_mut(), None);
        // SAFETY: this goroutine stays parked until `add` took the sudog out.
        unsafe { state.waiters.enqueue(&sudog) };
        park::gopark_unlock(state, WaitReason::SyncWaitGroupWait);
    }

    /// Waits until the counter is zero, at most `d`. Whether it became zero.
    pub fn wait_timeout(&self, d: Duration) -> bool {
        let gp = getg();
        let until_ns = (Instant::now() + d).as_nanos();
        let mut state = self.state.lock();
        if state.counter == 0 {
            return true;
        }
        let sudog = Sudog::new(gp, core::ptr::null_mut(), Some(gp.wait.begin()));
        gp.sleep_until_ns
            .store(until_ns, core::sync::atomic::Ordering::Relaxed);
        // SAFETY: the sudog is out of the queue before this function returns.
        unsafe { state.waiters.enqueue(&sudog) };
        park::gopark_unlock_until(state, WaitReason::SyncWaitGroupWait);
        gp.timer.stop();
        if !sudog.taken.get() {
            self.state.lock().waiters.remove(&sudog);
        }
        sudog.taken.get()
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

//! Timers that call a function (Go: `time.AfterFunc`).
//!
//! # Protocol
//!
//! The state is armed or idle, under a lock, and so are all calls that arm or disarm the heap's
//! entry. Each arming has a number of its own, which travels with the entry:
//!
//! - *arm*: armed, with a new number; the entry goes into a heap.
//! - *stop*: idle; the entry leaves the heap. If it had left already, because the timer is just
//!   coming due on another CPU, that callback will find that the state is idle, or armed with
//!   another number, and do nothing. So whoever finds the timer armed has prevented the call,
//!   whatever the heap says.
//! - *due*, on g0: if armed with this very number, idle, and a goroutine is started for the call.
//!
//! # Memory
//!
//! The heap points at the entry, and a callback in flight at all of it, so each arming owns a
//! strong count of the `Arc`: given up by whoever takes the entry out of the heap, or by the
//! callback. A timer that nobody holds any more fires all the same, as in Go.
//!
//! The function is the user's, and so is what drops with it; both may park. So neither a call nor
//! the last count ends on g0.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem;

use crate::base::lock::{Lock, Rank};
use crate::go;
use crate::sched::timers::Timer as Entry;
use crate::sched::wait;
use crate::sync::Mutex;

/// A function that a timer calls, any number of times.
type Callback = Box<dyn FnMut() + Send>;

struct State {
    armed: bool,
    /// The number of the latest arming.
    seq: u32,
}

/// A timer with the function that it calls.
pub(super) struct AfterFunc {
    entry: Entry,
    state: Lock<State>,
    /// Held while it runs: one call after the other.
    callback: Mutex<Callback>,
}

impl AfterFunc {
    /// A timer that is not armed.
    pub(super) fn new(callback: Callback) -> Arc<Self> {
        Arc::new(Self {
            entry: Entry::new(),
            state: Lock::new(
                Rank::Chan,
                State {
                    armed: false,
                    seq: 0,
                },
            ),
            callback: Mutex::new(callback),
        })
    }

    /// Prevents the call that is due next. False if there is none.
    pub(super) fn stop(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        let was_armed = mem::take(&mut state.armed);
        let owned = self.disarm();
        drop(state);
        drop(owned);
        was_armed
    }

    /// Replaces the call that is due next, if any, by one at `when_ns`. Whether there was one.
    pub(super) fn reset(self: &Arc<Self>, when_ns: u64) -> bool {
        let mut state = self.state.lock();
        let owned = self.disarm();
        let was_armed = mem::replace(&mut state.armed, true);
        state.seq = state.seq.wrapping_add(1);
        let this = Arc::into_raw(self.clone());
        // SAFETY: the count that `this` stands for keeps the entry in place until `disarm` takes it
        // out of the heap, or `due` has run. It is in no heap: arming and disarming are under the
        // lock, and a heap lets go of an entry before it calls `due`.
        unsafe { wait::arm(&self.entry, when_ns, due, this as usize, state.seq) };
        drop(state);
        drop(owned);
        was_armed
    }

    /// Under the lock: takes the entry out of its heap, with the count that the arming owned.
    fn disarm(self: &Arc<Self>) -> Option<Arc<Self>> {
        // SAFETY: `reset` gave a count to the arming, whose callback will not run any more.
        self.entry
            .stop()
            .then(|| unsafe { Arc::from_raw(Arc::as_ptr(self)) })
    }

    fn call(&self) {
        (self.callback.lock())();
    }
}

/// On g0: the timer is due, if its arming still is the one with this number.
fn due(this: usize, seq: u32) {
    // SAFETY: the count that `reset` gave to this arming.
    let this = unsafe { Arc::from_raw(this as *const AfterFunc) };
    let mut state = this.state.lock();
    let fires = state.armed && state.seq == seq;
    if fires {
        state.armed = false;
    }
    drop(state);
    if fires {
        go(move || this.call());
        return;
    }
    // Stopped in the last moment, and nobody else may hold it any more.
    if let Some(last) = Arc::into_inner(this) {
        go(move || drop(last.callback));
    }
}

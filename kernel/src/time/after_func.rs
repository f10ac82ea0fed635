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
//! A timer that nobody holds any more fires all the same, as in Go: the arming owns it. The
//! function is the user's, and so is what drops with it; both may park. So neither a call nor the
//! last owner ends on g0.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem;

use crate::base::lock::{Lock, Rank};
use crate::go;
use crate::sched::defer;
use crate::sync::Mutex;
use crate::time::alarm::{Alarm, Alarmed};

/// A function that a timer calls, any number of times.
type Callback = Box<dyn FnMut() + Send>;

struct State {
    armed: bool,
    /// The number of the latest arming.
    seq: u32,
    /// A call has not returned, and never will.
    exited: bool,
}

/// A timer with the function that it calls.
pub(super) struct AfterFunc {
    state: Lock<State>,
    /// Used under the lock.
    alarm: Alarm<AfterFunc>,
    /// Held while it runs: one call after the other.
    callback: Mutex<Callback>,
}

impl AfterFunc {
    /// A timer that is not armed.
    pub(super) fn new(callback: Callback) -> Arc<Self> {
        let state = State {
            armed: false,
            exited: false,
            seq: 0,
        };
        Arc::new(Self {
            state: Lock::new(Rank::Chan, state),
            alarm: Alarm::new(),
            callback: Mutex::new(callback),
        })
    }

    /// Prevents the call that is due next. False if there is none.
    pub(super) fn stop(&self) -> bool {
        let mut state = self.state.lock();
        // SAFETY: under the lock.
        let owned = unsafe { self.alarm.stop() };
        let was_armed = mem::take(&mut state.armed);
        drop(state);
        drop(owned);
        was_armed
    }

    /// Replaces the call that is due next, if any, by one at `when_ns`. Whether there was one.
    pub(super) fn reset(self: &Arc<Self>, when_ns: u64) -> bool {
        let mut state = self.state.lock();
        // SAFETY: under the lock.
        let owned = unsafe { self.alarm.stop() };
        let was_armed = mem::replace(&mut state.armed, true);
        state.seq = state.seq.wrapping_add(1);
        // SAFETY: under the lock, and just stopped.
        unsafe { self.alarm.set(self.clone(), when_ns, state.seq) };
        drop(state);
        drop(owned);
        was_armed
    }

    fn call(&self) {
        let mut callback = self.callback.lock();
        // A function that goexits stands still in the middle, and is never called again.
        let exited = || self.state.lock().exited = true;
        defer::on_goexit(&exited, &mut *callback);
    }
}

impl Alarmed for AfterFunc {
    fn due(self: Arc<Self>, seq: u32) {
        let mut state = self.state.lock();
        let fires = state.armed && state.seq == seq && !state.exited;
        if fires {
            state.armed = false;
        }
        drop(state);
        if fires {
            go(move || self.call());
        } else if let Some(last) = Arc::into_inner(self) {
            // Stopped in the last moment, and nobody else holds it any more.
            go(move || drop(last.callback));
        }
    }
}

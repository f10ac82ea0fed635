//! A timer in a thing that is shared: its arming keeps the thing alive.
//!
//! A P's heap points at the timer, and a callback in flight on another CPU at all of the thing. So
//! each arming owns a strong count of the thing's `Arc`; whoever takes the timer out of the heap
//! gets it, or else the callback does. Nobody ever waits for a callback.
//!
//! The owner keeps a lock around all that it does to its alarm, and a number for each arming: a
//! callback that comes too late, after the alarm was stopped or set again, is told by its number.

use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::sched::timers::Timer;
use crate::sched::wait;

/// Something with an alarm, in an `Arc`.
pub(crate) trait Alarmed: Send + Sync {
    /// The alarm with this number went off, or was about to when it was stopped. On g0, no lock
    /// held; must not park.
    fn due(self: Arc<Self>, seq: u32);
}

/// A timer that calls [`Alarmed::due`] of what it is part of.
pub(crate) struct Alarm<A> {
    timer: Timer,
    /// Whose count the arming owns; under the owner's lock.
    owner: AtomicPtr<A>,
}

impl<A: Alarmed> Alarm<A> {
    /// Not set.
    pub(crate) const fn new() -> Self {
        Self {
            timer: Timer::new(),
            owner: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Sets the alarm on this M's P.
    ///
    /// # Safety
    /// `self` is part of `owner`; calls of `set` and `stop` are under one lock; and the alarm is
    /// not set: it never was, it was stopped since, or it went off.
    pub(crate) unsafe fn set(&self, owner: Arc<A>, when_ns: u64, seq: u32) {
        let owner = Arc::into_raw(owner);
        self.owner.store(owner.cast_mut(), Ordering::Relaxed);
        // SAFETY: the count keeps the timer in place until `stop` took it out of the heap or `due`
        // has run. It is in no heap: a heap lets go of a timer before it calls its function.
        unsafe { wait::arm(&self.timer, when_ns, due::<A>, owner as usize, seq) };
    }

    /// Stops the alarm, and gives the count that it owned, which the caller may have to drop
    /// elsewhere. Nothing, if the alarm was not set, or goes off just now.
    ///
    /// # Safety
    /// As for [`Alarm::set`]: under the same lock.
    pub(crate) unsafe fn stop(&self) -> Option<Arc<A>> {
        self.timer.stop().then(|| {
            // SAFETY: `set` left a count of it to the timer, whose callback will not run any more.
            unsafe { Arc::from_raw(self.owner.load(Ordering::Relaxed)) }
        })
    }
}

/// On g0: the timer's callback.
fn due<A: Alarmed>(owner: usize, seq: u32) {
    // SAFETY: the count that `set` left to this arming.
    unsafe { Arc::from_raw(owner as *const A) }.due(seq);
}

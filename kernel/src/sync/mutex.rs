//! A mutex that parks goroutines.
//!
//! `state`: 0 free, 1 locked, 2 locked and somebody may wait. A waiter sets 2 and queues itself
//! under the queue's lock only while the state still is 2; who unlocks a 2 takes the first waiter
//! out under the same lock, so no wake-up is lost. The woken one competes again, as in Go's normal
//! mode, and keeps the state at 2 for those behind it.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::base::lock::{Lock, Rank};
use crate::sched::g::getg;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
const CONTENDED: u32 = 2;

/// A value that one goroutine at a time may touch. As `std::sync::Mutex` without poisoning.
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    waiters: Lock<WaitQueue>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is touched by the holder of the lock alone.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as for its value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A mutex around `value`, free.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(FREE),
            waiters: Lock::new(Rank::Chan, WaitQueue::new()),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, when the mutex is no longer needed.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the mutex and locks it. One locked instruction when it is free.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !self.try_state(LOCKED) {
            self.lock_slow();
        }
        MutexGuard { mutex: self }
    }

    /// Locks the mutex if it is free now.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_state(LOCKED).then_some(MutexGuard { mutex: self })
    }

    fn try_state(&self, to: u32) -> bool {
        self.state
            .compare_exchange(FREE, to, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn lock_slow(&self) {
        while self.state.swap(CONTENDED, Ordering::Acquire) != FREE {
            let mut waiters = self.waiters.lock();
            if self.state.load(Ordering::Relaxed) != CONTENDED {
                continue;
            }
            let sudog = Sudog::new(getg(), core::ptr::null_mut());
            // SAFETY: this goroutine stays parked until `unlock_slow` took the sudog out.
            unsafe { waiters.enqueue(&sudog) };
            park::gopark_unlock(waiters, WaitReason::SyncMutexLock);
        }
    }

    #[cold]
    fn unlock_slow(&self) {
        let waiter = self.waiters.lock().dequeue().map(|sudog| sudog.g);
        if let Some(gp) = waiter {
            park::goready(gp);
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(value) => f.debug_struct("Mutex").field("data", &&*value).finish(),
            None => f.write_str("Mutex { <locked> }"),
        }
    }
}

/// The right to the value of a [`Mutex`]; unlocks when dropped.
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the right to the value.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.mutex.state.swap(FREE, Ordering::Release) == CONTENDED {
            self.mutex.unlock_slow();
        }
    }
}

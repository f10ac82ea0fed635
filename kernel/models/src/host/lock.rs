//! `base::lock` over loom's mutex, which also finds locks that wait for each other.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use loom::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy)]
pub enum Rank {
    Chan,
    Timers,
}

pub struct LockHead {
    mutex: Mutex<()>,
    /// While the lock is held: what loom knows of that.
    held: UnsafeCell<Option<MutexGuard<'static, ()>>>,
}

#[repr(C)] // as the kernel's: parking passes the head
pub struct Lock<T> {
    head: LockHead,
    value: UnsafeCell<T>,
}

// SAFETY: who holds the mutex is alone with the value, and with `held`.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: as above; a lock that moves is not held.
unsafe impl<T: Send> Send for Lock<T> {}

impl LockHead {
    fn take(&self) {
        let guard = self.mutex.lock().unwrap();
        // SAFETY: the guard does not outlive the hold, nor the hold the lock; and the lock is held.
        unsafe {
            let guard = core::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard);
            *self.held.get() = Some(guard);
        }
    }

    fn release(&self) {
        // SAFETY: the lock is held until the guard is dropped, which is outside the cell by then.
        let guard = unsafe { (*self.held.get()).take() };
        drop(guard.expect("released by who holds it"));
    }

    /// # Safety
    /// As the kernel's.
    pub unsafe fn unlock_leaked(&self) {
        self.release();
    }
}

impl<T> Lock<T> {
    pub fn new(_: Rank, value: T) -> Self {
        Self {
            head: LockHead {
                mutex: Mutex::new(()),
                held: UnsafeCell::new(None),
            },
            value: UnsafeCell::new(value),
        }
    }

    pub fn lock(&self) -> LockGuard<'_, T> {
        self.head.take();
        LockGuard { lock: self }
    }

    pub fn lock_same_rank(&self) -> LockGuard<'_, T> {
        self.lock()
    }

    pub fn head(&self) -> &LockHead {
        &self.head
    }

    /// # Safety
    /// As the kernel's.
    pub unsafe fn unlock_leaked(&self) {
        self.head.release();
    }

    /// # Safety
    /// As the kernel's.
    #[allow(clippy::mut_from_ref, reason = "as the kernel's")]
    pub unsafe fn leaked(&self) -> &mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.value.get() }
    }
}

pub struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
}

impl<'a, T> LockGuard<'a, T> {
    pub fn leak(self) -> &'a Lock<T> {
        ManuallyDrop::new(self).lock
    }

    pub fn unlock_and_stay(self) {
        drop(self);
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.head.release();
    }
}

//! Mutex: a value that one goroutine at a time may touch, and its guards.
//!
//! The guard is the right to the value; [`RawMutex`] sees to it that there is one at a time. There
//! is no poisoning: a panic ends the image. A goroutine that ends by `goexit` with a guard in hand
//! leaves the mutex locked, since nothing is unwound (in Go, `defer` would unlock it).

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::time::Duration;

use crate::base::instant::Instant;
use crate::sched::park::WaitReason;
use crate::sched::wait::Limit;
use crate::sync::holder;
use crate::sync::raw_mutex::RawMutex;

const REASON: WaitReason = WaitReason::SyncMutexLock;

/// A value that one goroutine at a time may touch: `std::sync::Mutex` without poisoning, with the
/// fairness of Go's `sync.Mutex`.
///
/// Locking and unlocking cost one locked instruction each while nobody else wants the mutex. Who
/// finds it locked spins for some microseconds if that may help, then parks. Whoever has waited for
/// more than 1 ms gets it next.
///
/// ```
/// use gosched::sync::{Mutex, WaitGroup};
/// static TOTAL: Mutex<u64> = Mutex::new(0);
/// let group = WaitGroup::new();
/// for n in 1..=10 {
///     group.go(move || *TOTAL.lock() += n);
/// }
/// group.wait();
/// assert_eq!(*TOTAL.lock(), 55);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value is touched by the holder of the lock alone.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as for its value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A mutex around `value`, free.
    ///
    /// ```
    /// let mutex = gosched::sync::Mutex::new(1);
    /// assert!(!mutex.is_locked());
    /// ```
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawMutex::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, when the mutex is no longer needed.
    ///
    /// ```
    /// assert_eq!(gosched::sync::Mutex::new(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the mutex. The guard unlocks it when it goes.
    ///
    /// A goroutine that holds it already waits for itself, for ever.
    ///
    /// ```
    /// let mutex = gosched::sync::Mutex::new(1);
    /// *mutex.lock() += 1;
    /// assert_eq!(*mutex.lock(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.raw.lock(REASON);
        MutexGuard::new(self)
    }

    /// Locks the mutex if it is free now. It is not while it is being handed to a waiter.
    ///
    /// ```
    /// let mutex = gosched::sync::Mutex::new(1);
    /// let held = mutex.lock();
    /// assert!(mutex.try_lock().is_none());
    /// drop(held);
    /// assert!(mutex.try_lock().is_some());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard::new(self))
    }

    /// Waits for the mutex, at most `d`. None: the time is up and the mutex is not held.
    ///
    /// ```
    /// use gosched::{sync::Mutex, time::Duration};
    /// let mutex = Mutex::new(1);
    /// let held = mutex.lock();
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_none());
    /// drop(held);
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_some());
    /// ```
    pub fn lock_timeout(&self, d: Duration) -> Option<MutexGuard<'_, T>> {
        self.lock_within(Limit::after(d))
    }

    /// Waits for the mutex, at most until `deadline`.
    ///
    /// ```
    /// use gosched::{sync::Mutex, time::{Duration, Instant}};
    /// let mutex = Mutex::new(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert!(mutex.lock_deadline(deadline).is_some());
    /// ```
    pub fn lock_deadline(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        self.lock_within(Limit::until(deadline))
    }

    /// [`Mutex::lock_timeout`] by the name that it has in `parking_lot`.
    ///
    /// ```
    /// use gosched::{sync::Mutex, time::Duration};
    /// assert!(Mutex::new(1).try_lock_for(Duration::ZERO).is_some());
    /// ```
    pub fn try_lock_for(&self, d: Duration) -> Option<MutexGuard<'_, T>> {
        self.lock_timeout(d)
    }

    /// [`Mutex::lock_deadline`] by the name that it has in `parking_lot`.
    ///
    /// ```
    /// use gosched::{sync::Mutex, time::Instant};
    /// assert!(Mutex::new(1).try_lock_until(Instant::now()).is_some());
    /// ```
    pub fn try_lock_until(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        self.lock_deadline(deadline)
    }

    fn lock_within(&self, limit: Limit) -> Option<MutexGuard<'_, T>> {
        self.raw
            .lock_within(limit, REASON)
            .then(|| MutexGuard::new(self))
    }

    /// Whether somebody holds the mutex: history by the time it is known.
    ///
    /// ```
    /// let mutex = gosched::sync::Mutex::new(1);
    /// let held = mutex.lock();
    /// assert!(mutex.is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// The value, without locking: that the mutex is borrowed for writing shows that nobody has it.
    ///
    /// ```
    /// let mut mutex = gosched::sync::Mutex::new(1);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(*mutex.lock(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Unlocks without a guard, one that was forgotten by `core::mem::forget`. Any goroutine may,
    /// as in Go.
    ///
    /// If nobody holds the mutex, that is the fatal error `sync: unlock of unlocked mutex`, which
    /// ends the image.
    ///
    /// # Safety
    /// The guard was forgotten, and nobody uses the reference to the value that it gave.
    ///
    /// ```
    /// let mutex = gosched::sync::Mutex::new(1);
    /// core::mem::forget(mutex.lock());
    /// // SAFETY: the guard is forgotten, and its reference with it.
    /// unsafe { mutex.force_unlock() };
    /// assert!(mutex.try_lock().is_some());
    /// ```
    pub unsafe fn force_unlock(&self) {
        holder::mark_forced();
        self.raw.unlock();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(value) => text.field("data", &&*value),
            None => text.field("data", &format_args!("<locked>")),
        };
        text.finish_non_exhaustive()
    }
}

/// The right to the value of a [`Mutex`]; unlocks when dropped. It stays with its goroutine.
#[must_use = "the mutex is unlocked as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared guard gives out no more than `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    #[inline(always)]
    fn new(mutex: &'a Mutex<T>) -> Self {
        Self {
            mutex,
            not_send: PhantomData,
        }
    }

    /// The lock alone, for [`Condvar`](crate::sync::Condvar), which gives it up and takes it again.
    pub(super) fn raw(&self) -> &'a RawMutex {
        &self.mutex.raw
    }

    /// The right to a part of the value.
    ///
    /// ```
    /// use gosched::sync::{Mutex, MutexGuard};
    /// let pair = Mutex::new((1, "one"));
    /// let mut number = MutexGuard::map(pair.lock(), |pair| &mut pair.0);
    /// *number = 2;
    /// drop(number);
    /// assert_eq!(pair.lock().0, 2);
    /// ```
    pub fn map<U: ?Sized>(
        guard: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedMutexGuard<'a, U> {
        let guard = ManuallyDrop::new(guard);
        // SAFETY: the guard, which is not used any more, was the right to the value.
        let value = NonNull::from(part(unsafe { &mut *guard.mutex.value.get() }));
        MappedMutexGuard {
            raw: &guard.mutex.raw,
            value,
            borrows: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
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

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

/// The right to a part of the value of a [`Mutex`], made by [`MutexGuard::map`]; unlocks when
/// dropped.
#[must_use = "the mutex is unlocked as soon as the guard is dropped"]
pub struct MappedMutexGuard<'a, T: ?Sized> {
    raw: &'a RawMutex,
    value: NonNull<T>,
    borrows: PhantomData<&'a mut T>,
}

// SAFETY: a shared guard gives out no more than `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MappedMutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MappedMutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to the value, of which this is a part.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for MappedMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MappedMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> Drop for MappedMutexGuard<'_, T> {
    fn drop(&mut self) {
        self.raw.unlock();
    }
}

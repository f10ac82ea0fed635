//! RwLock: a value that many may read or one may write, and its guards. Who comes in when is
//! [`RawRwLock`]'s matter.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use crate::base::instant::Instant;
use crate::sched::wait::Limit;
use crate::sync::holder;
use crate::sync::raw_rwlock::RawRwLock;

/// A value that many goroutines may read at a time, or one may write: `std::sync::RwLock` without
/// poisoning, with the rules of Go's `sync.RWMutex`. A writer that waits holds new readers back,
/// and the readers that it held back come in before the next writer.
///
/// So a goroutine must not read again while it reads: if a writer came in between, each waits for
/// the other.
///
/// Reading costs one locked instruction to begin and one to end while no writer is there, writing
/// two and two. While a writer waits, readers park.
///
/// ```
/// use gosched::sync::RwLock;
/// let lock = RwLock::new(5);
/// {
///     let (one, two) = (lock.read(), lock.read());
///     assert_eq!(*one + *two, 10);
/// }
/// *lock.write() += 1;
/// assert_eq!(*lock.read(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    value: UnsafeCell<T>,
}

// SAFETY: readers share the value between CPUs, and a writer has it alone.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: as for its value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T> RwLock<T> {
    /// A lock around `value`, with nobody inside.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// assert_eq!(*lock.read(), 1);
    /// ```
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawRwLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, when the lock is no longer needed.
    ///
    /// ```
    /// assert_eq!(gosched::sync::RwLock::new(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer is inside or before it, and comes in as a reader.
    ///
    /// # Panics
    /// `sync: too many readers`: a billion guards are alive, or were forgotten.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// assert_eq!(*lock.read(), 1);
    /// ```
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.raw.read(Limit::Forever);
        RwLockReadGuard::new(self)
    }

    /// Comes in as a reader if no writer is inside or waits.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// let writer = lock.write();
    /// assert!(lock.try_read().is_none());
    /// ```
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.raw.try_read().then(|| RwLockReadGuard::new(self))
    }

    /// Waits to come in as a reader, at most `d`. None: the time is up.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Duration};
    /// let lock = RwLock::new(1);
    /// let writer = lock.write();
    /// assert!(lock.read_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn read_timeout(&self, d: Duration) -> Option<RwLockReadGuard<'_, T>> {
        self.read_within(Limit::after(d))
    }

    /// Waits to come in as a reader, at most until `deadline`.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Instant};
    /// assert!(RwLock::new(1).read_deadline(Instant::now()).is_some());
    /// ```
    pub fn read_deadline(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, T>> {
        self.read_within(Limit::until(deadline))
    }

    /// [`RwLock::read_timeout`] by the name that it has in `parking_lot`.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Duration};
    /// assert!(RwLock::new(1).try_read_for(Duration::ZERO).is_some());
    /// ```
    pub fn try_read_for(&self, d: Duration) -> Option<RwLockReadGuard<'_, T>> {
        self.read_timeout(d)
    }

    /// [`RwLock::read_deadline`] by the name that it has in `parking_lot`.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Instant};
    /// assert!(RwLock::new(1).try_read_until(Instant::now()).is_some());
    /// ```
    pub fn try_read_until(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, T>> {
        self.read_deadline(deadline)
    }

    fn read_within(&self, limit: Limit) -> Option<RwLockReadGuard<'_, T>> {
        self.raw.read(limit).then(|| RwLockReadGuard::new(self))
    }

    /// Waits for the writers before it, holds new readers back, waits until those inside have left,
    /// and comes in as the writer.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// *lock.write() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.raw.write(Limit::Forever);
        RwLockWriteGuard::new(self)
    }

    /// Comes in as the writer if nobody is inside or waits to write.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// let reader = lock.read();
    /// assert!(lock.try_write().is_none());
    /// ```
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.raw.try_write().then(|| RwLockWriteGuard::new(self))
    }

    /// Waits to come in as the writer, at most `d`. None: the time is up, and the readers that were
    /// held back for this have come in.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Duration};
    /// let lock = RwLock::new(1);
    /// let reader = lock.read();
    /// assert!(lock.write_timeout(Duration::from_millis(1)).is_none());
    /// assert!(lock.try_read().is_some());
    /// ```
    pub fn write_timeout(&self, d: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_within(Limit::after(d))
    }

    /// Waits to come in as the writer, at most until `deadline`.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Instant};
    /// assert!(RwLock::new(1).write_deadline(Instant::now()).is_some());
    /// ```
    pub fn write_deadline(&self, deadline: Instant) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_within(Limit::until(deadline))
    }

    /// [`RwLock::write_timeout`] by the name that it has in `parking_lot`.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Duration};
    /// assert!(RwLock::new(1).try_write_for(Duration::ZERO).is_some());
    /// ```
    pub fn try_write_for(&self, d: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_timeout(d)
    }

    /// [`RwLock::write_deadline`] by the name that it has in `parking_lot`.
    ///
    /// ```
    /// use gosched::{sync::RwLock, time::Instant};
    /// assert!(RwLock::new(1).try_write_until(Instant::now()).is_some());
    /// ```
    pub fn try_write_until(&self, deadline: Instant) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_deadline(deadline)
    }

    fn write_within(&self, limit: Limit) -> Option<RwLockWriteGuard<'_, T>> {
        self.raw.write(limit).then(|| RwLockWriteGuard::new(self))
    }

    /// The value, without locking: that the lock is borrowed for writing shows that nobody is
    /// inside.
    ///
    /// ```
    /// let mut lock = gosched::sync::RwLock::new(1);
    /// *lock.get_mut() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Ends a read whose guard was forgotten. If nobody reads, that is the fatal error
    /// `sync: RUnlock of unlocked RWMutex`, which ends the image.
    ///
    /// # Safety
    /// A read guard was forgotten, and nobody uses the reference that it gave.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// core::mem::forget(lock.read());
    /// // SAFETY: the guard is forgotten, and its reference with it.
    /// unsafe { lock.force_unlock_read() };
    /// ```
    pub unsafe fn force_unlock_read(&self) {
        self.raw.read_unlock();
    }

    /// Ends a write whose guard was forgotten. If nobody writes, that is the fatal error
    /// `sync: Unlock of unlocked RWMutex`, which ends the image.
    ///
    /// # Safety
    /// The write guard was forgotten, and nobody uses the reference that it gave.
    ///
    /// ```
    /// let lock = gosched::sync::RwLock::new(1);
    /// core::mem::forget(lock.write());
    /// // SAFETY: the guard is forgotten, and its reference with it.
    /// unsafe { lock.force_unlock_write() };
    /// ```
    pub unsafe fn force_unlock_write(&self) {
        holder::mark_forced();
        self.raw.write_unlock();
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("RwLock");
        match self.try_read() {
            Some(value) => text.field("data", &&*value),
            None => text.field("data", &format_args!("<locked>")),
        };
        text.finish_non_exhaustive()
    }
}

/// The right to read the value of an [`RwLock`], until it is dropped. It stays with its goroutine.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared guard gives out no more than `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    #[inline(always)]
    fn new(lock: &'a RwLock<T>) -> Self {
        Self {
            lock,
            not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to read.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.raw.read_unlock();
    }
}

/// The right to write the value of an [`RwLock`], until it is dropped. It stays with its goroutine.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared guard gives out no more than `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    #[inline(always)]
    fn new(lock: &'a RwLock<T>) -> Self {
        Self {
            lock,
            not_send: PhantomData,
        }
    }

    /// The writer becomes a reader, and lets other readers in; nobody writes in between.
    ///
    /// ```
    /// use gosched::sync::{RwLock, RwLockWriteGuard};
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.write();
    /// *writer = 2;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*lock.read(), *reader);
    /// ```
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let lock = ManuallyDrop::new(guard).lock;
        lock.raw.downgrade();
        RwLockReadGuard::new(lock)
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to read and write.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.raw.write_unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

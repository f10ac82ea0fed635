//! Semaphore: a number of permits to share out. The order and the counting are
//! [`sched::sema`](crate::sched::sema)'s, which the scheduler uses itself.

use core::fmt;
use core::time::Duration;

use crate::base::instant::Instant;
use crate::sched::park::WaitReason;
use crate::sched::sema;
use crate::sched::wait::{Limit, Waited};

/// Permits, of which an operation takes as many as it weighs: Go's
/// `golang.org/x/sync/semaphore.Weighted`.
///
/// Strictly in order: who wants many and waits holds back those who come later and want few, so it
/// is never passed over. Each operation takes the lock of the queue for some instructions.
///
/// ```
/// use gosched::sync::Semaphore;
/// static MEMORY_MIB: Semaphore = Semaphore::new(64);
/// MEMORY_MIB.acquire(48);
/// assert!(!MEMORY_MIB.try_acquire(32));
/// MEMORY_MIB.release(48);
/// assert!(MEMORY_MIB.try_acquire(32));
/// ```
pub struct Semaphore {
    inner: sema::Semaphore,
}

impl Semaphore {
    /// `n` permits.
    ///
    /// ```
    /// static FOUR: gosched::sync::Semaphore = gosched::sync::Semaphore::new(4);
    /// assert_eq!(FOUR.available(), 4);
    /// ```
    pub const fn new(n: usize) -> Self {
        Self {
            inner: sema::Semaphore::new(n),
        }
    }

    /// Takes `n` permits; waits until they are free and those who came before have theirs.
    ///
    /// More than there are in all never come: that waits for ever (in Go, for the end of the
    /// context), without holding others back.
    ///
    /// ```
    /// let semaphore = gosched::sync::Semaphore::new(2);
    /// semaphore.acquire(2);
    /// semaphore.release(2);
    /// ```
    pub fn acquire(&self, n: usize) {
        self.acquire_within(n, Limit::Forever);
    }

    /// Takes `n` permits if they are free and nobody waits. Whether it did.
    ///
    /// ```
    /// let semaphore = gosched::sync::Semaphore::new(2);
    /// assert!(semaphore.try_acquire(2));
    /// assert!(!semaphore.try_acquire(1));
    /// ```
    pub fn try_acquire(&self, n: usize) -> bool {
        self.inner.try_acquire(n)
    }

    /// As [`Semaphore::acquire`], at most for `d`. False: the time is up, and nothing is taken.
    ///
    /// ```
    /// use gosched::{sync::Semaphore, time::Duration};
    /// let semaphore = Semaphore::new(1);
    /// assert!(semaphore.acquire_timeout(1, Duration::from_millis(1)));
    /// assert!(!semaphore.acquire_timeout(1, Duration::from_millis(1)));
    /// ```
    pub fn acquire_timeout(&self, n: usize, d: Duration) -> bool {
        self.acquire_within(n, Limit::after(d))
    }

    /// As [`Semaphore::acquire_timeout`], until an instant.
    ///
    /// ```
    /// use gosched::{sync::Semaphore, time::Instant};
    /// assert!(!Semaphore::new(1).acquire_deadline(2, Instant::now()));
    /// ```
    pub fn acquire_deadline(&self, n: usize, deadline: Instant) -> bool {
        self.acquire_within(n, Limit::until(deadline))
    }

    fn acquire_within(&self, n: usize, limit: Limit) -> bool {
        let waited = self
            .inner
            .acquire(n, limit, WaitReason::SyncSemaphoreAcquire);
        waited == Waited::Woken
    }

    /// Gives `n` permits back, and to the first waiters what they wait for.
    ///
    /// # Panics
    /// `semaphore: released more than held`.
    ///
    /// ```
    /// let semaphore = gosched::sync::Semaphore::new(1);
    /// semaphore.acquire(1);
    /// semaphore.release(1);
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    pub fn release(&self, n: usize) {
        self.inner.release(n);
    }

    /// Permits that nobody holds: history by the time it is known.
    ///
    /// ```
    /// assert_eq!(gosched::sync::Semaphore::new(4).available(), 4);
    /// ```
    pub fn available(&self) -> usize {
        self.inner.free()
    }

    /// Takes `n` permits, as [`Semaphore::acquire`], until the guard goes.
    ///
    /// ```
    /// let semaphore = gosched::sync::Semaphore::new(1);
    /// let guard = semaphore.acquire_guard(1);
    /// assert_eq!(semaphore.available(), 0);
    /// drop(guard);
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    pub fn acquire_guard(&self, n: usize) -> SemaphoreGuard<'_> {
        self.acquire(n);
        SemaphoreGuard { semaphore: self, n }
    }

    /// Takes `n` permits, as [`Semaphore::try_acquire`], until the guard goes.
    ///
    /// ```
    /// let semaphore = gosched::sync::Semaphore::new(1);
    /// let guard = semaphore.try_acquire_guard(1);
    /// assert!(guard.is_some() && semaphore.try_acquire_guard(1).is_none());
    /// ```
    pub fn try_acquire_guard(&self, n: usize) -> Option<SemaphoreGuard<'_>> {
        self.try_acquire(n)
            .then(|| SemaphoreGuard { semaphore: self, n })
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// Holds permits of a [`Semaphore`] until it is dropped, on whatever goroutine.
#[must_use = "the permits are released as soon as the guard is dropped"]
#[derive(Debug)]
pub struct SemaphoreGuard<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl Drop for SemaphoreGuard<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.n);
    }
}

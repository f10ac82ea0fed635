//! Condvar: waiting for a condition on what a mutex guards (Go: `sync.Cond`).
//!
//! First come, first woken. The protocol of a wait:
//!
//! 1. with the mutex held, the waiter puts its sudog into the queue (Go: takes a ticket);
//! 2. it unlocks the mutex, with no lock held, since that may wake or hand over;
//! 3. under the queue's lock, it looks whether its sudog was taken meanwhile; if not, it is
//!    `parked` from here on, and waits;
//! 4. it locks the mutex again.
//!
//! A notifier takes the first sudog out under the queue's lock. If its goroutine is parked, it is
//! readied; if it is between 1 and 3, being taken out is all that it needs. So a notification
//! between the unlock and the park is not lost. One that meets a waiter whose time is up goes on to
//! the next: the waiter's ticket decides, so it is never spent on somebody who returns "timed out".
//!
//! `waiting` mirrors whether the queue may hold somebody, for notifiers: a load is all that a
//! notification without waiters costs. A notifier that changed what the waiter waits for, under the
//! mutex, after the waiter gave it up, sees the waiter's store: the mutex orders them.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use crate::base::instant::Instant;
use crate::base::lock::{Lock, Rank};
use crate::sched::g::{G, getg};
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Waited};
use crate::sync::mutex::MutexGuard;

/// A condition on what a [`Mutex`](crate::sync::Mutex) guards, to wait for: `std::sync::Condvar`
/// without poisoning, and Go's `sync.Cond`. Waiters are woken in the order in which they came, and
/// none without a notification or its time-out; still the condition may be gone again when the
/// waiter has the mutex, so wait in a loop, or with [`Condvar::wait_while`].
///
/// ```
/// use gosched::{go, sync::{Condvar, Mutex}};
/// static READY: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
/// go(|| {
///     *READY.0.lock() = true;
///     READY.1.notify_one();
/// });
/// let ready = READY.1.wait_while(READY.0.lock(), |ready| !*ready);
/// assert!(*ready);
/// ```
pub struct Condvar {
    waiting: AtomicBool,
    waiters: Lock<WaitQueue>,
}

/// Whether time ended a wait; as `std::sync::WaitTimeoutResult`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was up before a notification came.
    ///
    /// ```
    /// use gosched::{sync::{Condvar, Mutex}, time::Duration};
    /// let mutex = Mutex::new(());
    /// let (_guard, result) = Condvar::new().wait_timeout(mutex.lock(), Duration::ZERO);
    /// assert!(result.timed_out());
    /// ```
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Nobody waits.
    ///
    /// ```
    /// static CHANGED: gosched::sync::Condvar = gosched::sync::Condvar::new();
    /// CHANGED.notify_all();
    /// ```
    pub const fn new() -> Self {
        Self {
            waiting: AtomicBool::new(false),
            waiters: Lock::new(Rank::Chan, WaitQueue::new()),
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. A notification after
    /// the unlock, however soon, ends the wait.
    ///
    /// ```
    /// use gosched::{go, sync::{Condvar, Mutex}};
    /// static QUEUE: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());
    /// go(|| {
    ///     *QUEUE.0.lock() = 1;
    ///     QUEUE.1.notify_one();
    /// });
    /// let mut items = QUEUE.0.lock();
    /// while *items == 0 {
    ///     items = QUEUE.1.wait(items);
    /// }
    /// ```
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        // Without a limit there is but one outcome.
        let _ = self.wait_within(&guard, Limit::Forever);
        guard
    }

    /// Waits until `condition`, which is looked at with the mutex held, is false.
    ///
    /// ```
    /// use gosched::sync::{Condvar, Mutex};
    /// let (mutex, condvar) = (Mutex::new(3), Condvar::new());
    /// let guard = condvar.wait_while(mutex.lock(), |n| { *n -= 1; *n > 3 });
    /// assert_eq!(*guard, 2);
    /// ```
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`Condvar::wait`], at most `d`; the mutex is locked again in any case, which may take
    /// longer.
    ///
    /// ```
    /// use gosched::{sync::{Condvar, Mutex}, time::Duration};
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// let (guard, result) = condvar.wait_timeout(mutex.lock(), Duration::from_millis(1));
    /// assert!(result.timed_out());
    /// ```
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        d: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let waited = self.wait_within(&guard, Limit::after(d));
        (guard, WaitTimeoutResult(waited == Waited::TimedOut))
    }

    /// As [`Condvar::wait_timeout`], until an instant.
    ///
    /// ```
    /// use gosched::{sync::{Condvar, Mutex}, time::Instant};
    /// let mutex = Mutex::new(());
    /// let (_guard, result) = Condvar::new().wait_deadline(mutex.lock(), Instant::now());
    /// assert!(result.timed_out());
    /// ```
    pub fn wait_deadline<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let waited = self.wait_within(&guard, Limit::until(deadline));
        (guard, WaitTimeoutResult(waited == Waited::TimedOut))
    }

    /// Waits until `condition` is false, at most `d` in all. Timed out means that it still was true
    /// at the last look.
    ///
    /// ```
    /// use gosched::{sync::{Condvar, Mutex}, time::Duration};
    /// let (mutex, condvar) = (Mutex::new(true), Condvar::new());
    /// let d = Duration::from_millis(1);
    /// let (guard, result) = condvar.wait_timeout_while(mutex.lock(), d, |pending| *pending);
    /// assert!(result.timed_out());
    /// ```
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        d: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let limit = Limit::after(d);
        while condition(&mut guard) {
            if limit.is_over() {
                return (guard, WaitTimeoutResult(true));
            }
            // Whatever ended it, the condition is looked at again.
            let _ = self.wait_within(&guard, limit);
        }
        (guard, WaitTimeoutResult(false))
    }

    fn wait_within<T: ?Sized>(&self, guard: &MutexGuard<'_, T>, limit: Limit) -> Waited {
        let parked = Cell::new(false);
        let sudog = Sudog::new(getg(), (&raw const parked).cast_mut().cast());
        {
            let mut waiters = self.waiters.lock();
            self.waiting.store(true, Ordering::Relaxed);
            // SAFETY: it is out of the queue when `wait_taken_or_parked` returns.
            unsafe { waiters.enqueue(&sudog) };
        }
        guard.raw().unlock();
        let waited = self.wait_taken_or_parked(&sudog, &parked, limit);
        guard.raw().lock(WaitReason::SyncMutexLock);
        waited
    }

    fn wait_taken_or_parked(&self, sudog: &Sudog, parked: &Cell<bool>, limit: Limit) -> Waited {
        let waiters = self.waiters.lock();
        if sudog.taken.get() {
            return Waited::Woken;
        }
        parked.set(true);
        wait::wait_queued(waiters, |q| q, sudog, limit, WaitReason::SyncCondWait)
    }

    /// Ends the wait of the goroutine that has waited longest, if any waits. The mutex may be held
    /// or not.
    ///
    /// ```
    /// gosched::sync::Condvar::new().notify_one();
    /// ```
    pub fn notify_one(&self) {
        if !self.waiting.load(Ordering::Relaxed) {
            return;
        }
        let mut waiters = self.waiters.lock();
        let first = waiters.dequeue().map(to_ready);
        self.waiting.store(!waiters.is_empty(), Ordering::Relaxed);
        drop(waiters);
        if let Some(Some(gp)) = first {
            park::goready(gp);
        }
    }

    /// Ends the wait of all that wait now.
    ///
    /// ```
    /// gosched::sync::Condvar::new().notify_all();
    /// ```
    pub fn notify_all(&self) {
        if !self.waiting.load(Ordering::Relaxed) {
            return;
        }
        let mut ready = GQueue::new();
        let mut waiters = self.waiters.lock();
        while let Some(sudog) = waiters.dequeue() {
            if let Some(gp) = to_ready(sudog) {
                ready.push_back(gp);
            }
        }
        self.waiting.store(false, Ordering::Relaxed);
        drop(waiters);
        park::goready_all(ready);
    }
}

/// The goroutine of a sudog that was taken out, if it is parked. Under the queue's lock: one that
/// is not goes on when it gets the lock, and the sudog with it.
fn to_ready(sudog: &Sudog) -> Option<&'static G> {
    // SAFETY: `wait_within` made the sudog point to its `parked`.
    let parked = unsafe { &*sudog.elem.get().cast::<Cell<bool>>() };
    parked.get().then_some(sudog.g)
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

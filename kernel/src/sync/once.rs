//! Once: something that is done one time, and everybody else waits until it is.
//!
//! | state | meaning | leaves by |
//! | --- | --- | --- |
//! | `NEW` | nobody has begun | a caller → `RUNNING` |
//! | `RUNNING` | `owner` runs the closure; callers wait | return → `DONE`, end → `POISONED` |
//! | `DONE` | for ever | - |
//! | `POISONED` | the goroutine ended inside the closure | `call_once_force` → `RUNNING` |
//!
//! The state changes under the queue's lock. `DONE` is stored with release after the closure; a
//! caller that loads it with acquire sees all that the closure did, and needs nothing else: that is
//! the fast path, one load.
//!
//! A closure that ends its goroutine (`goexit`, or a panic that a test catches) is noticed by a
//! deferred note, so nobody waits for it for ever. (Go counts a `Do` that panicked as done; std
//! poisons, and so does this.)

use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;

use crate::base::instant::Instant;
use crate::base::lock::{Lock, LockGuard, Rank};
use crate::sched::defer;
use crate::sched::g::getg;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const POISONED: u8 = 3;

/// Whose closure runs, and who waits for it.
struct Inner {
    owner: u64,
    waiters: WaitQueue,
}

/// Does something one time: `std::sync::Once`, Go's `sync.Once`.
///
/// ```
/// use gosched::sync::Once;
/// static SETUP: Once = Once::new();
/// let mut times = 0;
/// SETUP.call_once(|| times += 1);
/// SETUP.call_once(|| times += 1);
/// assert_eq!(times, 1);
/// ```
pub struct Once {
    state: AtomicU8,
    inner: Lock<Inner>,
}

/// What [`Once::call_once_force`] tells its closure.
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether a goroutine ended in an earlier closure.
    ///
    /// ```
    /// gosched::sync::Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl Once {
    /// Not done yet.
    ///
    /// ```
    /// static ONCE: gosched::sync::Once = gosched::sync::Once::new();
    /// assert!(!ONCE.is_completed());
    /// ```
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(NEW),
            inner: Lock::new(
                Rank::Chan,
                Inner {
                    owner: 0,
                    waiters: WaitQueue::new(),
                },
            ),
        }
    }

    /// Calls `f` if this is the first call; returns when whoever called first is done. Costs one
    /// load when it is.
    ///
    /// # Panics
    /// `Once instance has previously been poisoned`: a goroutine ended inside the closure. `sync:
    /// Once called from inside its own closure`.
    ///
    /// ```
    /// let once = gosched::sync::Once::new();
    /// once.call_once(|| ());
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(false, |_| f());
        }
    }

    /// As [`Once::call_once`], but calls `f` also when an earlier closure's goroutine ended in it.
    ///
    /// # Panics
    /// `sync: Once called from inside its own closure`.
    ///
    /// ```
    /// let once = gosched::sync::Once::new();
    /// once.call_once_force(|state| assert!(!state.is_poisoned()));
    /// ```
    #[inline]
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) {
        if !self.is_completed() {
            self.call(true, f);
        }
    }

    /// Whether the closure has returned.
    ///
    /// ```
    /// let once = gosched::sync::Once::new();
    /// assert!(!once.is_completed());
    /// ```
    #[inline(always)]
    pub fn is_completed(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Waits until somebody else's call is done.
    ///
    /// # Panics
    /// As [`Once::call_once`].
    ///
    /// ```
    /// use gosched::{go, sync::Once};
    /// static ONCE: Once = Once::new();
    /// go(|| ONCE.call_once(|| ()));
    /// ONCE.wait();
    /// ```
    pub fn wait(&self) {
        self.wait_within(Limit::Forever, false);
    }

    /// Waits until somebody else's call is done, at most `d`. Whether it is.
    ///
    /// # Panics
    /// As [`Once::call_once`].
    ///
    /// ```
    /// use gosched::{sync::Once, time::Duration};
    /// assert!(!Once::new().wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, d: Duration) -> bool {
        self.wait_within(Limit::after(d), false)
    }

    /// As [`Once::wait_timeout`], until an instant.
    ///
    /// ```
    /// use gosched::{sync::Once, time::Instant};
    /// assert!(!Once::new().wait_deadline(Instant::now()));
    /// ```
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Limit::until(deadline), false)
    }

    /// The goroutine whose closure runs in the `Once` whose lock is at this address.
    ///
    /// # Safety
    /// There is one, and it is not dropped meanwhile; nobody holds its lock.
    pub(super) unsafe fn runner(lock: usize) -> Option<u64> {
        // SAFETY: the caller's promise.
        let once = unsafe { &*((lock - offset_of!(Self, inner)) as *const Self) };
        let runs = once.state.load(Ordering::Relaxed) == RUNNING;
        runs.then(|| once.inner.lock().owner)
    }

    /// Waits for the call that succeeds; `force`: one that failed may be followed by one.
    pub(super) fn wait_within(&self, limit: Limit, force: bool) -> bool {
        while !self.is_completed() {
            let inner = self.inner.lock();
            match self.state.load(Ordering::Relaxed) {
                DONE => break,
                POISONED if !force => poisoned(inner),
                _ => {
                    if limit.is_over() {
                        return false;
                    }
                    if self.wait_turn(inner, limit) == Waited::TimedOut {
                        return self.is_completed();
                    }
                }
            }
        }
        true
    }

    #[cold]
    fn call(&self, force: bool, f: impl FnOnce(&OnceState)) {
        let poisoned = loop {
            let mut inner = self.inner.lock();
            match self.state.load(Ordering::Acquire) {
                DONE => return,
                POISONED if !force => poisoned(inner),
                RUNNING => {
                    // Without a limit there is but one outcome.
                    let _ = self.wait_turn(inner, Limit::Forever);
                }
                state => {
                    self.state.store(RUNNING, Ordering::Relaxed);
                    inner.owner = goid();
                    break state == POISONED;
                }
            }
        };
        defer::on_goexit(&|| self.finish(POISONED), || f(&OnceState { poisoned }));
        self.finish(DONE);
    }

    /// Waits until the closure that runs, or the next one, is done or has failed.
    fn wait_turn(&self, inner: LockGuard<'_, Inner>, limit: Limit) -> Waited {
        if self.state.load(Ordering::Relaxed) == RUNNING && inner.owner == goid() {
            drop(inner);
            panic!("sync: Once called from inside its own closure");
        }
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        wait::wait(
            inner,
            |inner| &mut inner.waiters,
            &sudog,
            Place::Back,
            limit,
            WaitReason::SyncOnce,
        )
    }

    fn finish(&self, state: u8) {
        let mut inner = self.inner.lock();
        self.state.store(state, Ordering::Release);
        let ready = inner.waiters.drain();
        drop(inner);
        park::goready_all(ready);
    }
}

fn goid() -> u64 {
    getg().goid.load(Ordering::Relaxed)
}

#[cold]
fn poisoned(inner: LockGuard<'_, Inner>) -> ! {
    drop(inner);
    panic!("Once instance has previously been poisoned")
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

//! ErrGroup: goroutines that work on parts of one task, and the first error of them.
//!
//! A WaitGroup counts the goroutines and a semaphore, if there is a limit, those that run. A
//! goroutine leaves its error, if it is the first, before it counts as done, so who has waited
//! finds it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::sched::defer;
use crate::sched::park::WaitReason;
use crate::sched::sema::Semaphore;
use crate::sched::wait::{Limit, Waited};
use crate::sync::mutex::Mutex;
use crate::sync::waitgroup::WaitGroup;

struct Inner<E> {
    group: WaitGroup,
    limit: Mutex<Option<Arc<Semaphore>>>,
    first_error: Mutex<Option<E>>,
    /// What is told of the first error, and of the end of a wait.
    on_end: Option<Box<dyn Fn() + Send + Sync>>,
}

/// Goroutines that work on parts of one task: Go's `golang.org/x/sync/errgroup`. Clones are the
/// same group.
///
/// ```
/// use gosched::sync::ErrGroup;
/// let group = ErrGroup::new();
/// for n in 1..=3 {
///     group.go(move || if n == 2 { Err("two") } else { Ok(()) });
/// }
/// assert_eq!(group.wait(), Err("two"));
/// ```
pub struct ErrGroup<E> {
    inner: Arc<Inner<E>>,
}

impl<E> Inner<E> {
    fn end(&self) {
        if let Some(on_end) = &self.on_end {
            on_end();
        }
    }
}

impl<E: Send + 'static> ErrGroup<E> {
    /// A group without goroutines and without a limit.
    ///
    /// ```
    /// let group = gosched::sync::ErrGroup::<()>::new();
    /// assert_eq!(group.wait(), Ok(()));
    /// ```
    pub fn new() -> Self {
        Self::with_end(None)
    }

    /// A group that calls `on_end`, any number of times, when it has its first error or all its
    /// goroutines were waited for (`ErrGroup::with_context`).
    pub(crate) fn with_end(on_end: Option<Box<dyn Fn() + Send + Sync>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                group: WaitGroup::new(),
                limit: Mutex::new(None),
                first_error: Mutex::new(None),
                on_end,
            }),
        }
    }

    /// Runs `f` in a goroutine. Waits first, if the group has a limit, until it has room.
    ///
    /// ```
    /// let group = gosched::sync::ErrGroup::<()>::new();
    /// group.go(|| Ok(()));
    /// assert_eq!(group.wait(), Ok(()));
    /// ```
    pub fn go(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) {
        self.start(f, Limit::Forever);
    }

    /// Runs `f` in a goroutine if the group has room now. Whether it does.
    ///
    /// ```
    /// let group = gosched::sync::ErrGroup::<()>::new();
    /// group.set_limit(0);
    /// assert!(!group.try_go(|| Ok(())));
    /// ```
    pub fn try_go(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) -> bool {
        self.start(f, Limit::Now)
    }

    /// As [`ErrGroup::go`]; if there is no room within `d`, `f` does not run. Whether it does.
    ///
    /// ```
    /// use gosched::{sync::ErrGroup, time::Duration};
    /// let group = ErrGroup::<()>::new();
    /// group.set_limit(0);
    /// assert!(!group.go_timeout(|| Ok(()), Duration::from_millis(1)));
    /// ```
    pub fn go_timeout(
        &self,
        f: impl FnOnce() -> Result<(), E> + Send + 'static,
        d: Duration,
    ) -> bool {
        self.start(f, Limit::after(d))
    }

    fn start(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static, limit: Limit) -> bool {
        let permits = self.inner.limit.lock().clone();
        if let Some(permits) = &permits {
            let waited = permits.acquire(1, limit, WaitReason::SyncSemaphoreAcquire);
            if waited == Waited::TimedOut {
                return false;
            }
        }
        self.inner.group.add(1);
        let inner = self.inner.clone();
        crate::go(move || {
            let done = || {
                if let Some(permits) = &permits {
                    permits.release(1);
                }
                inner.group.done();
            };
            // A late error's destructor is the program's, too, and does not run under the lock.
            let run = || {
                let Err(error) = f() else { return };
                let mut first = inner.first_error.lock();
                if first.is_none() {
                    *first = Some(error);
                    drop(first);
                    inner.end();
                } else {
                    drop(first);
                    drop(error);
                }
            };
            defer::on_goexit(&done, run);
            done();
        });
        true
    }

    /// Waits for all goroutines of the group. The first error, if there was one; it is handed out
    /// once, so a second wait without new errors says `Ok`.
    ///
    /// # Errors
    /// What the first goroutine to fail returned.
    ///
    /// ```
    /// let group = gosched::sync::ErrGroup::new();
    /// group.go(|| Err("no"));
    /// assert_eq!(group.wait(), Err("no"));
    /// ```
    pub fn wait(&self) -> Result<(), E> {
        self.inner.group.wait();
        self.result()
    }

    /// As [`ErrGroup::wait`], at most `d`. None: the time is up.
    ///
    /// ```
    /// use gosched::{sync::ErrGroup, time::Duration};
    /// let group = ErrGroup::<()>::new();
    /// assert_eq!(group.wait_timeout(Duration::from_millis(1)), Some(Ok(())));
    /// ```
    pub fn wait_timeout(&self, d: Duration) -> Option<Result<(), E>> {
        self.inner.group.wait_timeout(d).then(|| self.result())
    }

    fn result(&self) -> Result<(), E> {
        self.inner.end();
        self.inner.first_error.lock().take().map_or(Ok(()), Err)
    }

    /// At most `n` goroutines of the group at a time from now on; 0 lets none start.
    ///
    /// # Panics
    /// `errgroup: modify limit while N goroutines in the group are still active`, if there was a
    /// limit before.
    ///
    /// ```
    /// let group = gosched::sync::ErrGroup::<()>::new();
    /// group.set_limit(2);
    /// for _ in 0..10 {
    ///     group.go(|| Ok(()));
    /// }
    /// assert_eq!(group.wait(), Ok(()));
    /// ```
    pub fn set_limit(&self, n: usize) {
        let mut limit = self.inner.limit.lock();
        let active = limit.as_ref().map_or(0, |p| p.size() - p.free());
        if active == 0 {
            *limit = Some(Arc::new(Semaphore::new(n)));
            return;
        }
        drop(limit);
        panic!("errgroup: modify limit while {active} goroutines in the group are still active");
    }
}

impl<E> Clone for ErrGroup<E> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<E: Send + 'static> Default for ErrGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for ErrGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrGroup").finish_non_exhaustive()
    }
}

//! WaitGroup: waiting until a number of goroutines are done.
//!
//! The word and its protocol are [`GroupState`]'s; here are the queue and the words for misuse. A
//! release begins a new `round`, by which a waiter whose time is up sees whether it was released
//! all the same: then it counts as woken, and its number is off the word already.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::base::instant::Instant;
use crate::base::lock::{Lock, Rank};
use crate::goroutine::{caller_pc, go_from};
use crate::sched::defer;
use crate::sched::g::getg;
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};
use crate::sync::waitgroup_state::{Added, GroupState};

struct Queue {
    round: u64,
    waiters: WaitQueue,
}

struct Inner {
    state: GroupState,
    queue: Lock<Queue>,
}

/// Waits until a number of goroutines are done: Go's `sync.WaitGroup`. Clones are the same group.
///
/// [`WaitGroup::add`] and [`WaitGroup::done`] cost one locked instruction while nobody waits. What
/// each goroutine did before its `done` is seen by whoever has waited.
///
/// ```
/// use gosched::{go, sync::WaitGroup};
/// let group = WaitGroup::new();
/// for _ in 0..10 {
///     group.add(1);
///     let group = group.clone();
///     go(move || group.done());
/// }
/// group.wait();
/// ```
#[derive(Clone)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitGroup {
    /// A group that waits for nobody.
    ///
    /// ```
    /// gosched::sync::WaitGroup::new().wait();
    /// ```
    pub fn new() -> Self {
        let queue = Queue {
            round: 0,
            waiters: WaitQueue::new(),
        };
        Self {
            inner: Arc::new(Inner {
                state: GroupState::new(),
                queue: Lock::new(Rank::Chan, queue),
            }),
        }
    }

    /// Adds `delta`, an integer of any type, which may be negative, to the counter; at zero all
    /// waiters go on. What takes the counter from zero must come before the wait.
    ///
    /// # Panics
    /// `sync: negative WaitGroup counter`, also when it leaves 32 bits. `sync: WaitGroup misuse:
    /// Add called concurrently with Wait`, where that shows.
    ///
    /// ```
    /// let group = gosched::sync::WaitGroup::new();
    /// group.add(2);
    /// group.add(-2);
    /// group.wait();
    /// ```
    #[inline]
    pub fn add(&self, delta: impl TryInto<i32>) {
        let added = delta
            .try_into()
            .map_or(Added::Negative, |delta| self.inner.state.add(delta));
        if added != Added::Done {
            self.added(added);
        }
    }

    #[cold]
    fn added(&self, added: Added) {
        match added {
            Added::Done => (),
            Added::Negative => panic!("sync: negative WaitGroup counter"),
            Added::Misuse => {
                panic!("sync: WaitGroup misuse: Add called concurrently with Wait")
            }
            Added::Release => self.release(),
        }
    }

    fn release(&self) {
        let mut queue = self.inner.queue.lock();
        let mut ready = GQueue::new();
        if self.inner.state.open() {
            queue.round += 1;
            ready = queue.waiters.drain();
        }
        drop(queue);
        park::goready_all(ready);
    }

    /// One is done: `add(-1)`.
    ///
    /// # Panics
    /// `sync: negative WaitGroup counter`.
    ///
    /// ```
    /// let group = gosched::sync::WaitGroup::new();
    /// group.add(1);
    /// group.done();
    /// group.wait();
    /// ```
    #[inline]
    pub fn done(&self) {
        self.add(-1);
    }

    /// Waits until the counter is zero. One load if it is.
    ///
    /// # Panics
    /// `sync: WaitGroup is reused before previous Wait has returned`.
    ///
    /// ```
    /// let group = gosched::sync::WaitGroup::new();
    /// group.go(|| ());
    /// group.wait();
    /// ```
    #[inline]
    pub fn wait(&self) {
        self.wait_within(Limit::Forever);
    }

    /// Waits until the counter is zero, at most `d`. Whether it became zero.
    ///
    /// # Panics
    /// As [`WaitGroup::wait`].
    ///
    /// ```
    /// use gosched::{sync::WaitGroup, time::Duration};
    /// let group = WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(1)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, d: Duration) -> bool {
        self.wait_within(Limit::after(d))
    }

    /// As [`WaitGroup::wait_timeout`], until an instant.
    ///
    /// ```
    /// use gosched::{sync::WaitGroup, time::Instant};
    /// assert!(WaitGroup::new().wait_deadline(Instant::now()));
    /// ```
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Limit::until(deadline))
    }

    #[inline]
    fn wait_within(&self, limit: Limit) -> bool {
        self.inner.state.is_open() || self.wait_slow(limit)
    }

    #[cold]
    fn wait_slow(&self, limit: Limit) -> bool {
        if limit.is_over() {
            return false;
        }
        let queue = self.inner.queue.lock();
        if !self.inner.state.begin_wait() {
            return true;
        }
        let round = queue.round;
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        let waited = wait::wait(
            queue,
            |q| &mut q.waiters,
            &sudog,
            Place::Back,
            limit,
            WaitReason::SyncWaitGroupWait,
        );
        if waited == Waited::TimedOut {
            let queue = self.inner.queue.lock();
            if queue.round == round {
                self.inner.state.end_wait();
                return false;
            }
        }
        if !self.inner.state.is_unused() {
            panic!("sync: WaitGroup is reused before previous Wait has returned");
        }
        true
    }

    /// Starts a goroutine that the group waits for (Go 1.25: `WaitGroup.Go`). It counts as done
    /// also when it ends by `goexit`.
    ///
    /// ```
    /// let group = gosched::sync::WaitGroup::new();
    /// group.go(|| ());
    /// group.wait();
    /// ```
    #[inline(never)]
    pub fn go(&self, f: impl FnOnce() + Send + 'static) {
        let gopc = caller_pc!(); // of the user's statement, for dumps
        self.add(1);
        let group = self.clone();
        go_from(gopc, move || {
            defer::on_goexit(&|| group.done(), f);
            group.done();
        });
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").finish_non_exhaustive()
    }
}

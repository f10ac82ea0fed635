//! Barrier: goroutines that wait for each other.
//!
//! `arrived` counts those of this generation who wait, and the one that makes it full opens the
//! barrier: a new generation, nobody arrived, all are woken. Whoever's time is up looks, under the
//! lock, whether its generation is still the present one: if so it takes its arrival back; if not,
//! it was counted when the barrier opened, so it has come through.

use core::fmt;
use core::time::Duration;

use crate::base::instant::Instant;
use crate::base::lock::{Lock, Rank};
use crate::sched::g::getg;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};

struct State {
    arrived: usize,
    generation: u64,
    waiters: WaitQueue,
}

/// Lets goroutines on when `n` of them have come: `std::sync::Barrier`. Opens again and again.
///
/// ```
/// use gosched::sync::{Barrier, WaitGroup};
/// static BARRIER: Barrier = Barrier::new(3);
/// let group = WaitGroup::new();
/// for _ in 0..2 {
///     group.go(|| {
///         BARRIER.wait();
///     });
/// }
/// BARRIER.wait();
/// group.wait();
/// ```
pub struct Barrier {
    n: usize,
    state: Lock<State>,
}

/// What [`Barrier::wait`] returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// True for one of those who came through together: the last to come.
    ///
    /// ```
    /// assert!(gosched::sync::Barrier::new(1).wait().is_leader());
    /// ```
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier that opens for `n` at a time; 0 is as good as 1.
    ///
    /// ```
    /// static BOTH: gosched::sync::Barrier = gosched::sync::Barrier::new(2);
    /// gosched::go(|| {
    ///     BOTH.wait();
    /// });
    /// BOTH.wait();
    /// ```
    pub const fn new(n: usize) -> Self {
        Self {
            n,
            state: Lock::new(
                Rank::Chan,
                State {
                    arrived: 0,
                    generation: 0,
                    waiters: WaitQueue::new(),
                },
            ),
        }
    }

    /// Waits until `n` goroutines, this one included, have come.
    ///
    /// ```
    /// assert!(gosched::sync::Barrier::new(1).wait().is_leader());
    /// ```
    pub fn wait(&self) -> BarrierWaitResult {
        self.wait_within(Limit::Forever)
            .expect("a wait without a limit does not time out")
    }

    /// Waits at most `d`. None: the time is up, and this goroutine counts as if it had not come.
    ///
    /// ```
    /// use gosched::{sync::Barrier, time::Duration};
    /// assert!(Barrier::new(2).wait_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn wait_timeout(&self, d: Duration) -> Option<BarrierWaitResult> {
        self.wait_within(Limit::after(d))
    }

    /// As [`Barrier::wait_timeout`], until an instant.
    ///
    /// ```
    /// use gosched::{sync::Barrier, time::Instant};
    /// assert!(Barrier::new(2).wait_deadline(Instant::now()).is_none());
    /// ```
    pub fn wait_deadline(&self, deadline: Instant) -> Option<BarrierWaitResult> {
        self.wait_within(Limit::until(deadline))
    }

    fn wait_within(&self, limit: Limit) -> Option<BarrierWaitResult> {
        let mut state = self.state.lock();
        if state.arrived + 1 >= self.n {
            state.arrived = 0;
            state.generation += 1;
            let ready = state.waiters.drain();
            drop(state);
            park::goready_all(ready);
            return Some(BarrierWaitResult(true));
        }
        if limit.is_over() {
            return None;
        }
        state.arrived += 1;
        let generation = state.generation;
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        let waited = wait::wait(
            state,
            |s| &mut s.waiters,
            &sudog,
            Place::Back,
            limit,
            WaitReason::SyncBarrierWait,
        );
        if waited == Waited::TimedOut {
            let mut state = self.state.lock();
            if state.generation == generation {
                state.arrived -= 1;
                return None;
            }
        }
        Some(BarrierWaitResult(false))
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

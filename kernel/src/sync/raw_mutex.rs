//! The mutex without a value: Go's `sync.Mutex`, with a limit for the wait.
//!
//! The word and its protocol are [`MutexState`]'s; here are the queue, spinning and parking.
//!
//! A waiter is in the queue with the lock of the queue held from the decision to wait until it is
//! parked, so an unlocker finds it there or it finds the mutex free. A waiter that was woken and
//! lost goes to the *front* with the time of its *first* wait: it is the one that has waited
//! longest, and its 1 ms counts from the beginning.
//!
//! A wait can end by its limit. The waiter's ticket decides between that and an unlocker: either
//! the unlocker passes over it to the next, or the waiter was woken in time and competes once more;
//! if it then loses with its time used up, it gives up being awake and, as whoever unlocked
//! meanwhile may have relied on it, wakes the next if there is need.
//!
//! `holder` says whose the mutex is, for those who look for deadlocks: the goroutine's number, from
//! some instructions after it took the mutex to right before it lets go; else 0, which says
//! nothing. It is never the number of one that does not hold it. That is two loads and two stores
//! of the twelve instructions that locking and unlocking cost.
//!
//! Rejected: a count of waiters in the word, changed before and apart from the queue, as in Go: a
//! waiter that leaves cannot know whether a wake-up is on its way to it.

use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch;
use crate::arch::switch::preempt_depth;
use crate::base::lock::{Lock, LockGuard, Rank};
use crate::sched::contention;
use crate::sched::fatal;
use crate::sched::g::getg;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};
use crate::sync::mutex_state::{Attempt, MutexState, Next};
use crate::sync::spin;

/// Who waits for longer gets the mutex next, whoever else wants it (Go: `starvationThresholdNs`).
const STARVATION_NS: u64 = 1_000_000;

/// A mutex around nothing.
pub(super) struct RawMutex {
    state: MutexState,
    /// The number of the goroutine that holds it, or 0.
    holder: AtomicU64,
    waiters: Lock<WaitQueue>,
}

/// A goroutine on its way through [`RawMutex::lock_slow`].
struct Waiter {
    attempt: Attempt,
    since_ns: Option<u64>,
}

impl RawMutex {
    /// Free.
    pub(super) const fn new() -> Self {
        Self {
            state: MutexState::new(),
            holder: AtomicU64::new(0),
            waiters: Lock::new(Rank::Chan, WaitQueue::new()),
        }
    }

    /// Waits for the mutex. One locked instruction if it is free.
    #[inline(always)]
    pub(super) fn lock(&self, reason: WaitReason) {
        if !self.state.lock_fast() {
            self.lock_slow(Limit::Forever, reason);
        }
        self.taken();
    }

    /// The running goroutine has just got it.
    #[inline(always)]
    fn taken(&self) {
        let goid = getg().goid.load(Ordering::Relaxed);
        self.holder.store(goid, Ordering::Relaxed);
    }

    /// The number of the goroutine that holds it; None: nobody, or it is just changing hands.
    pub(super) fn holder(&self) -> Option<u64> {
        let goid = self.holder.load(Ordering::Relaxed);
        (goid != 0).then_some(goid)
    }

    /// The mutex whose queue has its lock at this address.
    ///
    /// # Safety
    /// There is one, and it is not dropped while the reference is used.
    pub(super) unsafe fn of_queue<'a>(lock: usize) -> &'a Self {
        // SAFETY: the caller's promise.
        unsafe { &*((lock - offset_of!(Self, waiters)) as *const Self) }
    }

    /// Waits for the mutex, but not beyond the limit. Whether it got it.
    pub(super) fn lock_within(&self, limit: Limit, reason: WaitReason) -> bool {
        let got = self.state.lock_fast()
            || self.state.try_lock()
            || (limit != Limit::Now && self.lock_slow(limit, reason));
        if got {
            self.taken();
        }
        got
    }

    /// Takes the mutex if it is free now, which it is not while it is handed over.
    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        let got = self.state.lock_fast() || self.state.try_lock();
        if got {
            self.taken();
        }
        got
    }

    /// Whether somebody holds it now.
    pub(super) fn is_locked(&self) -> bool {
        self.state.is_locked()
    }

    /// Lets go. One locked instruction if nobody waits.
    ///
    /// A mutex that nobody holds is a fatal error.
    #[inline(always)]
    pub(super) fn unlock(&self) {
        self.holder.store(0, Ordering::Relaxed);
        let left = self.state.unlock_fast();
        if left != 0 {
            self.unlock_slow(left);
        }
    }

    #[cold]
    fn lock_slow(&self, limit: Limit, reason: WaitReason) -> bool {
        let mut me = Waiter {
            attempt: Attempt::default(),
            since_ns: None,
        };
        let mut spins = 0;
        loop {
            let seen = self.state.load();
            if seen.is_free() {
                if self.state.take(seen, me.attempt) {
                    return true;
                }
            } else if seen.is_held_normally() && spin::can_spin(spins) {
                me.attempt.awake = me.attempt.awake || self.state.claim_woken(seen);
                spin::spin();
                spins += 1;
            } else {
                match self.park(&mut me, limit, reason) {
                    Some(got) => return got,
                    None => spins = 0,
                }
            }
        }
    }

    /// Waits in the queue. None: compete again.
    fn park(&self, me: &mut Waiter, limit: Limit, reason: WaitReason) -> Option<bool> {
        let waiters = self.waiters.lock();
        if limit.is_over() {
            if me.attempt.awake {
                self.state.not_awake();
            }
            self.wake_next(waiters);
            return Some(false);
        }
        loop {
            let seen = self.state.load();
            if seen.is_free() {
                return None;
            }
            if self.state.queue(seen, me.attempt) {
                break;
            }
        }
        let place = match me.since_ns {
            Some(_) => Place::Front,
            None => Place::Back,
        };
        let since_ns = *me.since_ns.get_or_insert_with(arch::nanotime);
        let handed_over = Cell::new(false);
        let sudog = Sudog::new(getg(), (&raw const handed_over).cast_mut().cast());
        let waited = wait::wait(waiters, |q| q, &sudog, place, limit, reason);
        if waited == Waited::TimedOut {
            if self.waiters.lock().is_empty() {
                self.state.nobody_waits();
            }
            return Some(false);
        }
        let starved = arch::nanotime().saturating_sub(since_ns) > STARVATION_NS;
        if handed_over.get() {
            if !starved {
                self.state.end_starvation();
            }
            return Some(true);
        }
        me.attempt.starving |= starved;
        me.attempt.awake = true;
        None
    }

    #[cold]
    fn unlock_slow(&self, left: u32) {
        if !MutexState::was_locked(left) {
            fatal::fatal_error("sync: unlock of unlocked mutex");
        }
        if MutexState::has_next(left) {
            self.wake_next(self.waiters.lock());
        }
    }

    /// Does for the waiters what the state asks for, and releases the queue.
    fn wake_next(&self, mut waiters: LockGuard<'_, WaitQueue>) {
        let next = self.state.next(|| {
            let first = waiters.dequeue().map(|sudog| (sudog.g, sudog.elem.get()));
            (first, waiters.is_empty())
        });
        let Some(((gp, handed_over), next)) = next else {
            return;
        };
        if next == Next::HandOver {
            // SAFETY: `park` made the sudog point to this cell, and waits until it is readied.
            unsafe { (*handed_over.cast::<Cell<bool>>()).set(true) };
        }
        let delay_ns = contention::counts_mutexes().then(|| contention::since_parked_ns(gp));
        drop(waiters);
        park::goready(gp);
        if let Some(delay_ns) = delay_ns {
            contention::delayed(delay_ns);
        }
        // What it was made the holder of is of use to it only when it runs (Go: `handoff`).
        if next == Next::HandOver && preempt_depth() == 0 && !fatal::is_system(getg()) {
            park::goyield();
        }
    }
}

//! The kernel's lock: a spin lock that turns preemption off, with a rank.
//!
//! - While any lock is held, `m.locks` is not 0, so the holder is neither preempted nor moved, and
//!   a spinning CPU waits for a few instructions, not for a time slice.
//! - Locks are taken in order of rank, lowest first. In builds with debug assertions each M keeps
//!   the set of ranks that it holds and an inversion ends the image at once, on the first run, not
//!   on the day when two CPUs meet, with the names of all locks that are in it.
//! - No lock is ever waited for in an interrupt: what handlers touch is atomic (frames, requests,
//!   the input ring). So no lock needs interrupts off. The same builds see to that.
//! - A lock may be released on another stack of the same M: `gopark` releases its caller's lock on
//!   g0 ([`LockGuard::leak`], [`Lock::unlock_leaked`]).
//!
//! The exclusion itself is `spin`'s; the order, the pinning and the bound are here.

use core::cell::UnsafeCell;
use core::fmt::{self, Display};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::arch;
use crate::arch::switch::{MHead, getg, getm, preempt_off, preempt_on};

/// The order of the kernel's locks: one may be taken only while all that are held rank lower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Rank {
    /// A wait queue of `sync`, or a channel. A select holds several, in address order.
    Chan = 0,
    /// A P's timer heap. Taken under a channel's lock to arm a timer, never the other way round.
    Timers,
    /// `SCHED`'s lock.
    Sched,
    /// Free stacks and address space.
    Stacks,
    /// The heap below the caches.
    Heap,
    /// The console: anyone may print.
    Console,
}

/// All ranks, with their names.
pub const RANKS: [(Rank, &str); 6] = [
    (Rank::Chan, "chan"),
    (Rank::Timers, "timers"),
    (Rank::Sched, "sched"),
    (Rank::Stacks, "stacks"),
    (Rank::Heap, "heap"),
    (Rank::Console, "console"),
];

/// After this long a lock is taken for lost, and the waiter says so instead of hanging.
const STUCK_NS: u64 = 20_000_000_000;

/// The lock without its value, at the lock's own address: what parking passes to g0.
pub struct LockHead {
    rank: Rank,
    inner: SpinMutex<()>,
}

/// A value that one CPU at a time may touch.
#[repr(C)] // who looks for deadlocks finds a lock by its head
pub struct Lock<T> {
    head: LockHead,
    value: UnsafeCell<T>,
}

// SAFETY: who holds the lock is alone with the value, on whatever CPU.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A lock of the given rank around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self {
            head: LockHead {
                rank,
                inner: SpinMutex::new(()),
            },
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock. Preemption is off until the guard goes.
    ///
    /// # Panics
    /// Does not: a lock of the same or a higher rank that is held, a call in an interrupt (both in
    /// debug builds), and a lock that does not come free for 20 s end the image.
    #[inline(always)]
    pub fn lock(&self) -> LockGuard<'_, T> {
        self.lock_above(self.head.rank as u32)
    }

    /// As [`Lock::lock`], with locks of the same rank held. The caller takes them all in the order
    /// of their addresses, none twice, so that no two CPUs wait for each other.
    pub fn lock_same_rank(&self) -> LockGuard<'_, T> {
        self.lock_above(self.head.rank as u32 + 1)
    }

    #[inline(always)]
    fn lock_above(&self, bound: u32) -> LockGuard<'_, T> {
        preempt_off();
        self.head.note_rank(bound);
        if !self.head.try_take() {
            self.head.lock_slow();
        }
        LockGuard {
            lock: self,
            ranked: true,
            of_this_m: PhantomData,
        }
    }

    /// The lock if it is free now. Since it does not wait it cannot deadlock, so no order is asked
    /// of it, and its rank is not noted.
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        preempt_off();
        if !self.head.try_take() {
            preempt_on();
            return None;
        }
        Some(LockGuard {
            lock: self,
            ranked: false,
            of_this_m: PhantomData,
        })
    }

    /// The lock without its value.
    #[inline(always)]
    pub fn head(&self) -> &LockHead {
        &self.head
    }

    /// Ends a hold whose guard was leaked.
    ///
    /// # Safety
    /// As for [`LockHead::unlock_leaked`].
    #[inline(always)]
    pub unsafe fn unlock_leaked(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.head.unlock_leaked() };
    }

    /// The value, while the lock is held by a leaked guard.
    ///
    /// # Safety
    /// This M holds the lock through [`LockGuard::leak`], and no other reference to the value is
    /// in use.
    #[allow(
        clippy::mut_from_ref,
        reason = "the lock is held: the caller's promise"
    )]
    pub unsafe fn leaked(&self) -> &mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.value.get() }
    }
}

impl LockHead {
    /// Takes the lock for a [`LockGuard`] if it is free.
    #[inline(always)]
    fn try_take(&self) -> bool {
        self.inner.try_lock().map(SpinMutexGuard::leak).is_some()
    }

    #[cold]
    fn lock_slow(&self) {
        let start = arch::nanotime();
        loop {
            for _ in 0..1000 {
                if self.try_take() {
                    return;
                }
                arch::pause();
            }
            if arch::nanotime() - start > STUCK_NS {
                let held = held_ranks();
                gosched_lock_throw(&format_args!(
                    "lock order: {} is not given back for {} s; held here: {held}",
                    name_of(self.rank),
                    STUCK_NS / 1_000_000_000,
                ));
            }
        }
    }

    /// Gives the lock back; preemption stays off.
    ///
    /// # Safety
    /// This M holds it, and nobody uses the value any more.
    #[inline(always)]
    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.force_unlock() };
    }

    /// Ends a hold whose guard was leaked.
    ///
    /// # Safety
    /// This M holds the lock through [`LockGuard::leak`], and nobody uses the value any more.
    #[inline(always)]
    pub unsafe fn unlock_leaked(&self) {
        self.forget_rank();
        // SAFETY: the caller's promise.
        unsafe { self.release() };
        preempt_on();
    }

    /// Held ranks are all below `bound`, and this is no interrupt.
    #[inline(always)]
    fn note_rank(&self, bound: u32) {
        if cfg!(debug_assertions) {
            // SAFETY: preemption is off, so this M is ours.
            let m = unsafe { &*getm() };
            let ranks = m.held_ranks.load(Ordering::Relaxed);
            if ranks >> bound != 0 || getg() == m.gsignal.get() {
                self.misused(m, Ranks(ranks));
            }
            m.held_ranks
                .store(ranks | 1 << (self.rank as u32), Ordering::Relaxed);
        }
    }

    /// A dying M may do what it likes: all others stand still, and the console is its own.
    #[cold]
    fn misused(&self, m: &MHead, held: Ranks) {
        if m.dying.load(Ordering::Relaxed) != 0 {
            return;
        }
        let name = name_of(self.rank);
        let in_interrupt = getg() == m.gsignal.get();
        let place = if in_interrupt { " in an interrupt" } else { "" };
        gosched_lock_throw(&format_args!(
            "lock order: {name} is taken{place}; held here: {held}"
        ));
    }

    #[inline(always)]
    fn forget_rank(&self) {
        if cfg!(debug_assertions) {
            // SAFETY: preemption is off while the lock is held.
            let held = unsafe { &(*getm()).held_ranks };
            held.store(
                held.load(Ordering::Relaxed) & !(1 << (self.rank as u32)),
                Ordering::Relaxed,
            );
        }
    }
}

/// The ranks of the locks that this M holds. Preemption is off.
fn held_ranks() -> Ranks {
    // SAFETY: preemption is off, so this M is ours.
    Ranks(unsafe { (*getm()).held_ranks.load(Ordering::Relaxed) })
}

/// A set of ranks, shown by their names.
struct Ranks(u32);

impl Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(debug_assertions) {
            return f.write_str("not noted in this build");
        }
        if self.0 == 0 {
            return f.write_str("none");
        }
        let mut before = "";
        for (_, name) in RANKS
            .iter()
            .filter(|(rank, _)| self.0 & 1 << *rank as u32 != 0)
        {
            write!(f, "{before}{name}")?;
            before = ", ";
        }
        Ok(())
    }
}

fn name_of(rank: Rank) -> &'static str {
    RANKS[rank as usize].1
}

unsafe extern "Rust" {
    // The scheduler's `throw`, by name as in `arch::switch`: it is above this module.
    safe fn gosched_lock_throw(reason: &dyn Display) -> !;
}

/// The right to the value of a [`Lock`].
pub struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
    /// Its rank was noted.
    ranked: bool,
    /// Held by this M: a guard does not go to another goroutine.
    of_this_m: PhantomData<*mut ()>,
}

impl<'a, T> LockGuard<'a, T> {
    /// Keeps the lock held beyond the guard; ended by [`Lock::unlock_leaked`] on the same M.
    #[inline(always)]
    pub fn leak(self) -> &'a Lock<T> {
        ManuallyDrop::new(self).lock
    }

    /// Gives the lock back and leaves preemption off, until the caller's [`preempt_on`].
    #[inline(always)]
    pub fn unlock_and_stay(self) {
        ManuallyDrop::new(self).release();
    }

    #[inline(always)]
    fn release(&self) {
        if self.ranked {
            self.lock.head.forget_rank();
        }
        // SAFETY: held until here; the guard goes.
        unsafe { self.lock.head.release() };
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held as long as the guard is there.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.release();
        preempt_on();
    }
}

//! Pool: values that were used and may be used again, kept for each P.
//!
//! A P has a `private` value, which only goroutines on it touch, with preemption off: no lock and
//! no locked instruction. Behind it are its `shared` values: the P itself takes the newest, whose
//! memory is most likely in its cache, and other Ps that have none steal the oldest. They are
//! behind a lock, which is the P's own but for thieves.
//!
//! # How much is kept
//!
//! Go's collector drops what was not used between two collections. There is no collector here, so:
//! a P keeps at most [`SHARED_MAX`] values and its private one; and at a `put` a second or more
//! after the last trim, it drops as many of its oldest values as lay there unneeded all that time
//! (the least number that it had since). A pool that nobody uses any more keeps what it has, and a
//! value that is private to a P beyond `gomaxprocs` stays there, until the pool is dropped.
//!
//! Values are dropped outside the lock and with preemption on, since a destructor may do anything.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on};
use crate::base::lock::{Lock, Rank};
use crate::sched::SCHED;
use crate::sched::m::getm;
use crate::sync::once_lock::OnceLock;

/// Shared values of one P.
const SHARED_MAX: usize = 256;
/// How long a value lies unneeded before it is dropped.
const TRIM_NS: u64 = 1_000_000_000;

/// What a P keeps. Two Ps never share a cache line (nor the adjacent one).
#[repr(align(128))]
struct Local<T> {
    private: UnsafeCell<Option<T>>,
    shared: Lock<Shared<T>>,
}

// SAFETY: `private` is touched by the holder of the P alone, with preemption off; Ps change hands
// by operations that order what was done before.
unsafe impl<T: Send> Sync for Local<T> {}

struct Shared<T> {
    /// Oldest first.
    values: VecDeque<T>,
    /// The least number of them since the last trim.
    unneeded: usize,
    trimmed_ns: u64,
}

/// Values to be used again: Go's `sync.Pool`. It may drop any of them at any time, so it is for
/// what can be made anew, at a cost: buffers, above all.
///
/// Taking and putting back cost some dozens of instructions, without a lock, while a P has one
/// value out at a time; a lock of the P's own otherwise.
///
/// ```
/// use gosched::sync::Pool;
/// static BUFFERS: Pool<[u8; 512]> = Pool::new(|| [0; 512]);
/// let mut buffer = BUFFERS.get();
/// buffer[0] = 1;
/// BUFFERS.put(buffer);
/// ```
pub struct Pool<T, F = fn() -> T> {
    locals: OnceLock<Box<[Local<T>]>>,
    init: F,
}

impl<T, F> Pool<T, F> {
    /// An empty pool; `init` makes a value when there is none. Allocates at the first `put`.
    ///
    /// ```
    /// static POOL: gosched::sync::Pool<u32> = gosched::sync::Pool::new(|| 5);
    /// assert_eq!(POOL.get(), 5);
    /// ```
    pub const fn new(init: F) -> Self {
        Self {
            locals: OnceLock::new(),
            init,
        }
    }
}

impl<T: Send, F: Fn() -> T> Pool<T, F> {
    /// A value that was put back, this P's newest if it has one, or a new one.
    ///
    /// ```
    /// let pool = gosched::sync::Pool::new(|| 5);
    /// assert_eq!(pool.get(), 5);
    /// ```
    pub fn get(&self) -> T {
        self.try_get().unwrap_or_else(&self.init)
    }

    /// A value that was put back, if there is one (Go: a pool without `New`).
    ///
    /// ```
    /// let pool = gosched::sync::Pool::new(|| 5);
    /// assert_eq!(pool.try_get(), None);
    /// pool.put(6);
    /// assert_eq!(pool.try_get(), Some(6));
    /// ```
    pub fn try_get(&self) -> Option<T> {
        let locals = self.locals.get()?;
        preempt_off();
        let own = own_index();
        // SAFETY: this P's, with preemption off.
        let private = unsafe { (*locals[own].private.get()).take() };
        preempt_on();
        if private.is_some() {
            return private;
        }
        // From here on `own` is where to begin, wherever this goroutine runs now.
        let newest = locals[own].shared.lock().take(VecDeque::pop_back);
        newest.or_else(|| {
            (1..locals.len()).find_map(|i| {
                let other = &locals[(own + i) % locals.len()];
                other.shared.lock().take(VecDeque::pop_front)
            })
        })
    }

    /// Gives a value to the pool.
    ///
    /// ```
    /// let pool = gosched::sync::Pool::new(|| 5);
    /// pool.put(6);
    /// assert_eq!(pool.get(), 6);
    /// ```
    pub fn put(&self, value: T) {
        let locals = self.locals.get_or_init(new_locals);
        preempt_off();
        let local = &locals[own_index()];
        // SAFETY: this P's, with preemption off.
        let private = unsafe { &mut *local.private.get() };
        if private.is_none() {
            *private = Some(value);
            preempt_on();
            return;
        }
        preempt_on();
        let (trimmed, refused) = {
            let mut shared = local.shared.lock();
            let trimmed = shared.trim(arch::nanotime());
            (trimmed, shared.put(value))
        };
        drop((trimmed, refused));
    }
}

impl<T> Shared<T> {
    fn take(&mut self, which: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let value = which(&mut self.values);
        self.unneeded = self.unneeded.min(self.values.len());
        value
    }

    /// Keeps the value, or gives it back if there are too many.
    fn put(&mut self, value: T) -> Option<T> {
        if self.values.len() == SHARED_MAX {
            return Some(value);
        }
        self.values.push_back(value);
        None
    }

    /// What has lain here unneeded for too long.
    fn trim(&mut self, now_ns: u64) -> VecDeque<T> {
        if now_ns.saturating_sub(self.trimmed_ns) < TRIM_NS {
            return VecDeque::new();
        }
        let kept = self.values.split_off(self.unneeded);
        let trimmed = core::mem::replace(&mut self.values, kept);
        self.trimmed_ns = now_ns;
        self.unneeded = self.values.len();
        trimmed
    }
}

/// One for each P that there can ever be.
fn new_locals<T>() -> Box<[Local<T>]> {
    let local = |_| Local {
        private: UnsafeCell::new(None),
        shared: Lock::new(
            Rank::Chan,
            Shared {
                values: VecDeque::new(),
                unneeded: 0,
                trimmed_ns: arch::nanotime(),
            },
        ),
    };
    (0..SCHED.mcount()).map(local).collect()
}

/// The number of this P. Preemption is off.
fn own_index() -> usize {
    let p = getm().p.load(Ordering::Relaxed);
    p.expect("a goroutine runs with a P").index()
}

impl<T, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

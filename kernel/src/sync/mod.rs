//! What goroutines share: locks, conditions, groups, permits, pools. `std::sync` without poisoning,
//! and what Go has besides.
//!
//! Everything that waits parks its goroutine in a first-in-first-out queue, says in a dump what it
//! waits for, and can wait with a limit (`…_timeout`, `…_deadline`). A wait is ended either by
//! whoever was waited for or by its limit, never by both.
//!
//! | item | rule | from |
//! | --- | --- | --- |
//! | [`Mutex`] | a waiter of over 1 ms gets it next | Go, `parking_lot` |
//! | [`RwLock`] | a writer that waits holds new readers back | Go |
//! | [`Condvar`] | first come, first woken | std, Go |
//! | [`Once`], [`OnceLock`], [`LazyLock`] | the first one does it, all others wait | std |
//! | [`Barrier`] | all or none | std |
//! | [`WaitGroup`], [`ErrGroup`] | wait for goroutines, and for the first error | Go |
//! | [`Semaphore`] | permits by weight, strictly in order | Go |
//! | [`Pool`] | used values to be used again, for each P | Go |
//!
//! Locks that belong to the kernel itself spin, with preemption off (`base::lock`): each of the
//! above has one around its queue, and holds it for some dozens of instructions.

mod barrier;
mod condvar;
mod errgroup;
mod holder;
mod lazy_lock;
mod mutex;
mod mutex_state;
mod once;
mod once_lock;
mod pool;
mod raw_mutex;
mod raw_rwlock;
mod rwlock;
mod semaphore;
mod spin;
mod waitgroup;
mod waitgroup_state;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use errgroup::ErrGroup;
pub(crate) use holder::{holder, unlocks_by_force};
pub use lazy_lock::LazyLock;
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use pool::Pool;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphoreGuard};
pub use waitgroup::WaitGroup;

//! Who alone can end a goroutine's wait for a lock: for those who look for deadlocks.
//!
//! A mutex, the write side of a readers-writer lock and a `Once` know whose they are. All else
//! (channels, groups, readers) may be ended by anybody who can reach it.
//!
//! `force_unlock` lets anybody unlock what somebody else has locked. An image that calls it holds
//! [`mark_forced`], which has a section of its own; in all others the linker drops it, and then a
//! lock is unlocked by its holder or never.

use crate::sched::park::WaitReason;
use crate::sched::sudog::Sudog;
use crate::sync::once::Once;
use crate::sync::raw_mutex::RawMutex;
use crate::sync::raw_rwlock::RawRwLock;

/// The number of the goroutine that holds what is waited for with this reason, in the queue whose
/// lock is at `lock`, in the place `sudog`; None if it is not known, or there is no such one.
///
/// # Safety
/// A goroutine waits there, and cannot go on meanwhile; and nobody holds the queue's lock.
pub(crate) unsafe fn holder(reason: WaitReason, lock: usize, sudog: &Sudog) -> Option<u64> {
    // SAFETY: the caller's promise, in each case: what is waited for is there.
    unsafe {
        match reason {
            WaitReason::SyncMutexLock => RawMutex::of_queue(lock).holder(),
            // Behind another writer, to which `elem` leads (`RawMutex::park`). If not, it waits for
            // readers.
            WaitReason::SyncRwMutexLock if !sudog.elem.get().is_null() => {
                RawMutex::of_queue(lock).holder()
            }
            WaitReason::SyncRwMutexRLock => RawRwLock::of_queues(lock).writer(),
            WaitReason::SyncOnce => Once::runner(lock),
            _ => None,
        }
    }
}

/// Called where a lock is unlocked that somebody else may have locked.
#[inline(never)]
#[unsafe(link_section = ".text.forced_unlock")]
pub(super) fn mark_forced() {
    core::hint::black_box(());
}

/// Whether this image has code that unlocks what others have locked.
pub(crate) fn unlocks_by_force() -> bool {
    unsafe extern "C" {
        static __forced_unlock_start: u8;
        static __forced_unlock_end: u8;
    }
    // To the compiler these are two variables, which never have one address: not to be known to it.
    let start = core::hint::black_box((&raw const __forced_unlock_start) as usize);
    let end = core::hint::black_box((&raw const __forced_unlock_end) as usize);
    start != end
}

//! System stacks: g0 of each M, and its interrupt stacks.
//!
//! Mapped whole when they are made, because a page fault on the stack of the page-fault handler
//! would be a double fault. Below each lies a page that is never mapped. They are made once for
//! each CPU and live as long as the machine, so the addresses are handed out by a counter.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::frames::{self, Urgency};
use super::space::{self, Rights};
use super::{FRAME_SIZE, HEAP, SYSTEM_STACKS};

/// The first address that was not handed out.
static NEXT: AtomicUsize = AtomicUsize::new(SYSTEM_STACKS);
/// Frames in system stacks.
static MAPPED_FRAMES: AtomicUsize = AtomicUsize::new(0);

/// A stack of `bytes`, rounded up to pages, with a guard page below; returns its upper end, which
/// is page-aligned. `None` when there is no memory: the boot goes on with the CPUs it has.
pub fn alloc_system_stack(bytes: usize) -> Option<usize> {
    let size = bytes.checked_next_multiple_of(FRAME_SIZE)?;
    let next = |at: usize| at.checked_add(FRAME_SIZE + size).filter(|&end| end <= HEAP);
    let guard = NEXT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .ok()?;
    let lo = guard + FRAME_SIZE;
    for page in (lo..lo + size).step_by(FRAME_SIZE) {
        if space::kernel()
            .map_new(page, Rights::RW, Urgency::Ordinary)
            .is_err()
        {
            // Nobody has seen these addresses yet, and they are not handed out again: there is no
            // TLB to invalidate.
            (lo..page)
                .step_by(FRAME_SIZE)
                .filter_map(space::unmap)
                .for_each(frames::free);
            return None;
        }
    }
    MAPPED_FRAMES.fetch_add(size / FRAME_SIZE, Ordering::Relaxed);
    Some(lo + size)
}

/// Whether `address` is in the guard page of a system stack: that stack overflowed. (A stack that
/// could not be made counts as guard, too; nobody runs on it.)
pub fn is_guard(address: usize) -> bool {
    (SYSTEM_STACKS..NEXT.load(Ordering::Relaxed)).contains(&address)
        && space::translate(address).is_none()
}

/// Bytes of system stacks.
pub(super) fn mapped_bytes() -> usize {
    MAPPED_FRAMES.load(Ordering::Relaxed) * FRAME_SIZE
}

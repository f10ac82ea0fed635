//! The allocator of a dying kernel: a bump arena without locks.
//!
//! The report of a fatal error symbolizes its stacks, which allocates, while the heap may be locked
//! by a CPU that was stopped for good. So from [`super::heap::set_emergency`] on memory comes from
//! here: an upper end that moves up by atomic additions, over pages mapped as they are reached,
//! with frames from the reserve. Nothing is freed; growing the newest block grows in place, which
//! is what a `Vec` or `String` being filled does.

use core::alloc::Layout;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::frames::Urgency;
use super::space::{self, MapError, Rights};
use super::{BOOT, EMERGENCY, FRAME_SIZE};

/// The first byte that is not in use.
static TOP: AtomicUsize = AtomicUsize::new(EMERGENCY);
/// Frames mapped so far.
static MAPPED_FRAMES: AtomicUsize = AtomicUsize::new(0);

/// A block, or null when the last frame is gone.
pub(super) fn alloc(layout: Layout) -> *mut u8 {
    let mut start = 0;
    let end_of = |top: usize| {
        start = top.checked_next_multiple_of(layout.align())?;
        start.checked_add(layout.size()).filter(|&end| end <= BOOT)
    };
    match TOP.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end_of) {
        Ok(_) if map_all(start, start + layout.size()) => ptr::with_exposed_provenance_mut(start),
        _ => ptr::null_mut(),
    }
}

/// As `GlobalAlloc::realloc`; `block` may be one of the heap.
///
/// # Safety
/// `block` is a living block with the layout `old`.
pub(super) unsafe fn realloc(block: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    if new.size() <= old.size() {
        return block;
    }
    let end = block.addr() + old.size();
    let new_end = block
        .addr()
        .checked_add(new.size())
        .filter(|&end| end <= BOOT);
    if let Some(new_end) = new_end
        && TOP
            .compare_exchange(end, new_end, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    {
        let mapped = map_all(end, new_end);
        return if mapped { block } else { ptr::null_mut() };
    }
    let copy = alloc(new);
    if !copy.is_null() {
        // SAFETY: the old block is at least `old.size()` long by the caller's promise, the new one
        // is longer, and they do not overlap, as the new one begins where nothing was in use.
        unsafe { ptr::copy_nonoverlapping(block, copy, old.size()) };
    }
    copy
}

/// Bytes mapped for the arena.
pub(super) fn mapped_bytes() -> usize {
    MAPPED_FRAMES.load(Ordering::Relaxed) * FRAME_SIZE
}

/// Sees to it that every page of `start..end` is mapped. Two CPUs may meet on a page.
fn map_all(start: usize, end: usize) -> bool {
    let mut page = start & !(FRAME_SIZE - 1);
    while page < end {
        if space::translate(page).is_none() && !map_page(page) {
            return false;
        }
        page += FRAME_SIZE;
    }
    true
}

fn map_page(page: usize) -> bool {
    match space::kernel().map_new(page, Rights::RW, Urgency::Dying) {
        Ok(()) => {
            MAPPED_FRAMES.fetch_add(1, Ordering::Relaxed);
            true
        }
        Err(error) => error == MapError::AlreadyMapped,
    }
}

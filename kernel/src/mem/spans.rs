//! The heap's memory: `linked_list_allocator` over a range of addresses that grows.
//!
//! `HEAP..end` belongs to the allocator. It grows at `end` by mapping frames, in steps that double
//! up to 1 MiB, so that the lock is never held for long.
//!
//! The allocator cannot give memory back. So what lies free in it is taken from it like a block, a
//! *balloon*, whose pages are then unmapped: [`super::heap::trim`]. Growth looks at the balloons
//! first: pages at the beginning of one are mapped again and freed into the allocator, which
//! merges them with what is free beside them.
//!
//! Invariants: every page of `HEAP..end` is mapped, but for those in balloons; the pages of a
//! balloon are in no TLB (they were flushed before it was entered here).
//!
//! Relied on: the allocator has no headers in its blocks, so a block may be freed piece by piece.
//! The crate's version is pinned.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use linked_list_allocator::Heap as HoleList;

use super::frames::{self, Urgency};
use super::large::{self, LargeBlocks};
use super::space::{self, MapError, Rights};
use super::{EMERGENCY, FRAME_SIZE, HEAP};

/// The heap grows by as much as it has, but not less and not more than this at a time.
const MIN_STEP: usize = 64 * 1024;
const MAX_STEP: usize = 1024 * 1024;

/// Free memory is not unmapped in pieces smaller than this.
const MIN_BALLOON: usize = 64 * 1024;
/// How many balloons there can be.
pub(super) const MAX_BALLOONS: usize = 32;

/// Counts of the one heap, for [`super::usage`]; written under its lock.
static MAPPED: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);

/// The heap's memory.
pub(super) struct Spans {
    holes: HoleList,
    end: usize,
    balloons: [Range<usize>; MAX_BALLOONS],
    /// Bytes in balloons, and in those that are being made.
    ballooned: usize,
    large: LargeBlocks,
}

/// Bytes mapped for the heap.
pub(super) fn mapped_bytes() -> usize {
    MAPPED.load(Ordering::Relaxed)
}

/// Bytes in blocks.
pub(super) fn used_bytes() -> usize {
    USED.load(Ordering::Relaxed)
}

impl Spans {
    pub(super) const fn new() -> Self {
        let balloons = [const { 0..0 }; MAX_BALLOONS];
        Self {
            holes: HoleList::empty(),
            end: HEAP,
            balloons,
            ballooned: 0,
            large: LargeBlocks::new(),
        }
    }

    /// A block, if there is a hole for it.
    pub(super) fn alloc(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let block = self.holes.allocate_first_fit(layout).ok();
        self.count();
        block
    }

    /// # Safety
    /// `block` came from [`Spans::alloc`] with this layout and is not used any more.
    pub(super) unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise is what `deallocate` asks for.
        unsafe { self.holes.deallocate(block, layout) };
        self.count();
    }

    /// As [`Spans::alloc`], for a block that can be found by an address in it.
    pub(super) fn alloc_large(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = self.alloc(large::with_header(layout)?)?;
        // SAFETY: just taken for it.
        Some(unsafe { self.large.add(memory, layout) })
    }

    /// # Safety
    /// `block` came from [`Spans::alloc_large`] with this layout and is not used any more.
    pub(super) unsafe fn free_large(&mut self, block: NonNull<u8>, layout: Layout) {
        if let Some(outer) = large::with_header(layout) {
            // SAFETY: the caller's promise; the memory was taken with that layout.
            unsafe {
                let memory = self.large.remove(block, layout);
                self.free(memory, outer);
            }
        }
    }

    /// The end of what the heap ever had.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// The blocks of [`Spans::alloc_large`].
    pub(super) fn large(&self) -> &LargeBlocks {
        &self.large
    }

    /// Maps more memory for a request that lacks `missing` bytes; returns how much, which may be
    /// less. 0: there is not enough.
    pub(super) fn grow(&mut self, missing: usize) -> usize {
        let available = frames::global().available() * FRAME_SIZE;
        if missing > available || missing > EMERGENCY - self.end {
            return 0;
        }
        let doubling = (self.end - HEAP).clamp(MIN_STEP, MAX_STEP);
        let wanted = missing
            .next_multiple_of(FRAME_SIZE)
            .min(MAX_STEP)
            .max(doubling);
        let fits = |balloon: &Range<usize>| balloon.len() >= missing;
        let grown = match self.balloons.iter().position(fits) {
            Some(i) => self.deflate(i, wanted),
            None => self.extend(wanted),
        };
        self.count();
        grown
    }

    /// Takes a free stretch of whole pages out of the allocator, as long as the search from `size`
    /// down finds one; the next search begins there. The caller, who has `taken` others, unmaps
    /// it and comes back with [`Spans::add_balloon`].
    pub(super) fn take_hole(&mut self, size: &mut usize, taken: usize) -> Option<Range<usize>> {
        if self
            .balloons
            .iter()
            .filter(|balloon| Range::is_empty(balloon))
            .count()
            <= taken
        {
            return None;
        }
        *size = (*size).min(self.holes.free()) & !(FRAME_SIZE - 1);
        while *size >= MIN_BALLOON {
            let layout = Layout::from_size_align(*size, FRAME_SIZE).ok()?;
            if let Some(block) = self.alloc(layout) {
                self.ballooned += *size;
                self.count();
                let start = block.addr().get();
                return Some(start..start + *size);
            }
            *size = (*size / 2) & !(FRAME_SIZE - 1);
        }
        None
    }

    /// Enters a stretch whose pages were unmapped and flushed from all TLBs.
    pub(super) fn add_balloon(&mut self, hole: Range<usize>) {
        if let Some(below) = self
            .balloons
            .iter_mut()
            .find(|below| !Range::is_empty(below) && below.end == hole.start)
        {
            below.end = hole.end;
            return;
        }
        // Two trims at once may find too little room: then the addresses are lost, no memory.
        if let Some(empty) = self
            .balloons
            .iter_mut()
            .find(|balloon| Range::is_empty(balloon))
        {
            *empty = hole;
        }
    }

    /// Maps the first pages of a balloon again.
    fn deflate(&mut self, i: usize, wanted: usize) -> usize {
        let start = self.balloons[i].start;
        let end = self.balloons[i].end.min(start + wanted);
        let grown = map_pages(start, end);
        if grown > 0 {
            self.balloons[i].start += grown;
            self.ballooned -= grown;
            let block = NonNull::new(ptr::with_exposed_provenance_mut(start));
            let block = block.expect("the heap is not at address 0");
            let layout = Layout::from_size_align(grown, FRAME_SIZE);
            let layout = layout.expect("a piece of a block is smaller than the block");
            // SAFETY: the pages are part of a block that came from the allocator, mapped, and free.
            unsafe { self.holes.deallocate(block, layout) };
        }
        grown
    }

    /// Maps pages behind the end.
    fn extend(&mut self, wanted: usize) -> usize {
        let start = self.end;
        let grown = map_pages(start, start + wanted);
        self.end += grown;
        if grown == 0 {
            return 0;
        }
        if start == HEAP {
            let bottom = ptr::with_exposed_provenance_mut(HEAP);
            // SAFETY: HEAP..end has just been mapped, for this use, and stays.
            self.holes = unsafe { HoleList::new(bottom, grown) };
        } else {
            // SAFETY: start..end has just been mapped, directly behind what the heap had.
            unsafe { self.holes.extend(grown) };
        }
        grown
    }

    fn count(&self) {
        MAPPED.store(self.end - HEAP - self.ballooned, Ordering::Relaxed);
        USED.store(self.holes.used() - self.ballooned, Ordering::Relaxed);
    }
}

/// Maps fresh frames at the pages of `start..end`, as far as they go; returns how many bytes.
fn map_pages(start: usize, end: usize) -> usize {
    let tables = space::kernel();
    for page in (start..end).step_by(FRAME_SIZE) {
        let mapped = tables.map_new(page, Rights::RW, Urgency::Ordinary);
        assert!(
            mapped != Err(MapError::AlreadyMapped),
            "mem: {page:#x} is not the heap's"
        );
        if mapped.is_err() {
            return page - start;
        }
    }
    end - start
}

#[cfg(test)]
mod properties;

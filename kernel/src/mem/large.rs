//! Blocks too large for slabs, each with a header before it that links all of them: so that whoever
//! asks which block an address belongs to (`super::blocks`) finds them. O(1) for each block.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

/// What stands before a large block.
#[repr(C)]
struct Header {
    next: *mut Header,
    prev: *mut Header,
    /// Bytes of the block.
    size: usize,
    /// So that the header is a multiple of 16.
    _unused: usize,
}

/// All large blocks.
pub(super) struct LargeBlocks {
    first: *mut Header,
}

// SAFETY: the headers are touched through this list alone, whichever CPU holds it.
unsafe impl Send for LargeBlocks {}

/// Bytes before a block of this layout.
fn before(layout: Layout) -> usize {
    size_of::<Header>().max(layout.align())
}

/// What to take for a block of this layout, its header included; None: more than there can be.
pub(super) fn with_header(layout: Layout) -> Option<Layout> {
    let size = layout.size().checked_add(before(layout))?;
    Layout::from_size_align(size, layout.align().max(16)).ok()
}

impl LargeBlocks {
    pub(super) const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
        }
    }

    /// The block in memory that was taken for it.
    ///
    /// # Safety
    /// `memory` is as [`with_header`] of `layout` says, and ours.
    pub(super) unsafe fn add(&mut self, memory: NonNull<u8>, layout: Layout) -> NonNull<u8> {
        // SAFETY: so much was asked for before the block.
        let block = unsafe { memory.add(before(layout)) };
        // SAFETY: the header fits in between, and is aligned as the block and its own size are.
        let header = unsafe { block.sub(size_of::<Header>()) }.cast::<Header>();
        let new = Header {
            next: self.first,
            prev: ptr::null_mut(),
            size: layout.size(),
            _unused: 0,
        };
        // SAFETY: ours; and the first one of the list is alive.
        unsafe {
            header.write(new);
            if let Some(first) = self.first.as_mut() {
                first.prev = header.as_ptr();
            }
        }
        self.first = header.as_ptr();
        block
    }

    /// Takes a block out; returns the memory that was taken for it.
    ///
    /// # Safety
    /// The block came from [`LargeBlocks::add`] with this layout.
    pub(super) unsafe fn remove(&mut self, block: NonNull<u8>, layout: Layout) -> NonNull<u8> {
        // SAFETY: `add` put the header there, and its neighbours are alive.
        unsafe {
            let header = block.sub(size_of::<Header>()).cast::<Header>().as_ref();
            match header.prev.as_mut() {
                Some(prev) => prev.next = header.next,
                None => self.first = header.next,
            }
            if let Some(next) = header.next.as_mut() {
                next.prev = header.prev;
            }
            block.sub(before(layout))
        }
    }

    /// Calls `each` with where every block begins, and its size.
    pub(super) fn each(&self, each: &mut dyn FnMut(usize, usize)) {
        let mut next = self.first;
        while let Some(at) = NonNull::new(next) {
            // SAFETY: headers in the list are alive.
            let header = unsafe { at.as_ref() };
            each(at.addr().get() + size_of::<Header>(), header.size);
            next = header.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// A block that is lost or found twice in the list, is not aligned, or overlaps its header.
    #[test]
    fn blocks_are_listed_while_they_live() {
        let mut list = LargeBlocks::new();
        let mut living = Vec::new();
        for (n, align) in [1usize, 8, 16, 64, 4096, 16, 8].into_iter().enumerate() {
            let layout = Layout::from_size_align(3000 + n, align).unwrap();
            let outer = with_header(layout).unwrap();
            // SAFETY: the size is not 0.
            let memory = NonNull::new(unsafe { std::alloc::alloc(outer) }).unwrap();
            // SAFETY: just taken for it.
            let block = unsafe { list.add(memory, layout) };
            assert!(block.addr().get().is_multiple_of(align));
            let end = block.addr().get() + layout.size();
            assert!(end <= memory.addr().get() + outer.size());
            living.push((block, memory, layout));
        }
        for at in [3, 0, 4, 3, 0, 1, 0] {
            let (block, memory, layout) = living.remove(at);
            // SAFETY: added above with this layout.
            assert_eq!(unsafe { list.remove(block, layout) }, memory);
            // SAFETY: allocated above with this layout.
            unsafe { std::alloc::dealloc(memory.as_ptr(), with_header(layout).unwrap()) };
            let mut listed = Vec::new();
            list.each(&mut |start, size| listed.push((start, size)));
            listed.sort_unstable();
            let mut expected: Vec<_> = living
                .iter()
                .map(|(block, _, layout)| (block.addr().get(), layout.size()))
                .collect();
            expected.sort_unstable();
            assert_eq!(listed, expected);
        }
    }
}

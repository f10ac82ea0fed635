//! Size classes, and blocks of one class cut from slabs.
//!
//! A slab is 16 KiB, aligned to its size, taken from the heap: a header and blocks of one class. A
//! block finds its slab by clearing the low bits of its address. A [`Central`] is all the slabs of
//! one class; the caches of the CPUs take and give [`Chain`]s of blocks. Every step is O(1) for
//! each block, whatever the heap below looks like: its first-fit search is paid once for a slab.
//!
//! Invariants:
//! - a slab is on its Central's list exactly while it has a block to give;
//! - a slab of which no block is out goes back to the heap, unless it is the only one on the list:
//!   so memory moves between classes, and one block at the edge does not cost a slab each time.
//!
//! A slab's header says what it is ([`Class::of_slab`]), for who looks from an address inside for
//! the block it belongs to (`super::blocks`); it is wiped when the slab goes back.
//!
//! Refused: single blocks straight from `linked_list_allocator` (each free walks its list of holes,
//! whose length is the program's fragmentation, with preemption off); powers of two alone (half of
//! each block lost, at worst).

use core::alloc::Layout;
use core::ptr::{self, NonNull};

/// How many size classes there are: 8 steps of 16 bytes up to 128, then 4 to each doubling.
pub(super) const CLASSES: usize = 24;
/// The largest block that comes from a slab.
pub(super) const LARGEST: usize = 2048;
/// Bytes of a slab, and its alignment.
pub(super) const SLAB_SIZE: usize = 16 * 1024;

/// Bytes of a block of each class.
const SIZES: [u16; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        sizes[class] = if class < 8 {
            (class as u16 + 1) * 16
        } else {
            let base = 128 << ((class - 8) / 4);
            base + ((class as u16 - 8) % 4 + 1) * (base / 4)
        };
        class += 1;
    }
    sizes
};

/// Blocks of a batch: some 4 KiB, at least 4 and at most 64.
const BATCHES: [u8; CLASSES] = {
    let mut batches = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let blocks = 4096 / SIZES[class];
        batches[class] = if blocks < 4 {
            4
        } else if blocks > 64 {
            64
        } else {
            blocks as u8
        };
        class += 1;
    }
    batches
};

/// A size class: an index below [`CLASSES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Class(u8);

/// A free block: its first word leads to the next one.
pub(super) struct Block {
    next: *mut Block,
}

/// Free blocks of one class, linked.
pub(super) struct Chain {
    head: *mut Block,
    len: u32,
}

/// The head of a slab. Touched under the lock of its [`Central`] alone.
struct Slab {
    next: *mut Slab,
    prev: *mut Slab,
    /// Blocks that came back.
    free: *mut Block,
    /// Where the blocks begin that were never out; the slab is cut as it is used, so a new one
    /// touches one page, not four.
    fresh: u16,
    /// Blocks that are out.
    out: u16,
    /// Which class it is of ([`Class::tag`]).
    tag: u32,
}

/// How many bits of a tag are the class.
const TAG_CLASS_BITS: u32 = 5;

/// The slabs of one class.
pub(super) struct Central {
    class: Class,
    /// Slabs that have a block to give.
    partial: *mut Slab,
    /// Free bytes in all slabs of the class, for the accounts.
    free_bytes: usize,
}

// SAFETY: the slabs that a Central points at are its own, whichever CPU holds it.
unsafe impl Send for Central {}

impl Class {
    /// The class that serves a layout; `None` if that is too large. Every class is a multiple of
    /// the alignments that lead to it: within a doubling the classes are multiples of a quarter of
    /// its base, and a size rounded up to a larger alignment is a class itself.
    #[inline]
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let align = layout.align();
        if layout.size() > LARGEST || align > LARGEST {
            return None;
        }
        let need = ((layout.size().max(1) + align - 1) & !(align - 1)) - 1; // 0..LARGEST
        if need < 128 {
            return Some(Self((need / 16) as u8));
        }
        let log = need.ilog2(); // 7..=10
        let quarter = (need >> (log - 2)) & 3;
        Some(Self((8 + (log - 7) * 4 + quarter as u32) as u8))
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    pub(super) const fn from_index(index: usize) -> Self {
        assert!(index < CLASSES);
        Self(index as u8)
    }

    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of a block.
    #[inline]
    pub(super) const fn size(self) -> usize {
        SIZES[self.index()] as usize
    }

    /// Blocks that move between a CPU's cache and the slabs at a time.
    #[inline]
    pub(super) const fn batch(self) -> u32 {
        BATCHES[self.index()] as u32
    }

    /// What the header of a slab of this class holds at `slab`: hardly anything else does there.
    fn tag(self, slab: usize) -> u32 {
        let place = ((slab / SLAB_SIZE) as u32).wrapping_mul(0x9e37_79b1);
        (place ^ 0x51ab_51ab) << TAG_CLASS_BITS | u32::from(self.0)
    }

    /// The class of the slab that begins at `slab`, a multiple of [`SLAB_SIZE`]; None if no slab
    /// does. If it does not, a word of some other block is taken for a header once in 2^27 cases:
    /// so ask only for what is not a larger block's.
    ///
    /// # Safety
    /// The first bytes at `slab` are mapped, and the heap does not change meanwhile.
    pub(super) unsafe fn of_slab(slab: usize) -> Option<Self> {
        let header = ptr::with_exposed_provenance::<Slab>(slab);
        // SAFETY: mapped, by the caller's promise; any bytes are a u32.
        let tag = unsafe { (&raw const (*header).tag).read() };
        let class = (tag & ((1 << TAG_CLASS_BITS) - 1)) as usize;
        let class = (class < CLASSES).then(|| Self::from_index(class))?;
        (class.tag(slab) == tag).then_some(class)
    }

    /// The block of a slab of this class in which the byte at this offset of the slab lies: where
    /// it begins. None: in the header, or behind the last one.
    pub(super) fn block_at(self, offset: usize) -> Option<usize> {
        let index = offset.checked_sub(self.first_offset())? / self.size();
        (index < self.blocks()).then(|| self.first_offset() + index * self.size())
    }

    /// Where the first block lies in a slab: behind the header, aligned as all blocks are.
    const fn first_offset(self) -> usize {
        let align = 1 << self.size().trailing_zeros();
        (size_of::<Slab>() + align - 1) & !(align - 1)
    }

    const fn blocks(self) -> usize {
        (SLAB_SIZE - self.first_offset()) / self.size()
    }
}

impl Chain {
    pub(super) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Adds a free block.
    ///
    /// # Safety
    /// `block` points at a block of a slab that nobody uses and that is in no chain.
    #[inline]
    pub(super) unsafe fn push(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Block>().as_ptr();
        // SAFETY: the block is ours by the caller's promise, and large and aligned enough.
        unsafe { block.write(Block { next: self.head }) };
        self.head = block;
        self.len += 1;
    }

    /// Calls `each` with the address of every block.
    pub(super) fn each(&self, each: &mut dyn FnMut(usize)) {
        each_of_list(self.head, each);
    }

    /// Takes the block that was added last.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.head)?;
        // SAFETY: a block in the chain is free and was written by `push`.
        self.head = unsafe { block.as_ref().next };
        self.len -= 1;
        Some(block.cast())
    }
}

/// Calls `each` with the addresses of linked free blocks.
fn each_of_list(mut head: *mut Block, each: &mut dyn FnMut(usize)) {
    while let Some(block) = NonNull::new(head) {
        each(block.addr().get());
        // SAFETY: a free block in a list was written by who put it there.
        head = unsafe { block.as_ref().next };
    }
}

impl Central {
    pub(super) const fn new(class: Class) -> Self {
        Self {
            class,
            partial: ptr::null_mut(),
            free_bytes: 0,
        }
    }

    pub(super) fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// Up to `count` blocks; fewer, or none, when the slabs have no more: then [`Central::add`].
    pub(super) fn take(&mut self, count: u32) -> Chain {
        let mut chain = Chain::new();
        while chain.len < count {
            let Some(slab) = NonNull::new(self.partial) else {
                break;
            };
            // SAFETY: slabs on the list are alive and ours while we hold `&mut self`.
            let slab = unsafe { &mut *slab.as_ptr() };
            let block = slab.take(self.class);
            self.free_bytes -= self.class.size();
            if slab.is_empty(self.class) {
                self.unlink(slab);
            }
            // SAFETY: the block was free in its slab and has just been taken out of it.
            unsafe { chain.push(block) };
        }
        chain
    }

    /// Takes blocks back. Slabs of which none is out any more are returned one by one: the caller
    /// calls again with the same chain until it gets `None`.
    #[must_use]
    pub(super) fn give(&mut self, chain: &mut Chain) -> Option<NonNull<u8>> {
        while let Some(block) = chain.pop() {
            let at = block
                .as_ptr()
                .map_addr(|a| a & !(SLAB_SIZE - 1))
                .cast::<Slab>();
            // SAFETY: every block lies in a slab, which begins at the multiple of SLAB_SIZE below
            // and is ours while we hold `&mut self`.
            let slab = unsafe { &mut *at };
            let was_empty = slab.is_empty(self.class);
            slab.give(block);
            self.free_bytes += self.class.size();
            if was_empty {
                self.link(slab);
            }
            let alone = slab.next.is_null() && slab.prev.is_null();
            if slab.out == 0 && !alone {
                self.unlink(slab);
                self.free_bytes -= self.class.blocks() * self.class.size();
                slab.tag = 0;
                return NonNull::new(at.cast());
            }
        }
        None
    }

    /// Calls `each` with the address of every block that is not out.
    pub(super) fn each_free(&self, each: &mut dyn FnMut(usize)) {
        let mut next = self.partial;
        while let Some(at) = NonNull::new(next) {
            // SAFETY: slabs on the list are alive and ours while we hold `&self`.
            let slab = unsafe { at.as_ref() };
            each_of_list(slab.free, each);
            for offset in (slab.fresh as usize..).step_by(self.class.size()) {
                match self.class.block_at(offset) {
                    Some(_) => each(at.addr().get() + offset),
                    None => break,
                }
            }
            next = slab.next;
        }
    }

    /// Adds memory for a slab.
    ///
    /// # Safety
    /// `memory` is [`SLAB_SIZE`] bytes, aligned to that, and nobody else's until [`Central::give`]
    /// returns it.
    pub(super) unsafe fn add(&mut self, memory: NonNull<u8>) {
        let at = memory.cast::<Slab>().as_ptr();
        let fresh = self.class.first_offset() as u16;
        let header = Slab {
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            free: ptr::null_mut(),
            fresh,
            out: 0,
            tag: self.class.tag(memory.as_ptr().expose_provenance()),
        };
        // SAFETY: the memory is ours by the caller's promise.
        let slab = unsafe {
            at.write(header);
            &mut *at
        };
        self.free_bytes += self.class.blocks() * self.class.size();
        self.link(slab);
    }

    fn link(&mut self, slab: &mut Slab) {
        slab.next = self.partial;
        slab.prev = ptr::null_mut();
        if !self.partial.is_null() {
            // SAFETY: slabs on the list are alive and ours while we hold `&mut self`.
            unsafe { (*self.partial).prev = slab };
        }
        self.partial = slab;
    }

    fn unlink(&mut self, slab: &mut Slab) {
        if slab.prev.is_null() {
            self.partial = slab.next;
        } else {
            // SAFETY: neighbours on the list are alive and ours while we hold `&mut self`.
            unsafe { (*slab.prev).next = slab.next };
        }
        if !slab.next.is_null() {
            // SAFETY: as above.
            unsafe { (*slab.next).prev = slab.prev };
        }
        slab.next = ptr::null_mut();
        slab.prev = ptr::null_mut();
    }
}

impl Slab {
    /// Whether no block is left to give.
    fn is_empty(&self, class: Class) -> bool {
        self.out as usize == class.blocks()
    }

    fn take(&mut self, class: Class) -> NonNull<u8> {
        self.out += 1;
        if let Some(block) = NonNull::new(self.free) {
            // SAFETY: a block on the slab's list is free and was written by `give`.
            self.free = unsafe { block.as_ref().next };
            return block.cast();
        }
        // SAFETY: not all blocks are out and none came back, so one was never out; it lies inside
        // the slab, whose memory this header is the beginning of.
        let block = unsafe { ptr::from_mut(self).cast::<u8>().add(self.fresh as usize) };
        self.fresh += class.size() as u16;
        NonNull::new(block).expect("a block lies behind its slab's header")
    }

    fn give(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Block>();
        // SAFETY: the block is free and in this slab.
        unsafe { block.write(Block { next: self.free }) };
        self.free = block.as_ptr();
        self.out -= 1;
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;

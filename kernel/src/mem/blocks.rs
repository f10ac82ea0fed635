//! Which block of the heap an address lies in, for who looks for pointers in memory.
//!
//! A [`Blocks`] is true for as long as nobody else uses the heap: the world is stopped. It costs a
//! bit for each 16 bytes of heap, twice, and a pass over all large and all free blocks. What it
//! holds of addresses are distances from [`HEAP`], so that nobody takes them for pointers.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::heap;
use super::slab::{Class, SLAB_SIZE};
use super::{HEAP, space};

/// What blocks are multiples of.
const GRAIN: usize = 16;

/// The blocks of the heap at one instant.
pub struct Blocks {
    /// Bytes of the heap.
    len: usize,
    /// Large blocks: distance from [`HEAP`] and size, in order.
    large: Vec<(usize, usize)>,
    /// By grain: a block of a slab that nobody has begins here.
    free: Bits,
    /// By grain: the block that begins here was marked.
    marked: Bits,
}

/// A set of small numbers.
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|w| w & 1 << (at % 64) != 0)
    }

    /// Whether it is new. What lies beyond the end is not.
    fn insert(&mut self, at: usize) -> bool {
        match self.0.get_mut(at / 64) {
            Some(word) if *word & 1 << (at % 64) == 0 => {
                *word |= 1 << (at % 64);
                true
            }
            _ => false,
        }
    }
}

/// A block: where it begins, as a distance from [`HEAP`], and its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    start: usize,
    size: usize,
}

impl Block {
    /// A number below 2^40 that no other block has.
    pub fn number(self) -> u64 {
        (self.start / GRAIN) as u64
    }

    /// Where the block with that number begins.
    pub fn address_of(number: u64) -> usize {
        HEAP + number as usize * GRAIN
    }

    /// Its addresses.
    pub fn range(self) -> Range<usize> {
        HEAP + self.start..HEAP + self.start + self.size
    }
}

/// Where the allocator's own variables lie: they lead to free memory.
pub fn own_static() -> Range<usize> {
    heap::own_static()
}

impl Blocks {
    /// Looks at the heap.
    ///
    /// # Safety
    /// No other CPU uses the heap while this exists.
    pub unsafe fn new() -> Self {
        let count = || {
            heap::with_spans(|spans| {
                let mut n = 0;
                spans.large().each(&mut |_, _| n += 1);
                (spans.end() - HEAP, n)
            })
        };
        let (len, n) = count();
        // What is allocated from here on is this one's own, and nobody's pointer leads there.
        let mut blocks = Self {
            len,
            large: Vec::with_capacity(n + 8),
            free: Bits::new(len / GRAIN),
            marked: Bits::new(len / GRAIN),
        };
        heap::with_spans(|spans| {
            spans.large().each(&mut |start, size| {
                if blocks.large.len() < blocks.large.capacity() {
                    blocks.large.push((start - HEAP, size));
                }
            });
        });
        blocks.large.sort_unstable();
        let free = &mut blocks.free;
        // SAFETY: the caller's promise; nothing is allocated in between.
        unsafe {
            heap::each_free(&mut |block| {
                free.insert((block - HEAP) / GRAIN);
            });
        }
        blocks
    }

    /// The block in which this address lies; none if nobody has it.
    pub fn block_of(&self, address: usize) -> Option<Block> {
        let at = address.checked_sub(HEAP).filter(|&at| at < self.len)?;
        let after = self.large.partition_point(|&(start, _)| start <= at);
        if let Some(&(start, size)) = after.checked_sub(1).and_then(|i| self.large.get(i))
            && at < start + size
        {
            return Some(Block { start, size });
        }
        let slab = at & !(SLAB_SIZE - 1);
        // Parts of the heap that were given back are not mapped: by the page tables, since a
        // goroutine that gives one back may stand still before the heap has noted it.
        space::translate(HEAP + slab)?;
        // SAFETY: its first page is mapped, and the heap stands still.
        let class = unsafe { Class::of_slab(HEAP + slab) }?;
        let start = slab + class.block_at(at - slab)?;
        let size = class.size();
        (!self.free.contains(start / GRAIN)).then_some(Block { start, size })
    }

    /// Marks a block; whether it was not marked before.
    pub fn mark(&mut self, block: Block) -> bool {
        self.marked.insert(block.start / GRAIN)
    }

    /// Calls `each` with every aligned word of the block.
    pub fn words(&self, block: Block, each: &mut dyn FnMut(usize)) {
        let range = block.range();
        // SAFETY: a block that somebody has is mapped, and the heap stands still.
        unsafe { words(range, each) };
    }
}

/// Calls `each` with every aligned word in `range`.
///
/// # Safety
/// It is mapped.
pub unsafe fn words(range: Range<usize>, each: &mut dyn FnMut(usize)) {
    for at in (range.start.next_multiple_of(8)..range.end & !7).step_by(8) {
        let word = core::ptr::with_exposed_provenance::<usize>(at);
        // SAFETY: the caller's promise. Volatile: it may be anything of anybody's, also padding.
        each(unsafe { word.read_volatile() });
    }
}

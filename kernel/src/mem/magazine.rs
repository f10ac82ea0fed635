//! Each CPU's free blocks: what makes a small allocation a few instructions.
//!
//! A [`Magazine`] holds free blocks of one class for one CPU. Only that CPU touches it, with
//! preemption off, and interrupts do not allocate: so there is no lock and no atomic
//! read-modify-write. The length alone is an atomic word, written by its owner with plain stores,
//! for the accounts of others.
//!
//! A block goes to the magazine of the CPU that frees it, whoever allocated it. A magazine that
//! runs empty takes one batch from the slabs, and one that holds two batches gives one back: a
//! program that frees and allocates around either edge moves a batch at most every batch-th time.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use super::slab::{CLASSES, Chain, Class};

/// Free blocks of one class on one CPU.
struct Magazine {
    chain: UnsafeCell<Chain>,
    len: AtomicU32,
}

/// The magazines of one CPU. Aligned so that no two CPUs share a cache line (or the pair that the
/// prefetcher fetches together).
#[repr(align(128))]
pub(super) struct Magazines([Magazine; CLASSES]);

// SAFETY: the chains are touched by the owning CPU alone (the promise that `push`, `pop`, … ask
// for), the lengths are atomic.
unsafe impl Sync for Magazines {}

impl Magazine {
    const fn new() -> Self {
        Self {
            chain: UnsafeCell::new(Chain::new()),
            len: AtomicU32::new(0),
        }
    }
}

impl Magazines {
    pub(super) const fn new() -> Self {
        Self([const { Magazine::new() }; CLASSES])
    }

    /// A free block, if there is one.
    ///
    /// # Safety
    /// The magazines are those of this CPU, and preemption is off; else two CPUs get one block.
    #[inline]
    pub(super) unsafe fn pop(&self, class: Class) -> Option<NonNull<u8>> {
        let magazine = &self.0[class.index()];
        // SAFETY: nobody else touches this chain meanwhile, by the caller's promise.
        let chain = unsafe { &mut *magazine.chain.get() };
        let block = chain.pop();
        magazine.len.store(chain.len(), Ordering::Relaxed);
        block
    }

    /// Keeps a free block. Returns the batch that is too much, for the slabs.
    ///
    /// # Safety
    /// As for [`Magazines::pop`]; and `block` is a free block of that class that is in no chain.
    #[inline]
    #[must_use]
    pub(super) unsafe fn push(&self, class: Class, block: NonNull<u8>) -> Option<Chain> {
        let magazine = &self.0[class.index()];
        // SAFETY: as in `pop`.
        let chain = unsafe { &mut *magazine.chain.get() };
        // SAFETY: the block is free by the caller's promise.
        unsafe { chain.push(block) };
        let surplus = (chain.len() >= 2 * class.batch()).then(|| {
            let mut surplus = Chain::new();
            while surplus.len() < class.batch() {
                let Some(block) = chain.pop() else { break };
                // SAFETY: the block was free in the magazine and has just left it.
                unsafe { surplus.push(block) };
            }
            surplus
        });
        magazine.len.store(chain.len(), Ordering::Relaxed);
        surplus
    }

    /// Calls `each` with the address of every block that is here.
    ///
    /// # Safety
    /// The owning CPU does not touch its magazines meanwhile.
    pub(super) unsafe fn each(&self, each: &mut dyn FnMut(usize)) {
        for magazine in &self.0 {
            // SAFETY: the caller's promise.
            unsafe { &*magazine.chain.get() }.each(each);
        }
    }

    /// Bytes in all magazines, as seen from outside.
    pub(super) fn bytes(&self) -> usize {
        Class::all()
            .map(|c| self.0[c.index()].len.load(Ordering::Relaxed) as usize * c.size())
            .sum()
    }
}

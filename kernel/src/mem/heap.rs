//! The global allocator.
//!
//! Three layers: each CPU's magazines of small blocks (`super::magazine`: no lock), slabs of one
//! size class (`super::slab`: a lock for each class), and `linked_list_allocator` for slabs and
//! for everything above 2 KiB (`super::spans`: one lock).
//!
//! - Never in interrupt context: a handler that interrupts an allocation would see it half done.
//!   Checked in debug builds.
//! - Any goroutine and g0 may allocate, holding locks that rank below `Rank::Heap`.
//! - Out of memory is a null pointer, as `GlobalAlloc` has it. A request that cannot be met is
//!   refused before it eats what others could still use.
//! - When memory is short, what lies free elsewhere is reclaimed first ([`super::on_shortage`]).
//! - After [`set_emergency`] everything comes from [`super::emergency`], without locks.
//!
//! Refused: giving each large block back to the frame allocator (each would cost all CPUs a TLB
//! shoot-down; [`trim`] does it for all at once); growing by all that a large request needs under
//! one hold of the lock (other CPUs would wait for some milliseconds with preemption off: it goes
//! in steps of 1 MiB at most).

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::magazine::Magazines;
use super::refusal::Refusal;
use super::slab::{CLASSES, Central, Chain, Class, SLAB_SIZE};
use super::space::{self, Unmapped};
use super::spans::{self, MAX_BALLOONS, Spans};
use super::{FRAME_SIZE, emergency, large};
use crate::arch::MAX_CPUS;
use crate::arch::switch::{cpu_index, getg, getm, preempt_off, preempt_on};
use crate::base::faults::Nth;
use crate::base::lock::{Lock, Rank};

/// What a slab asks the heap for.
const SLAB: Layout = match Layout::from_size_align(SLAB_SIZE, SLAB_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("the size of a slab is a power of two"),
};

/// The allocator of the program.
struct Heap {
    magazines: [Magazines; MAX_CPUS],
    centrals: [Lock<Central>; CLASSES],
    spans: Lock<Spans>,
}

#[cfg_attr(not(test), global_allocator)]
static ALLOCATOR: Heap = Heap::new();

/// Set for good when the kernel begins to die.
static DYING: AtomicBool = AtomicBool::new(false);

/// Not every request goes the usual way: the kernel is dying, or one is to be refused.
static UNUSUAL: AtomicBool = AtomicBool::new(false);
static REFUSAL: Refusal = Refusal::new();

/// Refuses the nth request from now on.
pub(super) fn refuse(nth: Nth) {
    REFUSAL.set(nth);
    UNUSUAL.store(true, Ordering::Relaxed);
}

/// Copies of counts that live under locks, for [`super::usage`]; written under those locks.
static SLABS_FREE: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];

/// From now on memory comes from the emergency arena: no locks, nothing is freed. For the report of
/// a dying kernel, whose other CPUs may have been stopped while they held the heap's locks.
pub fn set_emergency() {
    DYING.store(true, Ordering::Release);
    UNUSUAL.store(true, Ordering::Release);
}

/// Unmaps what lies free in the heap, but for less than 64 KiB here and there. `flush` is called
/// at most once, and returns when no CPU's TLB knows the pages that were unmapped before. Returns
/// how many frames came free. Not in interrupts.
pub fn trim(flush: impl FnOnce()) -> usize {
    let mut unmapped = Unmapped::new(&space::kernel());
    let mut taken = [const { 0..0 }; MAX_BALLOONS];
    let mut len = 0;
    let mut size = usize::MAX;
    while len < MAX_BALLOONS {
        // The lock is held for a search at a time, not for the unmapping.
        let Some(hole) = ALLOCATOR.spans.lock().take_hole(&mut size, len) else {
            break;
        };
        for page in hole.clone().step_by(FRAME_SIZE) {
            unmapped.unmap(page);
        }
        taken[len] = hole;
        len += 1;
    }
    if unmapped.count() > 0 {
        flush();
    }
    let frames = unmapped.release();
    for hole in &taken[..len] {
        ALLOCATOR.spans.lock().add_balloon(hole.clone());
    }
    frames
}

/// Bytes that the program holds (each block as large as its size class).
pub(super) fn used_bytes() -> usize {
    let free: usize = SLABS_FREE
        .iter()
        .map(|bytes| bytes.load(Ordering::Relaxed))
        .sum();
    let cached: usize = ALLOCATOR.magazines.iter().map(Magazines::bytes).sum();
    spans::used_bytes().saturating_sub(free + cached)
}

// SAFETY: blocks are handed out once until they come back (each layer owns its free blocks and
// takes them from the layer below), are as large and aligned as the layout asks (`Class::of`,
// `Spans`), and `alloc` and `dealloc` choose the layer by the layout alone, which is the same
// for both.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if UNUSUAL.load(Ordering::Relaxed) {
            return self.alloc_unusually(layout);
        }
        self.alloc_usually(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if DYING.load(Ordering::Relaxed) {
            return;
        }
        assert_not_in_interrupt();
        let block = NonNull::new(block).expect("no block is null");
        match Class::of(layout) {
            // SAFETY: the block came from `alloc_small` for the same class, and is free now.
            Some(class) => unsafe { self.free_small(class, block) },
            // SAFETY: the block came from `alloc_large` with the same layout.
            None => unsafe { self.free_large(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `new_size`, rounded up to the alignment, within `isize`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if DYING.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise for `realloc`.
            return unsafe { emergency::realloc(block, layout, new_layout) };
        }
        let class = Class::of(layout);
        if class.is_some() && class == Class::of(new_layout) {
            return block;
        }
        // SAFETY: `new_layout` has a size above 0 by the caller's promise, and the old and the new
        // block are different and as large as what is copied.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Where the allocator itself lies: its pointers lead to free blocks.
pub(super) fn own_static() -> Range<usize> {
    let start = (&raw const ALLOCATOR) as usize;
    start..start + size_of::<Heap>()
}

/// Calls `f` with the heap's memory; nothing is allocated meanwhile.
pub(super) fn with_spans<R>(f: impl FnOnce(&Spans) -> R) -> R {
    f(&ALLOCATOR.spans.lock())
}

/// Calls `each` with the address of every block of a slab that nobody has.
///
/// # Safety
/// No other CPU allocates or frees meanwhile, nor does `each`.
pub(super) unsafe fn each_free(each: &mut dyn FnMut(usize)) {
    for magazines in &ALLOCATOR.magazines {
        // SAFETY: the caller's promise.
        unsafe { magazines.each(each) };
    }
    for central in &ALLOCATOR.centrals {
        central.lock().each_free(each);
    }
}

/// Catches handlers that allocate.
#[inline]
fn assert_not_in_interrupt() {
    if cfg!(debug_assertions) {
        // The caller may be moved to another M in between, but not in an interrupt; and outside,
        // no M's gsignal is the running G.
        // SAFETY: Ms are never freed, and gsignal never changes.
        let in_interrupt = ptr::eq(getg(), unsafe { (*getm()).gsignal.get() });
        assert!(!in_interrupt, "mem: the heap was used in an interrupt");
    }
}

impl Heap {
    const fn new() -> Self {
        let mut centrals =
            [const { Lock::new(Rank::Heap, Central::new(Class::from_index(0))) }; CLASSES];
        let mut i = 1;
        while i < CLASSES {
            centrals[i] = Lock::new(Rank::Heap, Central::new(Class::from_index(i)));
            i += 1;
        }
        Self {
            magazines: [const { Magazines::new() }; MAX_CPUS],
            centrals,
            spans: Lock::new(Rank::Heap, Spans::new()),
        }
    }

    #[inline]
    fn alloc_usually(&self, layout: Layout) -> *mut u8 {
        assert_not_in_interrupt();
        let block = match Class::of(layout) {
            Some(class) => self.alloc_small(class),
            None => self.alloc_large(layout),
        };
        block.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[cold]
    fn alloc_unusually(&self, layout: Layout) -> *mut u8 {
        if DYING.load(Ordering::Relaxed) {
            return emergency::alloc(layout);
        }
        if REFUSAL.strikes() {
            return ptr::null_mut();
        }
        self.alloc_usually(layout)
    }

    #[inline]
    fn alloc_small(&self, class: Class) -> Option<NonNull<u8>> {
        preempt_off();
        // SAFETY: preemption is off, and the index is this CPU's.
        let block = unsafe { self.magazines[cpu_index()].pop(class) };
        preempt_on();
        block.or_else(|| self.refill(class))
    }

    /// # Safety
    /// `block` came from [`Heap::alloc_small`] for this class and is not used any more.
    #[inline]
    unsafe fn free_small(&self, class: Class, block: NonNull<u8>) {
        preempt_off();
        // SAFETY: preemption is off, the index is this CPU's, and the block is free.
        let surplus = unsafe { self.magazines[cpu_index()].push(class, block) };
        preempt_on();
        if let Some(surplus) = surplus {
            self.drain(class, surplus);
        }
    }

    /// Gets a batch from the slabs: one block for the caller, the others for the magazine of the
    /// CPU that it is on by then.
    #[cold]
    fn refill(&self, class: Class) -> Option<NonNull<u8>> {
        let mut chain = self.with_central(class, |central| central.take(class.batch()));
        if chain.len() == 0 {
            let slab = self.alloc_span(SLAB, |spans| spans.alloc(SLAB))?;
            chain = self.with_central(class, |central| {
                // SAFETY: the slab is as large and aligned as the layout says, and ours.
                unsafe { central.add(slab) };
                central.take(class.batch())
            });
        }
        let first = chain.pop();
        while let Some(block) = chain.pop() {
            // SAFETY: the block is free and of this class.
            unsafe { self.free_small(class, block) };
        }
        first
    }

    #[cold]
    fn drain(&self, class: Class, mut surplus: Chain) {
        while let Some(slab) = self.with_central(class, |central| central.give(&mut surplus)) {
            // SAFETY: the slab came from `Spans::alloc(SLAB)`, and no block of it is out.
            unsafe { self.spans.lock().free(slab, SLAB) };
        }
    }

    fn with_central<R>(&self, class: Class, f: impl FnOnce(&mut Central) -> R) -> R {
        let mut central = self.centrals[class.index()].lock();
        let result = f(&mut central);
        SLABS_FREE[class.index()].store(central.free_bytes(), Ordering::Relaxed);
        result
    }

    #[cold]
    fn alloc_large(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.alloc_span(large::with_header(layout)?, |spans| {
            spans.alloc_large(layout)
        })
    }

    /// Memory from the spans, which `take` takes and which is as large as `layout`.
    fn alloc_span(
        &self,
        layout: Layout,
        take: impl Fn(&mut Spans) -> Option<NonNull<u8>>,
    ) -> Option<NonNull<u8>> {
        // What it takes at worst: the block, what its alignment skips, a hole that is too small.
        let need = layout
            .size()
            .checked_add(layout.align())?
            .checked_add(FRAME_SIZE)?;
        let mut grown = 0;
        let mut reclaimed = false;
        // Each round maps at least a frame, so it ends: with a block or without memory.
        loop {
            let mut spans = self.spans.lock();
            if let Some(block) = take(&mut spans) {
                return Some(block);
            }
            let bytes = spans.grow(need.saturating_sub(grown).max(FRAME_SIZE));
            drop(spans);
            grown += bytes;
            if bytes == 0 && (reclaimed || !super::relieve(need)) {
                return None;
            }
            reclaimed |= bytes == 0;
        }
    }

    /// # Safety
    /// `block` came from [`Heap::alloc_large`] with this layout and is not used any more.
    #[cold]
    unsafe fn free_large(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.spans.lock().free_large(block, layout) };
    }
}

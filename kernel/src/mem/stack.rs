//! Goroutine stacks.
//!
//! A stack is a run of 256 KiB slots of addresses. Its lowest page is never mapped (the guard), its
//! highest always is: the goroutine's G lives at the top of it. The pages between come with the
//! page faults of a stack that grows ([`grow`]) and go with [`shrink`] or [`reclaim`].
//!
//! ```text
//!   hi ─▶ ┌──────────────────┐  multiple of 256 KiB
//!         │ G, first frames  │  mapped as long as the stack is anybody's
//!         ├──────────────────┤
//!         │ grown            │  mapped by page faults
//!         ├──────────────────┤
//!         │ untouched        │
//!   lo ─▶ ├──────────────────┤
//!         │ guard, one page  │  never mapped
//!         └──────────────────┘
//! ```
//!
//! # Free stacks
//!
//! Stacks of 1, 2, 4, … slots have free lists of their own, three each, by what is still mapped:
//! *grown* (more than the first frame), *warm* (the first frame), *cold* (nothing). [`alloc()`]
//! looks in that order: a grown stack costs no fault and needs no TLB work, so in a steady state
//! nothing is unmapped at all. [`reclaim`] gives the frames back, many stacks for one TLB flush:
//! now and then those of grown stacks, and when memory is short those of warm ones too. Then the G
//! at the top is gone with its frame: a G may be kept only while its stack is not free.
//!
//! The lists are linked through a side table with a `Record` for each slot, mapped as the slots
//! are first used, and not through the stacks, which may have no memory left. One lock, held for a
//! few instructions; above it each P caches dead Gs with their stacks.
//!
//! # Invariants
//!
//! - `record.grown` counts the mapped pages below the first; the first is mapped unless the slot
//!   is cold.
//! - A slot whose pages were unmapped is on no list until all TLBs have been flushed.
//!
//! # Refused
//!
//! Copying stacks, as Go does: needs maps of every pointer in every frame. Unmapping when a
//! goroutine ends: a TLB shoot-down for each. Guard pages by protection: absence costs nothing.

use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::frames::Urgency;
use super::space::{self, MapError, PageTables, Rights, Unmapped};
use super::{FRAME_SIZE, STACKS};
use crate::arch::switch::Stack;
use crate::base::lock::{Lock, Rank};

/// Bytes of a slot.
pub const SLOT_SIZE: usize = 256 * 1024;
/// Bytes of the guard page.
pub const GUARD_SIZE: usize = FRAME_SIZE;
/// The size of a goroutine stack unless the program asks for another: one slot.
pub const DEFAULT_SIZE: usize = SLOT_SIZE - GUARD_SIZE;

/// Stacks have 1 << order slots: up to 16 GiB.
const ORDERS: usize = 17;
/// Where the side table is; slots end there: 15 TiB.
const RECORDS: usize = STACKS + (15 << 40);
/// How many slots there can be.
const MAX_SLOTS: u32 = ((RECORDS - STACKS) / SLOT_SIZE) as u32;
/// The end of a list.
const NONE: u32 = u32::MAX;
/// `record.next` of a stack that is on no list.
const IN_USE: u32 = u32::MAX - 1;

/// What is kept for each slot; for a stack of several slots, that of the first is used.
struct Record {
    /// The next free stack of the same list. Under the lock of the lists.
    next: AtomicU32,
    /// Mapped pages below the first. Written by who owns the stack, its page faults among them.
    grown: AtomicU32,
}

/// What of a free stack is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    Grown,
    Warm,
    Cold,
}

/// The lists of free stacks, and the addresses that were never used.
struct Lists {
    /// First slot of the first free stack, by [`Kept`] and order.
    heads: [[u32; ORDERS]; 3],
    /// The lowest slot that was never used.
    fresh: u32,
}

/// A range of addresses with stacks in it.
struct Stacks {
    base: usize,
    /// Address of the side table, one `Record` for each slot.
    records: usize,
    lists: Lock<Lists>,
    mapped_frames: AtomicUsize,
}

static KERNEL_STACKS: Stacks = Stacks::new(STACKS, RECORDS);

/// What a page fault on a stack came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum GrowResult {
    /// The page is there now: go on.
    Mapped,
    /// The address is in the guard page: stack overflow.
    Guard,
    /// The address is not on this stack: some other bad access.
    NotAStack,
    /// The page would be the stack's, but there is no frame for it.
    NoMemory,
}

/// How much [`reclaim`] takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reclaim {
    /// What free stacks have beyond their first frame.
    Grown,
    /// Also the first frames of free stacks, with what their goroutines left there.
    All,
}

/// A stack with at least `size` usable bytes, its first frame (the highest) mapped, the content
/// undefined. `None`: no memory, or `size` above 16 GiB. O(1); not in interrupts.
pub fn alloc(size: usize) -> Option<Stack> {
    let order = order_of(size)?;
    let tables = space::kernel();
    let found = KERNEL_STACKS.alloc(&tables, order);
    if found.is_none() && super::relieve(SLOT_SIZE) {
        return KERNEL_STACKS.alloc(&tables, order);
    }
    found
}

/// Gives a stack back; nobody runs on it or looks at it any more. O(1); not in interrupts.
pub fn free(stack: Stack) {
    KERNEL_STACKS.free(stack);
}

/// Maps the page of `addr` if that is how `stack` grows. Call for faults on pages that are *not
/// present* alone (bit 0 of the error code clear; Intel SDM Vol. 3A, 4.7): for others it would say
/// "mapped" for ever. No lock: any context.
pub fn grow(addr: usize, stack: Stack) -> GrowResult {
    KERNEL_STACKS.grow(&space::kernel(), addr, stack)
}

/// The whole stack whose upper end was cut off for the G that lives there.
pub fn whole(cut: Stack) -> Stack {
    Stack {
        lo: cut.lo,
        hi: cut.hi.next_multiple_of(SLOT_SIZE),
    }
}

/// Whether `stack` has more than its first page. A hint while its goroutine runs.
pub fn has_grown(stack: Stack) -> bool {
    KERNEL_STACKS.has_grown(stack)
}

/// Unmaps the pages of `stack` wholly below `keep_from`; the first stays in any case. The caller
/// sees to it that the goroutine does not run until all CPUs that it ran on have flushed these
/// pages from their TLBs, then calls [`Unmapped::release`]. No lock: any context.
pub fn shrink(stack: Stack, keep_from: usize) -> Unmapped {
    KERNEL_STACKS.shrink(&space::kernel(), stack, keep_from)
}

/// Takes frames from free stacks. `flush` is called at most once, and returns when no CPU's TLB
/// knows any of the pages that were unmapped before it was called. Returns how many frames came
/// free. Not in interrupts, and with no lock held that an interrupted CPU might wait for.
pub fn reclaim(what: Reclaim, flush: impl FnOnce()) -> usize {
    KERNEL_STACKS.reclaim(&space::kernel(), what, flush)
}

/// Bytes in goroutine stacks, living and free, and the side table.
pub(super) fn mapped_bytes() -> usize {
    KERNEL_STACKS.mapped_frames.load(Ordering::Relaxed) * FRAME_SIZE
}

impl Stacks {
    const fn new(base: usize, records: usize) -> Self {
        let lists = Lists {
            heads: [[NONE; ORDERS]; 3],
            fresh: 0,
        };
        let lists = Lock::new(Rank::Stacks, lists);
        Self {
            base,
            records,
            lists,
            mapped_frames: AtomicUsize::new(0),
        }
    }

    fn alloc(&self, tables: &PageTables, order: usize) -> Option<Stack> {
        let (slot, kept) = self.find(tables, order)?;
        let stack = self.stack(slot, order);
        let first = stack.hi - FRAME_SIZE;
        if kept == Kept::Cold && self.map(tables, first, Urgency::Ordinary).is_err() {
            self.push(Kept::Cold, order, slot);
            return None;
        }
        Some(stack)
    }

    fn free(&self, stack: Stack) {
        let (slot, order) = self.slot(stack);
        let grown = self.record(slot).grown.load(Ordering::Relaxed) > 0;
        self.push(if grown { Kept::Grown } else { Kept::Warm }, order, slot);
    }

    fn grow(&self, tables: &PageTables, addr: usize, stack: Stack) -> GrowResult {
        let slots_end = self.base + MAX_SLOTS as usize * SLOT_SIZE;
        let is_goroutine_stack = stack.lo > self.base && stack.hi <= slots_end;
        if !is_goroutine_stack || addr >= stack.hi || addr < stack.lo - GUARD_SIZE {
            return GrowResult::NotAStack;
        }
        if addr < stack.lo {
            return GrowResult::Guard;
        }
        match self.map(tables, addr & !(FRAME_SIZE - 1), Urgency::Fault) {
            Ok(()) => {
                let (slot, _) = self.slot(stack);
                self.record(slot).grown.fetch_add(1, Ordering::Relaxed);
                GrowResult::Mapped
            }
            // Another CPU touched the page at the same time (a value sent to a parked receiver).
            Err(MapError::AlreadyMapped) => GrowResult::Mapped,
            // Likewise, and the frame for that was the last.
            Err(MapError::NoMemory) if tables.translate(addr).is_some() => GrowResult::Mapped,
            Err(MapError::NoMemory) => GrowResult::NoMemory,
        }
    }

    fn has_grown(&self, stack: Stack) -> bool {
        let (slot, _) = self.slot(stack);
        self.record(slot).grown.load(Ordering::Relaxed) > 0
    }

    fn shrink(&self, tables: &PageTables, stack: Stack, keep_from: usize) -> Unmapped {
        let mut unmapped = Unmapped::new(tables);
        self.unmap_below(stack, keep_from & !(FRAME_SIZE - 1), &mut unmapped);
        unmapped
    }

    fn reclaim(&self, tables: &PageTables, what: Reclaim, flush: impl FnOnce()) -> usize {
        let mut unmapped = Unmapped::new(tables);
        // The stacks that were emptied, by order, linked like the lists.
        let mut emptied = [NONE; ORDERS];
        for (order, emptied) in emptied.iter_mut().enumerate() {
            for kept in [Kept::Grown, Kept::Warm] {
                if kept == Kept::Warm && what == Reclaim::Grown {
                    continue;
                }
                let mut slot = self.take_list(kept, order);
                while slot != NONE {
                    self.empty(self.stack(slot, order), what, &mut unmapped);
                    let next = &self.record(slot).next;
                    let following = next.swap(*emptied, Ordering::Relaxed);
                    *emptied = slot;
                    slot = following;
                }
            }
        }
        if unmapped.count() > 0 {
            flush();
        }
        let frames = unmapped.release();
        let kept = if what == Reclaim::All {
            Kept::Cold
        } else {
            Kept::Warm
        };
        for (order, &head) in emptied.iter().enumerate() {
            let mut slot = head;
            while slot != NONE {
                let following = self.record(slot).next.swap(IN_USE, Ordering::Relaxed);
                self.push(kept, order, slot);
                slot = following;
            }
        }
        frames
    }

    /// Unmaps what a free stack has: its first page stays unless all is wanted.
    fn empty(&self, stack: Stack, what: Reclaim, unmapped: &mut Unmapped) {
        let first = stack.hi - FRAME_SIZE;
        self.unmap_below(stack, first, unmapped);
        if what == Reclaim::All {
            self.unmap(first, unmapped);
        }
    }

    /// Unmaps the grown pages below `keep_from`. Grown pages are next to the first one, or nearly
    /// so: the search goes down from there and ends with the last that was counted.
    fn unmap_below(&self, stack: Stack, keep_from: usize, unmapped: &mut Unmapped) {
        let (slot, _) = self.slot(stack);
        let grown = &self.record(slot).grown;
        let mut left = grown.load(Ordering::Relaxed);
        let mut page = stack.hi - FRAME_SIZE;
        while left > 0 && page > stack.lo {
            page -= FRAME_SIZE;
            if page >= keep_from {
                left -= u32::from(unmapped.tables().translate(page).is_some());
            } else if self.unmap(page, unmapped) {
                left -= 1;
                grown.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn unmap(&self, page: usize, unmapped: &mut Unmapped) -> bool {
        let was_mapped = unmapped.unmap(page);
        self.mapped_frames
            .fetch_sub(usize::from(was_mapped), Ordering::Relaxed);
        was_mapped
    }

    fn map(&self, tables: &PageTables, page: usize, urgency: Urgency) -> Result<(), MapError> {
        tables.map_new(page, Rights::RW, urgency)?;
        self.mapped_frames.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A stack for whoever asked: from the lists, best first, or new addresses.
    fn find(&self, tables: &PageTables, order: usize) -> Option<(u32, Kept)> {
        let mut lists = self.lists.lock();
        for kept in [Kept::Grown, Kept::Warm, Kept::Cold] {
            let head = &mut lists.heads[kept as usize][order];
            if *head != NONE {
                let slot = *head;
                *head = self.record(slot).next.swap(IN_USE, Ordering::Relaxed);
                return Some((slot, kept));
            }
        }
        let slot = lists.fresh;
        let end = slot + (1 << order);
        if end > MAX_SLOTS {
            return None;
        }
        let at = (self.records + slot as usize * size_of::<Record>()) & !(FRAME_SIZE - 1);
        if tables.translate(at).is_none() {
            self.map(tables, at, Urgency::Ordinary).ok()?;
        }
        // The frame has any content.
        self.record(slot).next.store(IN_USE, Ordering::Relaxed);
        self.record(slot).grown.store(0, Ordering::Relaxed);
        lists.fresh = end;
        Some((slot, Kept::Cold))
    }

    /// Takes a whole list; the stacks stay linked.
    fn take_list(&self, kept: Kept, order: usize) -> u32 {
        let mut lists = self.lists.lock();
        core::mem::replace(&mut lists.heads[kept as usize][order], NONE)
    }

    fn push(&self, kept: Kept, order: usize, slot: u32) {
        let mut lists = self.lists.lock();
        let head = &mut lists.heads[kept as usize][order];
        let was = self.record(slot).next.swap(*head, Ordering::Relaxed);
        assert!(was == IN_USE, "mem: stack {slot} was freed twice");
        *head = slot;
    }

    /// The record of a slot that was handed out once: its page of the table is mapped.
    fn record(&self, slot: u32) -> &Record {
        let at = self.records + slot as usize * size_of::<Record>();
        // SAFETY: `find` mapped the page before it first returned the slot, and pages of the table
        // stay; a record is two atomics, for which any bytes will do.
        unsafe { &*ptr::with_exposed_provenance::<Record>(at) }
    }

    fn stack(&self, slot: u32, order: usize) -> Stack {
        let start = self.base + slot as usize * SLOT_SIZE;
        Stack {
            lo: start + GUARD_SIZE,
            hi: start + (SLOT_SIZE << order),
        }
    }

    fn slot(&self, stack: Stack) -> (u32, usize) {
        let start = stack.lo - GUARD_SIZE;
        let slots = (stack.hi - start) / SLOT_SIZE;
        (
            ((start - self.base) / SLOT_SIZE) as u32,
            slots.trailing_zeros() as usize,
        )
    }
}

/// The smallest stack with `size` usable bytes.
fn order_of(size: usize) -> Option<usize> {
    let bytes = size.checked_add(GUARD_SIZE)?;
    let slots = bytes.div_ceil(SLOT_SIZE).checked_next_power_of_two()?;
    let order = slots.trailing_zeros() as usize;
    (order < ORDERS).then_some(order)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;

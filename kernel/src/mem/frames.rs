//! Physical memory in frames of 4 KiB.
//!
//! Owns every usable frame above 1 MiB. Lock-free, because the page-fault handler that grows
//! goroutine stacks allocates in interrupt context, while the code below it may hold any lock.
//!
//! # How
//!
//! Frames have *indices*: the usable regions laid end to end, so holes in the memory map cost
//! nothing. A frame that was never used comes from a bump index (so `Frames::init` touches no
//! frame); one that was freed comes from a Treiber stack whose links are a side table with one
//! `AtomicU32` for each index, cut from the largest region. The head of the stack is one word,
//! `tag:32 | index:32`; each change of it counts the tag up, so that a pop that slept while its
//! frame was taken and freed again fails instead of installing a stale link (ABA). The tag repeats
//! after 2^32 changes within one pop.
//!
//! # Invariants
//!
//! - `free` ≤ frames on the stack + frames never used: a frame is pushed before `free` counts it,
//!   and `free` is counted down before a frame is looked for. So whoever counted one down finds
//!   one.
//! - `links[i] == TAKEN` exactly while frame `i` belongs to somebody: freeing twice is caught.
//! - The last frames are kept back: ordinary requests fail first, then page faults of stacks, and
//!   what remains is for the report of a dying kernel ([`Urgency`]).
//!
//! # Refused
//!
//! Links inside the free frames themselves: a pop reads the link of a frame that another CPU may
//! own by then, which is a race with that owner's writes. A bitmap: a search on each allocation.
//! Runs of frames: nothing here does DMA. Zeroing: only page tables want it, and do it themselves.

use conquer_once::spin::OnceCell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::refusal::Refusal;
use super::{FRAME_SIZE, PHYSICAL_MEMORY};
use crate::base::faults::Nth;

/// Memory below stays free for what the machine wants there: the real-mode code that starts the
/// other CPUs, the tables of the firmware.
pub const LOW_MEMORY_END: u64 = 1 << 20;

/// More regions than any firmware reports, once neighbours are joined.
const MAX_REGIONS: usize = 64;

/// Each half of the reserve is a 32nd of memory, but not more than 4 MiB: what it takes to
/// symbolize the stacks of a report.
const MAX_RESERVE: usize = 1024;

/// The end of the stack of freed frames.
const NONE: u32 = u32::MAX;
/// The link of a frame that belongs to somebody.
const TAKEN: u32 = u32::MAX - 1;

/// How badly a frame is wanted: how much of the reserve may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// There is a caller who takes an error: heap, new goroutines.
    Ordinary,
    /// A page fault of a running goroutine, or the page table for something half done. Failing here
    /// is a fatal error.
    Fault,
    /// The report of a dying kernel: the last frame may go.
    Dying,
}

/// A run of frames: `count` frames from physical frame number `first` on have the indices from
/// `index` on.
#[derive(Clone, Copy)]
struct Region {
    first: u64,
    index: u32,
    count: u32,
}

/// What [`Frames::init`] fixes for ever.
struct Layout {
    regions: [Region; MAX_REGIONS],
    len: usize,
    links: &'static [AtomicU32],
    table_frames: usize,
    reserve: usize,
}

/// An allocator of frames.
pub struct Frames {
    layout: OnceCell<Layout>,
    /// `tag:32 | index:32` of the last freed frame.
    freed: AtomicU64,
    /// The lowest index that was never used.
    fresh: AtomicU32,
    /// Frames that nobody owns nor has been promised.
    free: AtomicUsize,
    refusal: Refusal,
}

/// The kernel's frames.
static FRAMES: Frames = Frames::new();

/// Takes over the usable memory; see [`Frames::init`].
pub(super) fn init(regions: &[(u64, u64)]) {
    FRAMES.init(regions, PHYSICAL_MEMORY);
}

/// The kernel's allocator, for the page tables.
pub(super) fn global() -> &'static Frames {
    &FRAMES
}

/// One frame for a caller who can do without. Its content is whatever was there. Any context.
pub fn alloc() -> Option<u64> {
    FRAMES.alloc(Urgency::Ordinary)
}

/// One frame, from the reserve if the urgency allows. Any context.
pub fn alloc_urgent(urgency: Urgency) -> Option<u64> {
    FRAMES.alloc(urgency)
}

/// Gives a frame back. Any context.
///
/// # Panics
/// When the frame is not one that [`alloc()`] gave out.
pub fn free(pa: u64) {
    FRAMES.free(pa);
}

/// All frames, those of the side table left out.
pub fn total() -> usize {
    FRAMES.total()
}

/// Frames that nobody owns, the reserve among them.
pub fn free_count() -> usize {
    FRAMES.free_count()
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self {
            layout: OnceCell::uninit(),
            freed: AtomicU64::new(NONE as u64),
            fresh: AtomicU32::new(0),
            free: AtomicUsize::new(0),
            refusal: Refusal::new(),
        }
    }

    /// Takes over the memory in `regions` (`start..end`, physical), of which all is mapped at
    /// `direct_map`. Parts of pages, memory below [`LOW_MEMORY_END`] and overlaps are left out;
    /// the order does not matter.
    ///
    /// # Panics
    /// When there is no usable memory at all, or on a second call.
    pub(super) fn init(&self, regions: &[(u64, u64)], direct_map: usize) {
        let (mut regions, len) = gather(regions);
        let all: u64 = regions[..len].iter().map(|r| u64::from(r.count)).sum();
        let table_frames = (all * size_of::<u32>() as u64).div_ceil(FRAME_SIZE as u64) as u32;
        let largest = regions[..len].iter_mut().max_by_key(|r| r.count);
        let largest = largest.expect("the memory map has usable memory above 1 MiB");
        assert!(
            largest.count > table_frames,
            "mem: too little memory: {all} frames"
        );
        let table_pa = largest.first * FRAME_SIZE as u64;
        largest.first += u64::from(table_frames);
        largest.count -= table_frames;

        let mut total = 0;
        for region in &mut regions[..len] {
            region.index = total;
            total += region.count;
        }
        let table =
            core::ptr::with_exposed_provenance_mut::<AtomicU32>(direct_map + table_pa as usize);
        // SAFETY: 1. the frames of the table are usable memory, mapped at `direct_map`, and were
        // just cut off, so nothing else uses them, ever; 2. any bytes are a valid AtomicU32;
        // 3. `total` words fit, as the table was sized for more.
        let links = unsafe { core::slice::from_raw_parts(table, total as usize) };
        let layout = Layout {
            regions,
            len,
            links,
            table_frames: table_frames as usize,
            reserve: (total as usize / 32).clamp(1, MAX_RESERVE),
        };
        assert!(
            self.layout.try_init_once(|| layout).is_ok(),
            "mem: frames are set up once"
        );
        self.free.store(total as usize, Ordering::Release);
    }

    /// Refuses the nth request from now on, but for those of a dying kernel.
    pub(super) fn refuse(&self, nth: Nth) {
        self.refusal.set(nth);
    }

    /// One frame, or `None` when only the reserve for more urgent requests is left.
    pub(super) fn alloc(&self, urgency: Urgency) -> Option<u64> {
        let layout = self.layout.try_get().ok()?;
        let floor = match urgency {
            Urgency::Ordinary => 2 * layout.reserve,
            Urgency::Fault => layout.reserve,
            Urgency::Dying => 0,
        };
        if urgency != Urgency::Dying && self.refusal.strikes() {
            return None;
        }
        let promised = |free: usize| (free > floor).then(|| free - 1);
        self.free
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, promised)
            .ok()?;
        // Not a wait: a frame was promised above, so if both sources look empty, another CPU took
        // one and pushed one in between. Each round means that somebody else got on.
        let index = loop {
            if let Some(index) = self.pop(layout.links).or_else(|| self.bump(layout.links)) {
                break index;
            }
        };
        layout.links[index as usize].store(TAKEN, Ordering::Relaxed);
        Some(layout.address_of(index))
    }

    /// Gives a frame back.
    pub(super) fn free(&self, pa: u64) {
        let layout = self
            .layout
            .try_get()
            .expect("a frame exists, so frames are set up");
        let index = layout
            .index_of(pa)
            .unwrap_or_else(|| panic!("mem: {pa:#x} is not a frame"));
        let link = &layout.links[index as usize];
        let owned = link.swap(NONE, Ordering::Relaxed) == TAKEN;
        assert!(owned, "mem: frame {pa:#x} was freed twice");
        let mut head = self.freed.load(Ordering::Relaxed);
        loop {
            link.store(head as u32, Ordering::Relaxed);
            // Release: the link is there for the Acquire load in `pop`.
            let new = next_tag(head) | u64::from(index);
            match self
                .freed
                .compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // Release pairs with the Acquire of `alloc`: who sees the count sees the push.
        self.free.fetch_add(1, Ordering::Release);
    }

    /// All frames that can be had.
    pub(super) fn total(&self) -> usize {
        self.layout.try_get().map_or(0, |layout| layout.links.len())
    }

    /// Frames that nobody owns.
    pub(super) fn free_count(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    /// Frames that a request of [`Urgency::Ordinary`] can still have.
    pub(super) fn available(&self) -> usize {
        let reserve = self.layout.try_get().map_or(0, |layout| layout.reserve);
        self.free_count().saturating_sub(2 * reserve)
    }

    /// Frames that the side table takes.
    pub(super) fn table_frames(&self) -> usize {
        self.layout
            .try_get()
            .map_or(0, |layout| layout.table_frames)
    }

    fn pop(&self, links: &[AtomicU32]) -> Option<u32> {
        let mut head = self.freed.load(Ordering::Acquire);
        loop {
            let index = head as u32;
            if index == NONE {
                return None;
            }
            // May be stale already: then the tag has changed and the exchange fails.
            let next = links[index as usize].load(Ordering::Relaxed);
            let new = next_tag(head) | u64::from(next);
            match self
                .freed
                .compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    fn bump(&self, links: &[AtomicU32]) -> Option<u32> {
        let next = |fresh: u32| ((fresh as usize) < links.len()).then(|| fresh + 1);
        self.fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .ok()
    }
}

impl Layout {
    fn address_of(&self, index: u32) -> u64 {
        let mut regions = self.regions[..self.len].iter();
        let region = regions.find(|r| index - r.index < r.count);
        let region = region.expect("an index lies in a region");
        (region.first + u64::from(index - region.index)) * FRAME_SIZE as u64
    }

    fn index_of(&self, pa: u64) -> Option<u32> {
        if !pa.is_multiple_of(FRAME_SIZE as u64) {
            return None;
        }
        let number = pa / FRAME_SIZE as u64;
        self.regions[..self.len].iter().find_map(|r| {
            let offset = number.checked_sub(r.first)?;
            (offset < u64::from(r.count)).then(|| r.index + offset as u32)
        })
    }
}

/// The tag of the next head, in place.
fn next_tag(head: u64) -> u64 {
    (head >> 32).wrapping_add(1) << 32
}

/// Whole frames above low memory, sorted, joined, without overlaps. Indices are not set yet. Should
/// there be more regions than fit, the smallest go: memory lost, not a boot lost.
fn gather(given: &[(u64, u64)]) -> ([Region; MAX_REGIONS], usize) {
    let mut regions = [Region {
        first: 0,
        index: 0,
        count: 0,
    }; MAX_REGIONS];
    let mut len = 0;
    let mut from = LOW_MEMORY_END.div_ceil(FRAME_SIZE as u64);
    // Each round takes the lowest region that reaches beyond `from`. Quadratic, for some ten.
    while let Some((start, end)) = lowest_beyond(given, from) {
        let first = start.max(from);
        from = end;
        if len > 0 && regions[len - 1].first + u64::from(regions[len - 1].count) == first {
            regions[len - 1].count += (end - first) as u32;
            continue;
        }
        if len == MAX_REGIONS {
            let smallest = (0..len).min_by_key(|&i| regions[i].count);
            let smallest = smallest.expect("the list is full, so not empty");
            if u64::from(regions[smallest].count) >= end - first {
                continue;
            }
            regions.copy_within(smallest + 1.., smallest);
            len -= 1;
        }
        regions[len] = Region {
            first,
            index: 0,
            count: (end - first) as u32,
        };
        len += 1;
    }
    (regions, len)
}

/// The region with the lowest start that has whole frames at or above frame number `from`, as
/// frame numbers.
fn lowest_beyond(given: &[(u64, u64)], from: u64) -> Option<(u64, u64)> {
    let whole =
        |&(start, end): &(u64, u64)| (start.div_ceil(FRAME_SIZE as u64), end / FRAME_SIZE as u64);
    given
        .iter()
        .map(whole)
        .filter(|&(start, end)| start < end && end > from)
        .min()
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;

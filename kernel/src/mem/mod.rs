//! Memory: frames, the address space, the heap, stacks.
//!
//! | module | owns | may be called |
//! | --- | --- | --- |
//! | [`frames`] | physical memory in frames of 4 KiB | anywhere |
//! | [`space`] | the page tables | anywhere |
//! | [`stack`] | goroutine stacks | `grow`, `shrink`: anywhere; the rest: not in interrupts |
//! | [`sysstack`] | g0 and interrupt stacks | anywhere |
//! | [`heap`] over `magazine`, `slab`, `spans` | the global allocator | not in interrupts |
//! | [`blocks`] | which block an address lies in | while the world is stopped |
//! | [`emergency`] | the allocator of a dying kernel | anywhere |
//!
//! What must work while anything may be locked (a page fault that grows a stack) has no lock.
//! Running out of memory is `None` or a null pointer to the caller; the last frames are kept back,
//! first for stacks that are growing, then for the report ([`frames::Urgency`]). A request can be
//! refused on purpose as well ([`set_faults`]).

pub mod blocks;
pub mod emergency;
#[cfg(test)]
pub(crate) mod fixture;
pub mod frames;
pub mod heap;
mod large;
mod magazine;
mod refusal;
mod slab;
pub mod space;
mod spans;
pub mod stack;
pub mod sysstack;

use conquer_once::spin::OnceCell;
use core::fmt;

use crate::base::faults::Faults;

/// Bytes of a frame and of a page.
pub const FRAME_SIZE: usize = 4096;

/// Where the boot stage maps all physical memory.
pub const PHYSICAL_MEMORY: usize = 0xffff_8000_0000_0000;
/// Goroutine stacks.
pub const STACKS: usize = 0xffff_a000_0000_0000;
/// g0 and interrupt stacks.
pub const SYSTEM_STACKS: usize = 0xffff_b000_0000_0000;
/// The heap.
pub const HEAP: usize = 0xffff_c000_0000_0000;
/// The arena of a dying kernel.
pub const EMERGENCY: usize = 0xffff_d000_0000_0000;
/// Where the boot stage puts what it hands over.
pub const BOOT: usize = 0xffff_e000_0000_0000;

/// Takes over memory: `regions` (`start..end`, physical) are usable and nobody's. After this,
/// everything in `mem` works. Once, on the boot CPU, GS base set.
pub fn init(regions: &[(u64, u64)]) {
    frames::init(regions);
    space::init();
}

/// From now on, refuses the block and the frame that are to be refused. Once, at boot.
pub fn set_faults(faults: &Faults) {
    if let Some(nth) = faults.block {
        heap::refuse(nth);
    }
    if let Some(nth) = faults.frame {
        frames::global().refuse(nth);
    }
}

/// What to do when memory is short: see [`on_shortage`].
static RELIEF: OnceCell<fn() -> usize> = OnceCell::uninit();

/// Sets what is called when an allocation (heap or goroutine stack) would fail, before it does: it
/// flushes all TLBs by way of [`reclaim`] and returns how many frames came free. Called in the
/// context of the allocation, which may hold locks that rank below `Rank::Stacks`, with preemption
/// off; interrupts are as they were there. Once, at boot.
pub fn on_shortage(relief: fn() -> usize) {
    assert!(
        RELIEF.try_init_once(|| relief).is_ok(),
        "mem: relief is set once"
    );
}

/// Unmaps what lies free in stacks and heap, and frees the frames. `flush` returns when no CPU's
/// TLB knows any page that was unmapped before it was called. Returns how many frames came free.
pub fn reclaim(mut flush: impl FnMut()) -> usize {
    stack::reclaim(stack::Reclaim::All, &mut flush) + heap::trim(flush)
}

/// Tries to make room for a request of `bytes`; whether it is worth trying again.
fn relieve(bytes: usize) -> bool {
    bytes < frames::global().total() * FRAME_SIZE && RELIEF.get().is_some_and(|relief| relief() > 0)
}

/// What an address is for, for the report of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Region {
    /// Below the kernel's half: null pointers and nonsense.
    Low,
    /// The map of physical memory.
    PhysicalMemory,
    /// Goroutine stacks.
    Stacks,
    /// g0 and interrupt stacks.
    SystemStacks,
    /// The heap.
    Heap,
    /// The arena of a dying kernel.
    Emergency,
    /// Boot stack, boot information.
    Boot,
    /// The kernel image, or nothing.
    Image,
}

/// What `address` is for, whether or not something is mapped there.
pub fn region_of(address: usize) -> Region {
    match address {
        0..PHYSICAL_MEMORY => Region::Low,
        PHYSICAL_MEMORY..STACKS => Region::PhysicalMemory,
        STACKS..SYSTEM_STACKS => Region::Stacks,
        SYSTEM_STACKS..HEAP => Region::SystemStacks,
        HEAP..EMERGENCY => Region::Heap,
        EMERGENCY..BOOT => Region::Emergency,
        BOOT..0xffff_f000_0000_0000 => Region::Boot,
        _ => Region::Image,
    }
}

/// Who has how much memory, in bytes. Counted while others go on: the parts may disagree a little.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// All memory that is managed here.
    pub total: usize,
    /// In frames that nobody owns.
    pub free: usize,
    /// Of `free`, what an ordinary request can have.
    pub available: usize,
    /// The heap's, used or not.
    pub heap_mapped: usize,
    /// Of the heap, what the program holds.
    pub heap_used: usize,
    /// Goroutine stacks, living and cached.
    pub stacks: usize,
    /// g0 and interrupt stacks.
    pub system_stacks: usize,
    /// Page tables made by the kernel.
    pub page_tables: usize,
    /// The arena of a dying kernel.
    pub emergency: usize,
    /// The frame allocator's own table (not part of `total`).
    pub frame_table: usize,
}

/// Who has how much memory. No lock, any context.
pub fn usage() -> Usage {
    let frames = frames::global();
    Usage {
        total: frames.total() * FRAME_SIZE,
        free: frames.free_count() * FRAME_SIZE,
        available: frames.available() * FRAME_SIZE,
        heap_mapped: spans::mapped_bytes(),
        heap_used: heap::used_bytes(),
        stacks: stack::mapped_bytes(),
        system_stacks: sysstack::mapped_bytes(),
        page_tables: space::table_frames() * FRAME_SIZE,
        emergency: emergency::mapped_bytes(),
        frame_table: frames.table_frames() * FRAME_SIZE,
    }
}

impl fmt::Display for Usage {
    /// One line for each part, in KiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("total", self.total),
            ("free", self.free),
            ("available", self.available),
            ("heap mapped", self.heap_mapped),
            ("heap used", self.heap_used),
            ("stacks", self.stacks),
            ("system stacks", self.system_stacks),
            ("page tables", self.page_tables),
            ("emergency", self.emergency),
            ("frame table", self.frame_table),
        ];
        for (i, (name, bytes)) in parts.into_iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{name:>13} {:>10} KiB", bytes / 1024)?;
        }
        Ok(())
    }
}

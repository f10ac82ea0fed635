//! A P's run queue: a ring of 256 and the slot `runnext`.
//!
//! - The owner P puts at the tail and takes at the head; any other P may take from the head
//!   (steal). Only the owner writes `tail` and the slots; everybody moves `head`, by
//!   compare-and-swap.
//! - `runnext` holds the G that runs next, ahead of the ring, in the rest of the current slice.
//!   Only the owner sets it; a thief may only take it, by compare-and-swap to nothing.
//! - The queue knows nothing of the scheduler: it holds `&'static T`, so that a model can drive it.
//!
//! # Orderings
//!
//! `put`: slot, then `tail` (release) — pairs with a thief's load of `tail` (acquire): a thief that
//! sees the tail sees the slot. `get`/`grab`: slots are read first, then `head` moves by
//! compare-and-swap (release) — pairs with the owner's load of `head` (acquire) in `put`: a slot is
//! written again only after its reader is done.
//!
//! Models: `loom_tests.rs`: puts, gets, overflow, steals and `runnext`, with one thief or two.
//!
//! Rejected: crossbeam-deque (LIFO for the owner, and its accepted race needs suppressing), a lock
//! (Go 1.0, `sched=global`, is there to be compared with).

use crate::base::aref::AtomicRef;
use crate::primitive::{AtomicU32, Ordering};

/// Slots of the ring; a model needs a small one.
#[cfg(not(loom))]
pub const RUNQ_SIZE: usize = 256;
/// Slots of the ring; a model needs a small one.
#[cfg(loom)]
pub const RUNQ_SIZE: usize = 4;

const SIZE: u32 = RUNQ_SIZE as u32;

/// What did not fit: half of the ring, oldest first, for the global queue.
pub struct Overflow<T: 'static> {
    batch: [Option<&'static T>; RUNQ_SIZE / 2],
}

impl<T> Overflow<T> {
    /// The Gs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &'static T> + '_ {
        self.batch.iter().filter_map(|g| *g)
    }
}

/// The local run queue of a P.
#[repr(align(128))] // head and tail of two Ps never share a cache line (nor the adjacent one)
pub struct RunQueue<T: 'static> {
    head: AtomicU32,
    tail: AtomicU32,
    runnext: AtomicRef<T>,
    ring: [AtomicRef<T>; RUNQ_SIZE],
}

impl<T> RunQueue<T> {
    /// Where head, tail and runnext are, in bytes: for a debugger.
    pub const FIELDS: [usize; 3] = [
        core::mem::offset_of!(Self, head),
        core::mem::offset_of!(Self, tail),
        core::mem::offset_of!(Self, runnext),
    ];
}

impl<T: Sync> RunQueue<T> {
    /// An empty queue.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            runnext: AtomicRef::none(),
            ring: [const { AtomicRef::none() }; RUNQ_SIZE],
        }
    }

    /// An empty queue.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            runnext: AtomicRef::none(),
            ring: core::array::from_fn(|_| AtomicRef::none()),
        }
    }

    fn slot(&self, index: u32) -> &AtomicRef<T> {
        &self.ring[index as usize % RUNQ_SIZE]
    }

    /// Owner: makes `gp` the next to run and returns the one that was to be, which goes to the
    /// ring.
    #[inline(always)]
    pub fn put_next(&self, gp: &'static T) -> Option<&'static T> {
        // A swap, since a thief may take the old one in this instant. Release: a thief that gets
        // `gp` must see what its creator wrote.
        self.runnext.swap(Some(gp), Ordering::AcqRel)
    }

    /// Owner: puts `gp` at the tail, if there is room.
    #[inline(always)]
    pub fn try_put(&self, gp: &'static T) -> bool {
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(head) >= SIZE {
            return false;
        }
        self.slot(tail).store(Some(gp), Ordering::Relaxed);
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Owner: puts `gp` at the tail.
    ///
    /// # Errors
    /// A full ring gives up its older half, which the caller moves to the global queue before it
    /// puts `gp` again.
    #[allow(
        clippy::result_large_err,
        reason = "`try_put` comes first: this is the way of an overflow"
    )]
    pub fn put(&self, gp: &'static T) -> Result<(), Overflow<T>> {
        loop {
            if self.try_put(gp) {
                return Ok(());
            }
            let head = self.head.load(Ordering::Acquire);
            let is_full = self.tail.load(Ordering::Relaxed).wrapping_sub(head) >= SIZE;
            if is_full && let Some(overflow) = self.take_half(head) {
                return Err(overflow);
            }
            // A thief made room meanwhile. Bounded: each turn is some thief's progress.
        }
    }

    /// The older half of a full ring, unless a thief was quicker.
    #[cold]
    fn take_half(&self, head: u32) -> Option<Overflow<T>> {
        let mut batch = [None; RUNQ_SIZE / 2];
        for (i, g) in (0u32..).zip(batch.iter_mut()) {
            *g = self.slot(head.wrapping_add(i)).load(Ordering::Relaxed);
        }
        self.advance(head, SIZE / 2).then_some(Overflow { batch })
    }

    fn advance(&self, head: u32, n: u32) -> bool {
        self.head
            .compare_exchange(
                head,
                head.wrapping_add(n),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Owner: takes `runnext`.
    #[inline(always)]
    fn take_next(&self) -> Option<&'static T> {
        let next = self.runnext.load(Ordering::Relaxed)?;
        // A thief can only empty the slot, so a failed exchange means that it is gone.
        // Release: pairs with `is_empty`, which must see the tail that was moved before.
        self.runnext
            .compare_exchange(Some(next), None, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
            .then_some(next)
    }

    /// Owner: the next to run, and whether it inherits the slice (it came from `runnext`).
    #[inline(always)]
    pub fn get(&self) -> Option<(&'static T, bool)> {
        if let Some(gp) = self.take_next() {
            return Some((gp, true));
        }
        loop {
            let head = self.head.load(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Relaxed);
            if head == tail {
                return None;
            }
            let gp = self.slot(head).load(Ordering::Relaxed);
            if self.advance(head, 1) {
                return match gp {
                    Some(gp) => Some((gp, false)),
                    None => None,
                };
            }
        }
    }

    /// Thief: moves half of this ring, at least one, into `to`, the thief's own, and returns one of
    /// them to run at once. `to` must be empty.
    pub fn steal_into(&self, to: &Self) -> Option<&'static T> {
        let base = to.tail.load(Ordering::Relaxed);
        let n = loop {
            let head = self.head.load(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Acquire);
            let len = tail.wrapping_sub(head);
            let n = len - len / 2;
            if n == 0 {
                return None;
            }
            if n > SIZE / 2 {
                continue; // head and tail were read at different times
            }
            for i in 0..n {
                let gp = self.slot(head.wrapping_add(i)).load(Ordering::Relaxed);
                to.slot(base.wrapping_add(i)).store(gp, Ordering::Relaxed);
            }
            if self.advance(head, n) {
                break n;
            }
        };
        // The last of the batch runs now; the others become visible in `to`.
        let gp = to.slot(base.wrapping_add(n - 1)).load(Ordering::Relaxed);
        if n > 1 {
            to.tail.store(base.wrapping_add(n - 1), Ordering::Release);
        }
        gp
    }

    /// Whether somebody is in the `runnext` slot.
    pub fn has_next(&self) -> bool {
        self.runnext.load(Ordering::Relaxed).is_some()
    }

    /// Thief: takes `runnext`. The caller has given the owner time to run it.
    pub fn steal_next(&self) -> Option<&'static T> {
        let next = self.runnext.load(Ordering::Acquire)?;
        self.runnext
            .compare_exchange(Some(next), None, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|()| next)
    }

    /// Whether the queue was empty at one instant. Not the same as empty ring and empty `runnext`
    /// seen one after the other: the owner may kick `runnext` into the ring in between, so the tail
    /// must stand still.
    #[inline]
    pub fn is_empty(&self) -> bool {
        loop {
            let head = self.head.load(Ordering::SeqCst);
            let tail = self.tail.load(Ordering::SeqCst);
            let next = self.runnext.load(Ordering::SeqCst);
            if tail == self.tail.load(Ordering::SeqCst) {
                return head == tail && next.is_none();
            }
        }
    }

    /// A hint: no instant has to have been like this.
    #[inline(always)]
    pub fn seems_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == self.tail.load(Ordering::Relaxed)
            && self.runnext.load(Ordering::Relaxed).is_none()
    }

    /// Entries of the ring, `runnext` not counted: a snapshot.
    pub fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Acquire);
        (tail.wrapping_sub(head) as usize).min(RUNQ_SIZE)
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(all(test, not(loom)))]
mod tests;

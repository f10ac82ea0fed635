//! Dead Gs, which wait with their stacks for the next spawn (Go: `gfget`, `gfput`).
//!
//! A P has two chains, linked by `schedlink`: one that it takes from and puts on, of at most
//! [`CHAIN`], and one that is full, or none. What it lacks or has too much of goes from and to the
//! global list as a whole chain, a few instructions under the lock for as many spawns; and a P that
//! starts and ends goroutines around the border of a chain has the other one to fall back on, and
//! does not go there at all (the two magazines of Bonwick's allocator).
//!
//! Only standard stacks are kept so; larger ones are rare, and looked through for one that fits.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::base::aref::AtomicRef;
use crate::mem::stack;
use crate::sched::SCHED;
use crate::sched::g::G;
use crate::sched::gqueue::GQueue;

/// Gs of a full chain: a P keeps twice as many at most (Go: 64).
const CHAIN: u32 = 32;

/// The dead Gs of a P, for whoever holds it, with preemption off.
pub struct LocalFree {
    first: AtomicRef<G>,
    len: AtomicU32,
    full: AtomicRef<G>,
}

/// The dead Gs of no P, under the scheduler's lock.
pub struct GlobalFree {
    /// Full chains: the first of the first; the first of the next is its `chain`.
    full: Option<&'static G>,
    /// What was in no full chain when its P was retired.
    loose: GQueue,
    large: GQueue,
}

impl LocalFree {
    /// None.
    pub const fn new() -> Self {
        Self {
            first: AtomicRef::none(),
            len: AtomicU32::new(0),
            full: AtomicRef::none(),
        }
    }

    /// How many: a hint to others than the owner.
    pub fn len(&self) -> u32 {
        let full = self.full.load(Ordering::Relaxed).is_some();
        self.len.load(Ordering::Relaxed) + if full { CHAIN } else { 0 }
    }

    /// A dead G with a stack of at least `size` bytes (Go: `gfget`).
    #[inline(always)]
    pub(super) fn get(&self, size: usize) -> Option<&'static G> {
        if size > stack::DEFAULT_SIZE {
            return SCHED.lock.lock().gfree.get_large(size);
        }
        let gp = match self.first.load(Ordering::Relaxed) {
            Some(gp) => gp,
            None => self.refill()?,
        };
        self.first
            .store(gp.schedlink.load(Ordering::Relaxed), Ordering::Relaxed);
        self.add_to_len(-1);
        Some(gp)
    }

    /// On g0: keeps a dead G (Go: `gfput`).
    #[inline(always)]
    pub(super) fn put(&self, gp: &'static G) {
        if stack_len(gp) > stack::DEFAULT_SIZE {
            return SCHED.lock.lock().gfree.large.push_back(gp);
        }
        if self.len.load(Ordering::Relaxed) == CHAIN {
            self.set_full_aside();
        }
        self.push(gp);
    }

    fn push(&self, gp: &'static G) {
        gp.schedlink
            .store(self.first.load(Ordering::Relaxed), Ordering::Relaxed);
        self.first.store(Some(gp), Ordering::Relaxed);
        self.add_to_len(1);
    }

    fn add_to_len(&self, n: i32) {
        let len = self.len.load(Ordering::Relaxed);
        self.len
            .store(len.wrapping_add_signed(n), Ordering::Relaxed);
    }

    /// The chain is empty: gets another. Its first, if there is any.
    #[cold]
    fn refill(&self) -> Option<&'static G> {
        let full = self.full.load(Ordering::Relaxed);
        self.full.store(None, Ordering::Relaxed);
        match full.or_else(|| SCHED.lock.lock().gfree.get_full()) {
            Some(gp) => {
                self.first.store(Some(gp), Ordering::Relaxed);
                self.len.store(CHAIN, Ordering::Relaxed);
            }
            None => {
                let mut inner = SCHED.lock.lock();
                for _ in 0..CHAIN {
                    let Some(gp) = inner.gfree.loose.pop_front() else {
                        break;
                    };
                    self.push(gp);
                }
            }
        }
        self.first.load(Ordering::Relaxed)
    }

    /// The chain is full: begins another.
    #[cold]
    fn set_full_aside(&self) {
        if let Some(full) = self.full.load(Ordering::Relaxed) {
            SCHED.lock.lock().gfree.put_full(full);
        }
        self.full
            .store(self.first.load(Ordering::Relaxed), Ordering::Relaxed);
        self.first.store(None, Ordering::Relaxed);
        self.len.store(0, Ordering::Relaxed);
    }

    /// World stopped: gives all to the global list.
    pub(super) fn retire(&self, to: &mut GlobalFree) {
        if let Some(full) = self.full.load(Ordering::Relaxed) {
            to.put_full(full);
            self.full.store(None, Ordering::Relaxed);
        }
        while let Some(gp) = self.first.load(Ordering::Relaxed) {
            self.first
                .store(gp.schedlink.load(Ordering::Relaxed), Ordering::Relaxed);
            to.loose.push_back(gp);
        }
        self.len.store(0, Ordering::Relaxed);
    }
}

impl GlobalFree {
    /// None.
    pub const fn new() -> Self {
        Self {
            full: None,
            loose: GQueue::new(),
            large: GQueue::new(),
        }
    }

    fn get_full(&mut self) -> Option<&'static G> {
        let first = self.full?;
        self.full = first.chain.load(Ordering::Relaxed);
        Some(first)
    }

    fn put_full(&mut self, first: &'static G) {
        first.chain.store(self.full, Ordering::Relaxed);
        self.full = Some(first);
    }

    fn get_large(&mut self, size: usize) -> Option<&'static G> {
        // The G and the padding above it are of the stack that was asked for.
        self.large
            .remove_first(|gp| stack_len(gp) + size_of::<G>() + 64 >= size)
    }
}

fn stack_len(gp: &G) -> usize {
    let stack = gp.head.stack.get();
    stack.hi - stack.lo
}

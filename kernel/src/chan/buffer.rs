//! The values that a channel holds, first in, first out. How many there are the channel's word
//! counts (`word`), not the buffer.
//!
//! A bounded channel's buffer is allocated once, when the channel is made. An unbounded channel's
//! is a list of blocks: a single growing ring would copy all it holds each time it doubles, with
//! the channel's lock held. Each block is a ring, and the last one stays when it is empty, so a
//! channel whose receivers keep up allocates nothing.

use alloc::boxed::Box;
use alloc::collections::{LinkedList, VecDeque};
use core::mem::MaybeUninit;

/// Values in a block of an unbounded buffer.
const BLOCK: usize = 64;

/// Values in order.
pub(super) enum Buffer<T> {
    /// At most as many as it has room for.
    Bounded(Ring<T>),
    /// As many as memory holds.
    Unbounded(Blocks<T>),
}

/// A ring that does not know which of its places are in use. (A `VecDeque` keeps a count of its
/// own and is ready to grow, with instructions for both at each value.)
pub(super) struct Ring<T> {
    places: Box<[MaybeUninit<T>]>,
    /// Where the first value is, if there is one.
    first: usize,
    /// Where the next one goes.
    end: usize,
}

pub(super) struct Blocks<T> {
    /// None is empty, unless it is the only one.
    blocks: LinkedList<VecDeque<T>>,
}

impl<T> Ring<T> {
    fn new(cap: usize) -> Self {
        Self {
            places: Box::new_uninit_slice(cap),
            first: 0,
            end: 0,
        }
    }

    #[inline(always)]
    fn after(&self, place: usize) -> usize {
        let next = place + 1;
        if next == self.places.len() { 0 } else { next }
    }

    /// # Safety
    /// Not all places are in use.
    #[inline(always)]
    unsafe fn push_back(&mut self, value: T) {
        self.places[self.end].write(value);
        self.end = self.after(self.end);
    }

    /// # Safety
    /// There is a value.
    #[inline(always)]
    unsafe fn pop_front(&mut self) -> T {
        // SAFETY: the caller's promise: `first` has been written, and is left behind.
        let value = unsafe { self.places[self.first].assume_init_read() };
        self.first = self.after(self.first);
        value
    }
}

impl<T> Buffer<T> {
    /// An empty buffer; `None`: without bound.
    ///
    /// # Panics
    /// `capacity overflow`, when so many values are more than the address space.
    pub(super) fn new(cap: Option<usize>) -> Self {
        match cap {
            Some(cap) => Self::Bounded(Ring::new(cap)),
            None => Self::Unbounded(Blocks {
                blocks: LinkedList::new(),
            }),
        }
    }

    /// Adds at the end.
    ///
    /// # Safety
    /// There is room.
    #[inline(always)]
    pub(super) unsafe fn push_back(&mut self, value: T) {
        match self {
            // SAFETY: the caller's promise.
            Self::Bounded(ring) => unsafe { ring.push_back(value) },
            Self::Unbounded(blocks) => blocks.push_back(value),
        }
    }

    /// Takes the first.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    pub(super) unsafe fn pop_front(&mut self) -> T {
        match self {
            // SAFETY: the caller's promise.
            Self::Bounded(ring) => unsafe { ring.pop_front() },
            Self::Unbounded(blocks) => blocks.pop_front().expect("the word counts the values"),
        }
    }

    /// Takes all, for the caller to drop without the lock; nothing comes after them.
    ///
    /// # Safety
    /// There are `len`.
    pub(super) unsafe fn take(&mut self, len: usize) -> Values<T> {
        let empty = match self {
            Self::Bounded(_) => Self::new(Some(0)),
            Self::Unbounded(_) => Self::new(None),
        };
        Values {
            buffer: core::mem::replace(self, empty),
            len,
        }
    }
}

impl<T> Blocks<T> {
    fn push_back(&mut self, value: T) {
        match self.blocks.back_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => block.push_back(value),
            None => {
                let mut block = VecDeque::with_capacity(BLOCK);
                block.push_back(value);
                self.blocks.push_back(block);
            }
        }
    }

    fn pop_front(&mut self) -> Option<T> {
        let first = self.blocks.front_mut()?;
        let value = first.pop_front()?;
        if first.is_empty() && self.blocks.len() > 1 {
            self.blocks.pop_front();
        }
        Some(value)
    }
}

/// What a buffer held.
pub(super) struct Values<T> {
    buffer: Buffer<T>,
    len: usize,
}

impl<T> Iterator for Values<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: there were `len`.
        Some(unsafe { self.buffer.pop_front() })
    }
}

impl<T> Drop for Values<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::rc::Rc;

    use super::Buffer;

    #[test]
    fn values_leave_in_order_across_blocks() {
        for cap in [Some(1000), None] {
            let mut buffer = Buffer::new(cap);
            let (mut next_in, mut next_out) = (0, 0);
            for round in 0..40 {
                for _ in 0..(round * 7) % 90 {
                    // SAFETY: less than 1000 are never taken out.
                    unsafe { buffer.push_back(next_in) };
                    next_in += 1;
                }
                for _ in 0..((round * 5) % 80).min(next_in - next_out) {
                    // SAFETY: no more than there are.
                    assert_eq!(unsafe { buffer.pop_front() }, next_out);
                    next_out += 1;
                }
            }
            // SAFETY: so many were put in and not taken out.
            let rest = unsafe { buffer.take(next_in - next_out) };
            for value in rest {
                assert_eq!(value, next_out);
                next_out += 1;
            }
            assert_eq!(next_out, next_in);
        }
    }

    /// All that is left is dropped, once.
    #[test]
    fn what_is_left_is_dropped() {
        let counted = Rc::new(());
        for cap in [Some(4), None] {
            let mut buffer = Buffer::new(cap);
            for _ in 0..3 {
                // SAFETY: there is room for 4.
                unsafe { buffer.push_back(Rc::clone(&counted)) };
            }
            // SAFETY: there are 3.
            drop(unsafe { buffer.pop_front() });
            // SAFETY: there are 2 left.
            drop(unsafe { buffer.take(2) });
            assert_eq!(Rc::strong_count(&counted), 1);
        }
    }
}

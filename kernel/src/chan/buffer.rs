//! The values that a channel holds, first in, first out.
//!
//! A bounded channel's buffer is allocated once, when the channel is made. An unbounded channel's
//! is a list of blocks: a single growing ring would copy all it holds each time it doubles, with
//! the channel's lock held. Each block is a ring, and the last one stays when it is empty, so a
//! channel whose receivers keep up allocates nothing.

use alloc::collections::{LinkedList, VecDeque};

/// Values in a block of an unbounded buffer.
const BLOCK: usize = 64;

/// Values in order.
pub(super) enum Buffer<T> {
    /// At most as many as it has room for; the channel counts.
    Bounded(VecDeque<T>),
    /// As many as memory holds.
    Unbounded(Blocks<T>),
}

pub(super) struct Blocks<T> {
    /// None is empty, unless it is the only one.
    blocks: LinkedList<VecDeque<T>>,
    len: usize,
}

impl<T> Buffer<T> {
    /// An empty buffer; `None`: without bound.
    ///
    /// # Panics
    /// `capacity overflow`, when so many values are more than the address space.
    pub(super) fn new(cap: Option<usize>) -> Self {
        match cap {
            Some(cap) => Self::Bounded(VecDeque::with_capacity(cap)),
            None => Self::Unbounded(Blocks {
                blocks: LinkedList::new(),
                len: 0,
            }),
        }
    }

    /// How many.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bounded(ring) => ring.len(),
            Self::Unbounded(blocks) => blocks.len,
        }
    }

    /// Adds at the end.
    #[inline]
    pub(super) fn push_back(&mut self, value: T) {
        match self {
            Self::Bounded(ring) => ring.push_back(value),
            Self::Unbounded(blocks) => blocks.push_back(value),
        }
    }

    /// Takes the first.
    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        match self {
            Self::Bounded(ring) => ring.pop_front(),
            Self::Unbounded(blocks) => blocks.pop_front(),
        }
    }

    /// Takes all, for the caller to drop without the lock.
    pub(super) fn take(&mut self) -> Self {
        let empty = match self {
            Self::Bounded(_) => Self::Bounded(VecDeque::new()),
            Self::Unbounded(_) => Self::new(None),
        };
        core::mem::replace(self, empty)
    }
}

impl<T> Blocks<T> {
    fn push_back(&mut self, value: T) {
        self.len += 1;
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
        self.len -= 1;
        if first.is_empty() && self.blocks.len() > 1 {
            self.blocks.pop_front();
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Buffer;

    #[test]
    fn values_leave_in_order_across_blocks() {
        for cap in [Some(1000), None] {
            let mut buffer = Buffer::new(cap);
            let (mut next_in, mut next_out) = (0, 0);
            for round in 0..40 {
                for _ in 0..(round * 7) % 90 {
                    buffer.push_back(next_in);
                    next_in += 1;
                }
                for _ in 0..(round * 5) % 80 {
                    if let Some(value) = buffer.pop_front() {
                        assert_eq!(value, next_out);
                        next_out += 1;
                    }
                }
                assert_eq!(buffer.len(), next_in - next_out);
            }
            let mut rest = buffer.take();
            assert_eq!((buffer.len(), rest.len()), (0, next_in - next_out));
            while let Some(value) = rest.pop_front() {
                assert_eq!(value, next_out);
                next_out += 1;
            }
            assert_eq!(next_out, next_in);
        }
    }
}

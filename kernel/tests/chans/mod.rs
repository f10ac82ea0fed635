//! What the suites of channels and select need: values that count their drops, waiting until others
//! are parked, and repeatable choices.
#![allow(dead_code, reason = "no suite uses all of it")]

mod parked;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use gosched::time::Duration;
#[allow(unused_imports, reason = "no suite uses all of it")]
pub(crate) use parked::until_parked;

/// So many milliseconds.
pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// So many microseconds.
pub(crate) fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// A number that goroutines share.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The new number.
    pub(crate) fn add(&self, n: usize) -> usize {
        self.0.fetch_add(n, Ordering::SeqCst) + n
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A value that counts its drops. It lives in the heap, so that a double drop is also a double
/// free, and knows if it was dropped before.
pub(crate) struct Counted {
    drops: Count,
    alive: alloc::boxed::Box<u32>,
}

const ALIVE: u32 = 0x600d_600d;

impl Counted {
    pub(crate) fn new(drops: &Count) -> Self {
        Self {
            drops: drops.clone(),
            alive: alloc::boxed::Box::new(ALIVE),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(*self.alive, ALIVE, "dropped twice, or never a value");
        *self.alive = 0;
        self.drops.add(1);
    }
}

/// Numbers that look random and are the same for the same seed (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// From 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

//! A ring of records that one CPU writes and anybody reads: a flight recorder.
//!
//! # Protocol
//!
//! The writer never waits and never looks at readers: it overwrites its oldest record. `pos` counts
//! the records ever written; record `k` lies in slot `k` modulo the ring's length.
//!
//! ```text
//! writer, record k                      reader
//!  1. fence(Release)                     1. p = pos (Acquire)
//!  2. the slot's two words               2. the words of records p - len to p
//!  3. pos = k + 1 (Release)              3. fence(Acquire)
//!                                        4. q = pos
//! ```
//!
//! - 3 on the left with 1 on the right: all words below `p` are written.
//! - A reader that met a word of record `k` in the slot of record `k - len` has, by the two fences,
//!   `q >= k`, since `pos = k` stands before the fence of record `k`. So what it read of records
//!   from `q - len + 1` on is whole, and it drops what is older.
//!
//! Words are atomic, so a torn record is a stale one and not undefined; the check drops it.
//!
//! Models: `loom_tests.rs`: readers beside a writer that overwrites.

use alloc::vec::Vec;

use crate::primitive::{AtomicPtr, AtomicU64, Ordering, fence};

/// Words of a record.
pub const WORDS: usize = 2;

/// One record.
pub type Record = [u64; WORDS];

/// The ring of one writer. Without memory until [`Ring::give`], and then off.
pub struct Ring {
    /// The slots, or null: off.
    slots: AtomicPtr<AtomicU64>,
    /// The slots while it is off as well.
    memory: AtomicPtr<AtomicU64>,
    /// Length in records, less one; the length is a power of two.
    mask: AtomicU64,
    /// Records ever written.
    pos: AtomicU64,
}

impl Ring {
    /// Without memory.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            slots: AtomicPtr::new(core::ptr::null_mut()),
            memory: AtomicPtr::new(core::ptr::null_mut()),
            mask: AtomicU64::new(0),
            pos: AtomicU64::new(0),
        }
    }

    /// Without memory.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            slots: AtomicPtr::new(core::ptr::null_mut()),
            memory: AtomicPtr::new(core::ptr::null_mut()),
            mask: AtomicU64::new(0),
            pos: AtomicU64::new(0),
        }
    }

    /// Gives the ring its memory, once, and turns it on.
    pub fn give(&self, words: &'static [AtomicU64]) {
        let records = words.len() / WORDS;
        assert!(records.is_power_of_two(), "a ring's length");
        let first = words.as_ptr().cast_mut();
        self.mask.store(records as u64 - 1, Ordering::Relaxed);
        self.memory.store(first, Ordering::Relaxed);
        // Release: who finds the slots finds the mask.
        self.slots.store(first, Ordering::Release);
    }

    /// Turns recording on or off, for anyone; a record under way is finished.
    pub fn set_on(&self, on: bool) {
        let slots = match on {
            true => self.memory.load(Ordering::Relaxed),
            false => core::ptr::null_mut(),
        };
        self.slots.store(slots, Ordering::Release);
    }

    /// Whether records are kept. One load and a compare.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        !self.slots.load(Ordering::Relaxed).is_null()
    }

    /// The writer: adds a record, if the ring is on. No locked instruction.
    #[inline(always)]
    pub fn write(&self, record: Record) {
        self.write_with(|| record);
    }

    /// The writer: adds several records, which belong together, if the ring is on.
    #[inline(always)]
    pub fn write_all<const N: usize>(&self, records: [Record; N]) {
        let slots = self.slots.load(Ordering::Acquire);
        if !slots.is_null() {
            self.put(slots, records);
        }
    }

    /// The writer: adds the record that `record` makes, which is called only if the ring is on.
    #[inline(always)]
    pub fn write_with(&self, record: impl FnOnce() -> Record) {
        // Acquire pairs with `give`; on x86 it is a plain load.
        let slots = self.slots.load(Ordering::Acquire);
        if slots.is_null() {
            return;
        }
        // First: it may write records of its own.
        let record = record();
        self.put(slots, [record]);
    }

    #[inline(always)]
    fn put<const N: usize>(&self, slots: *mut AtomicU64, records: [Record; N]) {
        let mut pos = self.pos.load(Ordering::Relaxed);
        let mask = self.mask.load(Ordering::Relaxed);
        for record in records {
            let slot = (pos & mask) as usize * WORDS;
            fence(Ordering::Release);
            for (i, word) in record.into_iter().enumerate() {
                // SAFETY: `give` set slots and mask to memory that is there for ever.
                unsafe { &*slots.add(slot + i) }.store(word, Ordering::Relaxed);
            }
            pos += 1;
            self.pos.store(pos, Ordering::Release);
        }
    }

    /// How many records were ever written.
    pub fn written(&self) -> u64 {
        self.pos.load(Ordering::Acquire)
    }

    /// How many records the ring holds.
    pub fn len(&self) -> u64 {
        match self.memory.load(Ordering::Acquire).is_null() {
            true => 0,
            false => self.mask.load(Ordering::Relaxed) + 1,
        }
    }

    /// Adds the records from number `from` on to `keep`, oldest first, as far as they are still
    /// there. Returns the number of the first of them, and that of the next one to come.
    pub fn read(&self, from: u64, keep: &mut Vec<Record>) -> (u64, u64) {
        let memory = self.memory.load(Ordering::Acquire);
        let end = self.pos.load(Ordering::Acquire);
        if memory.is_null() {
            return (end, end);
        }
        let mask = self.mask.load(Ordering::Relaxed);
        let first = from.max(end.saturating_sub(mask + 1)).min(end);
        keep.reserve((end - first) as usize);
        let before = keep.len();
        for k in first..end {
            let slot = (k & mask) as usize * WORDS;
            // SAFETY: as in `write`.
            let word = |i| unsafe { &*memory.add(slot + i) }.load(Ordering::Relaxed);
            keep.push(core::array::from_fn(word));
        }
        fence(Ordering::Acquire);
        let now = self.pos.load(Ordering::Relaxed);
        let whole = first.max((now + 1).saturating_sub(mask + 1)).min(end);
        keep.drain(before..before + (whole - first) as usize);
        (whole, end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;

//! From the interrupt of one CPU to a goroutine: a ring of words.
//!
//! One producer, the timer interrupt of the ring's CPU, and one consumer, whoever holds the
//! profile's mutex. `head` counts the words put in, `tail` those taken out; each is written by its
//! own side alone.
//!
//! | side | reads | writes | then |
//! | --- | --- | --- | --- |
//! | producer | `tail` (acquire): the words before it are taken | words | `head` (release) |
//! | consumer | `head` (acquire): the words before it are there | - | `tail` (release) |
//!
//! A record that finds no room is dropped whole, and counted.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Words of a ring: 100 of the longest records, some 400 of the usual ones.
const WORDS: usize = 8192;

pub(super) struct Ring {
    words: AtomicPtr<AtomicUsize>,
    head: AtomicUsize,
    tail: AtomicUsize,
    dropped: AtomicU64,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            words: AtomicPtr::new(core::ptr::null_mut()),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Gives the ring its memory, which it keeps. The consumer's side, before anything is put in.
    /// False: there is none.
    pub(super) fn prepare(&self) -> bool {
        if !self.words.load(Ordering::Relaxed).is_null() {
            return true;
        }
        let mut words: Vec<AtomicUsize> = Vec::new();
        if words.try_reserve_exact(WORDS).is_err() {
            return false;
        }
        words.resize_with(WORDS, || AtomicUsize::new(0));
        // Release: pairs with the acquire in `words`.
        self.words
            .store(words.leak().as_mut_ptr(), Ordering::Release);
        true
    }

    fn words(&self) -> &'static [AtomicUsize] {
        let words = self.words.load(Ordering::Acquire);
        match words.is_null() {
            true => &[],
            // SAFETY: `prepare` leaked so many.
            false => unsafe { core::slice::from_raw_parts(words, WORDS) },
        }
    }

    /// Producer: whether there is room for so many words. If not, a drop is counted.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let used = self.head.load(Ordering::Relaxed) - self.tail.load(Ordering::Acquire);
        let fits = used + len <= self.words().len();
        if !fits {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// Producer, after [`Ring::has_room`] for all of them: puts words in.
    pub(super) fn push(&self, record: &[usize]) {
        let head = self.head.load(Ordering::Relaxed);
        let words = self.words();
        for (i, &word) in record.iter().enumerate() {
            words[(head + i) % WORDS].store(word, Ordering::Relaxed);
        }
        self.head.store(head + record.len(), Ordering::Release);
    }

    /// Consumer: the end of what is in it now, for [`Ring::pop`].
    pub(super) fn end(&self) -> usize {
        self.head.load(Ordering::Acquire)
    }

    /// Consumer: takes the next record before `end`, whose first word `len_of` knows the length by,
    /// into `record`. False: there is none. What comes after the end was asked for is for the next
    /// time: a consumer that is slower than the interrupt would never be done.
    pub(super) fn pop(
        &self,
        end: usize,
        record: &mut Vec<usize>,
        len_of: impl Fn(usize) -> usize,
    ) -> bool {
        record.clear();
        let tail = self.tail.load(Ordering::Relaxed);
        if tail == end {
            return false;
        }
        let words = self.words();
        let len = len_of(words[tail % WORDS].load(Ordering::Relaxed));
        record.extend((0..len).map(|i| words[(tail + i) % WORDS].load(Ordering::Relaxed)));
        self.tail.store(tail + len, Ordering::Release);
        true
    }

    /// Takes the number of drops.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ring, WORDS};
    use std::vec::Vec;

    fn put(ring: &Ring, record: &[usize]) -> bool {
        let fits = ring.has_room(record.len());
        if fits {
            ring.push(record);
        }
        fits
    }

    #[test]
    fn records_come_out_whole_and_in_order_around_the_end() {
        let ring = Ring::new();
        assert!(!put(&ring, &[1]), "no memory yet");
        assert!(ring.prepare() && ring.prepare());
        let mut record = Vec::new();
        for i in 0..3 * WORDS {
            let len = 1 + i % 70;
            let sent: Vec<usize> = (0..len).map(|k| if k == 0 { len } else { i }).collect();
            assert!(put(&ring, &sent));
            assert!(ring.pop(ring.end(), &mut record, |len| len));
            assert_eq!(record, sent);
        }
        assert!(!ring.pop(ring.end(), &mut record, |len| len));
        assert_eq!(ring.take_dropped(), 1);
    }

    #[test]
    fn a_full_ring_drops_whole_records() {
        let ring = Ring::new();
        assert!(ring.prepare());
        let sent = std::vec![100; 100];
        let fitted = (0..WORDS).take_while(|_| put(&ring, &sent)).count();
        assert_eq!((fitted, ring.take_dropped()), (WORDS / 100, 1));
        let mut record = Vec::new();
        let received = (0..WORDS)
            .take_while(|_| ring.pop(ring.end(), &mut record, |len| len))
            .count();
        assert_eq!(received, fitted);
    }

    /// A consumer that asks anew each time whether there is more does not end here.
    #[test]
    fn what_comes_meanwhile_is_left_for_the_next_time() {
        let ring = Ring::new();
        assert!(ring.prepare());
        assert!((0..3).all(|i| put(&ring, &[2, i])));
        let mut record = Vec::new();
        let end = ring.end();
        for i in 0..3 {
            assert!(ring.pop(end, &mut record, |len| len));
            assert_eq!(record, [2, i]);
            assert!(put(&ring, &[2, 3 + i]));
        }
        assert!(!ring.pop(end, &mut record, |len| len));
        assert!(ring.pop(ring.end(), &mut record, |len| len));
        assert_eq!(record, [2, 3]);
    }

    #[test]
    fn two_threads_lose_nothing() {
        let ring = &*std::boxed::Box::leak(std::boxed::Box::new(Ring::new()));
        assert!(ring.prepare());
        const N: usize = 20_000;
        let producer = std::thread::spawn(move || {
            for i in 0..N {
                while !put(ring, &[3, i, i]) {
                    std::thread::yield_now();
                }
            }
        });
        let mut record = Vec::new();
        let mut next = 0;
        while next < N {
            match ring.pop(ring.end(), &mut record, |len| len) {
                true => {
                    assert_eq!(record, [3, next, next]);
                    next += 1;
                }
                false => std::thread::yield_now(),
            }
        }
        producer.join().unwrap();
    }
}

//! The ring: what it keeps, and what it drops.

use super::{Ring, WORDS};
use crate::primitive::AtomicU64;
use std::vec::Vec;

fn ring(records: usize) -> &'static Ring {
    let ring = Vec::leak(std::vec![Ring::new()]);
    let words = (0..records * WORDS).map(|_| AtomicU64::new(0)).collect();
    ring[0].give(Vec::leak(words));
    &ring[0]
}

fn firsts(ring: &Ring, from: u64) -> (Vec<u64>, (u64, u64)) {
    let mut kept = Vec::new();
    let range = ring.read(from, &mut kept);
    (kept.iter().map(|record| record[0]).collect(), range)
}

#[test]
fn a_ring_without_memory_or_off_keeps_nothing() {
    let empty = Ring::new();
    empty.write([1, 2]);
    assert_eq!((empty.written(), empty.len(), empty.is_on()), (0, 0, false));
    let ring = ring(4);
    ring.set_on(false);
    ring.write([1, 1]);
    assert_eq!(firsts(ring, 0), (Vec::new(), (0, 0)));
    ring.set_on(true);
    ring.write([7, 7]);
    assert_eq!(firsts(ring, 0), (std::vec![7], (0, 1)));
}

#[test]
fn the_newest_are_kept_and_the_oldest_may_be_under_way() {
    let ring = ring(4);
    (0..3).for_each(|i| ring.write([i, i]));
    assert_eq!(firsts(ring, 0), (std::vec![0, 1, 2], (0, 3)));
    assert_eq!(firsts(ring, 2), (std::vec![2], (2, 3)));
    (3..10).for_each(|i| ring.write([i, i]));
    // Record 6 lies where record 10 may be written right now.
    assert_eq!(firsts(ring, 0), (std::vec![7, 8, 9], (7, 10)));
    assert_eq!(firsts(ring, 10), (Vec::new(), (10, 10)));
}

/// At full speed what the model tries step by step: every record that is read was written so.
#[test]
fn a_reader_beside_a_writer_that_goes_round() {
    const RECORDS: u64 = 200_000;
    let ring = ring(8);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..RECORDS).for_each(|k| ring.write([k, !k])));
        let (mut kept, mut from) = (Vec::new(), 0);
        while !writer.is_finished() {
            kept.clear();
            let (first, next) = ring.read(from, &mut kept);
            assert!(from <= first && kept.len() as u64 == next - first);
            for (k, record) in (first..).zip(&kept) {
                assert_eq!(*record, [k, !k]);
            }
            from = next;
        }
    });
    assert_eq!(ring.written(), RECORDS);
}

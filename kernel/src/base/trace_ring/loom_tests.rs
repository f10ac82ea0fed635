//! A reader beside a writer that overwrites: no record is torn, none is taken for another. Without
//! either fence the model fails.

use super::{Ring, WORDS};
use crate::model;
use crate::primitive::AtomicU64;
use alloc::boxed::Box;
use alloc::vec::Vec;
use loom::sync::Arc;
use loom::thread;

#[test]
fn what_is_read_was_written_whole() {
    model(3, || {
        let words: Vec<_> = (0..2 * WORDS).map(|_| AtomicU64::new(99)).collect();
        // Loom's atomics are not to outlive the model, so the box is freed at its end.
        let words: *mut [AtomicU64] = Box::into_raw(words.into_boxed_slice());
        let ring = Arc::new(Ring::new());
        // SAFETY: freed below, when nobody uses the ring any more.
        ring.give(unsafe { &*words });
        let writer = {
            let ring = ring.clone();
            // Two rounds: what overwrites the oldest record alone, the reader drops in any case.
            thread::spawn(move || (0..4).for_each(|k| ring.write([k, k + 10])))
        };
        thread::yield_now(); // or loom tries one order (`model`)
        let mut kept = Vec::new();
        let (first, next) = ring.read(0, &mut kept);
        assert_eq!(kept.len() as u64, next - first);
        for (k, record) in (first..).zip(&kept) {
            assert_eq!(*record, [k, k + 10]);
        }
        writer.join().unwrap();
        drop(ring);
        // SAFETY: made above by `Box::into_raw`; the ring is gone.
        drop(unsafe { Box::from_raw(words) });
    });
}

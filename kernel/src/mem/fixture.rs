//! What the host tests of `mem` stand on, and some of those above it: memory that plays physical
//! memory, threads that play CPUs, and chance.
//!
//! "Physical" addresses are the addresses of a reservation on the host, so the direct map is at 0.

use alloc::boxed::Box;
use alloc::vec::Vec;
use std::alloc::{Layout, alloc};

use super::FRAME_SIZE;
use super::frames::Frames;
use super::space::PageTables;
use crate::arch;

/// Where a reservation of `bytes` begins. Pages that are never touched cost nothing; it is never
/// freed.
pub(super) fn reserve(bytes: usize) -> u64 {
    let layout = Layout::from_size_align(bytes, FRAME_SIZE).unwrap();
    // SAFETY: the size is not 0.
    let at = unsafe { alloc(layout) };
    assert!(!at.is_null());
    at.expose_provenance() as u64
}

/// An allocator of one region.
pub(super) fn frames(count: usize) -> &'static Frames {
    let start = reserve(count * FRAME_SIZE);
    frames_of(&[(start, start + (count * FRAME_SIZE) as u64)])
}

/// An allocator of these regions of reservations.
pub(super) fn frames_of(regions: &[(u64, u64)]) -> &'static Frames {
    let frames = Box::leak(Box::new(Frames::new()));
    frames.init(regions, 0);
    frames
}

/// Page tables, empty.
pub(super) fn tables(frames: &'static Frames) -> PageTables {
    PageTables::with_empty_root(0, frames)
}

/// Numbers without an order to them, the same each time.
pub(crate) fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

/// Runs `f` in that many threads, each told its number.
pub(crate) fn in_threads<R: Send>(count: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let f = &f;
        let run = move |i| {
            arch::become_cpu(i);
            f(i)
        };
        let threads: Vec<_> = (0..count).map(|i| scope.spawn(move || run(i))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

//! Host tests of the frame allocator.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::super::fixture;
use super::{Frames, LOW_MEMORY_END, Urgency, gather};
use crate::mem::FRAME_SIZE;

fn everything(frames: &Frames) -> Vec<u64> {
    core::iter::from_fn(|| frames.alloc(Urgency::Dying)).collect()
}

fn spans(given: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (regions, len) = gather(given);
    let span = |r: &super::Region| (r.first * 4096, (r.first + u64::from(r.count)) * 4096);
    regions[..len].iter().map(span).collect()
}

#[test]
fn regions_are_whole_frames_sorted_and_joined() {
    let given = [
        (0x50_0000, 0x60_0000),
        (0x0, 0x9_f000),        // low
        (0x8_0000, 0x20_0000),  // half low
        (0x30_0001, 0x30_2fff), // one whole frame
        (0x60_0000, 0x70_0000), // touches the first
        (0x55_0000, 0x65_0000), // overlaps both
        (0x80_0000, 0x80_0fff), // none
        (0x90_0000, 0x80_0000), // upside down
    ];
    let want = [
        (LOW_MEMORY_END, 0x20_0000),
        (0x30_1000, 0x30_2000),
        (0x50_0000, 0x70_0000),
    ];
    assert_eq!(spans(&given), want);
}

#[test]
fn too_many_regions_lose_the_smallest() {
    let region = |i: u64| {
        let start = (i + 1) << 24;
        (start, start + (i + 1) * 4096)
    };
    let given: Vec<_> = (0..100).map(region).collect();
    let want: Vec<_> = (36..100).map(region).collect();
    assert_eq!(spans(&given), want);
}

#[test]
fn each_frame_is_given_once_and_none_from_the_holes() {
    let start = fixture::reserve(400 * FRAME_SIZE);
    let at = |frame: u64| start + frame * FRAME_SIZE as u64;
    let frames = fixture::frames_of(&[(at(300), at(400)), (at(0), at(50)), (at(100), at(250))]);
    assert_eq!(frames.total(), 299);
    assert_eq!(frames.table_frames(), 1);
    let taken = everything(frames);
    let distinct: BTreeSet<_> = taken.iter().copied().collect();
    // The table is the first frame of the largest region.
    let want: BTreeSet<_> = (0..50).chain(101..250).chain(300..400).map(at).collect();
    assert_eq!(taken.len(), 299);
    assert_eq!(distinct, want);
    assert_eq!(frames.free_count(), 0);
    taken.iter().for_each(|&pa| frames.free(pa));
    assert_eq!(frames.free_count(), 299);
    assert_eq!(
        everything(frames).into_iter().collect::<BTreeSet<_>>(),
        want
    );
}

#[test]
fn the_reserve_is_for_the_urgent() {
    let frames = fixture::frames(1281);
    let count = |urgency| core::iter::from_fn(|| frames.alloc(urgency)).count();
    assert_eq!(frames.total(), 1279);
    assert_eq!(frames.available(), 1279 - 78);
    assert_eq!(count(Urgency::Ordinary), 1279 - 78);
    assert_eq!(frames.available(), 0);
    assert_eq!(count(Urgency::Ordinary), 0);
    assert_eq!(count(Urgency::Fault), 39);
    assert_eq!(count(Urgency::Dying), 39);
    assert_eq!(frames.alloc(Urgency::Dying), None);
}

#[test]
fn eight_gibibytes_touch_only_the_table() {
    let start = fixture::reserve(16 << 20);
    let frames = fixture::frames_of(&[(start, start + (8 << 30))]);
    assert_eq!(frames.table_frames(), 2048);
    assert_eq!(frames.total(), (2 << 20) - 2048);
    let first = frames.alloc(Urgency::Ordinary);
    assert_eq!(first, Some(start + (8 << 20)));
    first.into_iter().for_each(|pa| frames.free(pa));
    assert_eq!(
        frames.alloc(Urgency::Ordinary),
        first,
        "a freed frame is warm: it goes first"
    );
}

#[test]
#[should_panic(expected = "freed twice")]
fn freeing_twice_is_caught() {
    let frames = fixture::frames(64);
    let pa = frames.alloc(Urgency::Ordinary).unwrap();
    frames.free(pa);
    frames.free(pa);
}

#[test]
#[should_panic(expected = "is not a frame")]
fn freeing_what_is_no_frame_is_caught() {
    fixture::frames(64).free(0x1000);
}

#[test]
fn nothing_before_init() {
    assert_eq!(Frames::new().alloc(Urgency::Dying), None);
}

#[test]
fn threads_never_share_a_frame() {
    // Few frames for many hands: the stack runs empty all the time.
    let frames = fixture::frames(64);
    let total = frames.total();
    fixture::in_threads(4, |id| {
        let mut random = fixture::random(id as u64 + 7);
        let mut mine = Vec::new();
        for round in 0..200_000_u64 {
            let stamp = round << 8 | id as u64;
            if mine.len() < 24 && random(2) == 0 {
                if let Some(pa) = frames.alloc(Urgency::Dying) {
                    // SAFETY: the frame is ours, and is memory of the host.
                    unsafe {
                        core::ptr::with_exposed_provenance_mut::<u64>(pa as usize).write(stamp)
                    };
                    mine.push((pa, stamp));
                }
            } else if !mine.is_empty() {
                let (pa, stamp) = mine.swap_remove(random(mine.len()));
                // SAFETY: as above.
                let found =
                    unsafe { core::ptr::with_exposed_provenance::<u64>(pa as usize).read() };
                assert_eq!(found, stamp);
                frames.free(pa);
            }
        }
        mine.iter().for_each(|&(pa, _)| frames.free(pa));
    });
    assert_eq!(frames.free_count(), total);
    assert_eq!(
        everything(frames)
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        total
    );
}

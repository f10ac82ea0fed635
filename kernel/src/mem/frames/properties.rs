//! Properties of the frame allocator: against a set of the frames that nobody has.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{LOW_MEMORY_END, Urgency, gather};
use crate::base::properties::properties;
use crate::mem::FRAME_SIZE;
use crate::mem::fixture;

#[derive(Clone, Copy, Debug)]
enum Op {
    Alloc(Urgency),
    /// Frees one of those held.
    Free(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let urgency = prop_oneof![
        4 => Just(Urgency::Ordinary),
        1 => Just(Urgency::Fault),
        1 => Just(Urgency::Dying),
    ];
    prop_oneof![
        3 => urgency.prop_map(Op::Alloc),
        2 => any::<usize>().prop_map(Op::Free),
    ]
}

/// Runs of frames and of holes between them.
fn runs() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((1..40_usize, 0..8_usize), 1..6)
}

proptest! {
    #![proptest_config(properties(200))]

    /// Memory of any shape, and any order of taking and giving back: each frame that is given out
    /// is one that nobody has, lies in no hole, and the last ones are kept for the urgent.
    #[test]
    fn frames_are_a_set(runs in runs(), ops in proptest::collection::vec(op(), 1..200)) {
        let all: usize = runs.iter().map(|(frames, hole)| frames + hole).sum();
        let start = fixture::reserve(all * FRAME_SIZE);
        let mut at = start;
        let mut regions = Vec::new();
        for (count, hole) in &runs {
            let end = at + (count * FRAME_SIZE) as u64;
            regions.push((at, end));
            at = end + (hole * FRAME_SIZE) as u64;
        }
        let frame_numbers = regions.iter().flat_map(|(from, to)| (*from..*to).step_by(FRAME_SIZE));
        let given: BTreeSet<u64> = frame_numbers.collect();
        prop_assume!(regions.iter().any(|(from, to)| to - from > FRAME_SIZE as u64));
        let frames = fixture::frames_of(&regions);
        let total = given.len() - frames.table_frames();
        prop_assert_eq!(frames.total(), total);
        let reserve = (total / 32).max(1);
        let mut free = total;
        let mut held = Vec::new();
        for op in ops {
            match op {
                Op::Alloc(urgency) => {
                    let floor = match urgency {
                        Urgency::Ordinary => 2 * reserve,
                        Urgency::Fault => reserve,
                        Urgency::Dying => 0,
                    };
                    let got = frames.alloc(urgency);
                    prop_assert_eq!(got.is_some(), free > floor);
                    if let Some(pa) = got {
                        prop_assert!(given.contains(&pa), "a frame of a hole");
                        prop_assert!(!held.contains(&pa), "a frame that somebody has");
                        held.push(pa);
                        free -= 1;
                    }
                }
                Op::Free(which) if !held.is_empty() => {
                    frames.free(held.swap_remove(which % held.len()));
                    free += 1;
                }
                Op::Free(_) => {}
            }
            prop_assert_eq!(frames.free_count(), free);
            prop_assert_eq!(frames.available(), free.saturating_sub(2 * reserve));
        }
    }

    /// Regions of any kind, as firmware may report them: what comes out is every whole frame of
    /// them above low memory, once, in order, and joined.
    #[test]
    fn regions_are_the_union_of_what_was_given(
        given in proptest::collection::vec((0..0x40_0000_u64, 0..0x4_0000_u64), 0..12)
    ) {
        let given: Vec<_> = given.into_iter().map(|(start, len)| (start, start + len)).collect();
        let mut expected = BTreeSet::new();
        for &(start, end) in &given {
            let first = start.max(LOW_MEMORY_END).div_ceil(FRAME_SIZE as u64);
            expected.extend(first..end / FRAME_SIZE as u64);
        }
        let (regions, len) = gather(&given);
        let mut found = Vec::new();
        for (i, region) in regions[..len].iter().enumerate() {
            prop_assert!(region.count > 0);
            let next = region.first + u64::from(region.count);
            prop_assert!(regions[i + 1..len].first().is_none_or(|after| next < after.first));
            found.extend(region.first..next);
        }
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

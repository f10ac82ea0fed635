//! Properties of the heap's memory: against a map of the living blocks, with balloons taken out
//! amid it. It does not grow here, which takes the kernel's page tables.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use linked_list_allocator::Heap as HoleList;
use proptest::prelude::*;

use super::{FRAME_SIZE, MIN_BALLOON, Spans};
use crate::base::properties::properties;
use crate::mem::HEAP;
use crate::mem::fixture;

const BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// As slabs and other parts of the heap.
    Alloc(usize, u32),
    /// With a header.
    AllocLarge(usize, u32),
    Free(usize),
    Balloon(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (1..0x4000_usize, 0..13_u32).prop_map(|(size, log)| Op::Alloc(size, log)),
        4 => (1..0x8000_usize, 0..13_u32).prop_map(|(size, log)| Op::AllocLarge(size, log)),
        5 => any::<usize>().prop_map(Op::Free),
        1 => (MIN_BALLOON..BYTES / 4).prop_map(Op::Balloon),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Large,
    /// Taken out for good.
    Balloon,
}

struct Living {
    layout: Layout,
    kind: Kind,
    stamp: u8,
}

fn bytes<'a>(start: usize, layout: Layout) -> &'a [u8] {
    let at = core::ptr::with_exposed_provenance::<u8>(start);
    // SAFETY: a living block, which was written.
    unsafe { core::slice::from_raw_parts(at, layout.size()) }
}

/// Frees what lives; how many bytes are in balloons.
fn free_all(spans: &mut Spans, living: BTreeMap<usize, Living>) -> usize {
    let mut ballooned = 0;
    for (
        start,
        Living {
            layout,
            kind,
            stamp,
        },
    ) in living
    {
        assert!(bytes(start, layout).iter().all(|byte| *byte == stamp));
        let block = NonNull::new(core::ptr::with_exposed_provenance_mut(start)).unwrap();
        // SAFETY: as above.
        unsafe {
            match kind {
                Kind::Large => spans.free_large(block, layout),
                Kind::Plain => spans.free(block, layout),
                Kind::Balloon => ballooned += layout.size(),
            }
        }
    }
    ballooned
}

proptest! {
    #![proptest_config(properties(150))]

    /// Living blocks and balloons never overlap, are aligned, and keep what was written, header or
    /// not; the large ones are listed; and once all is freed, all is one hole again but for the
    /// balloons.
    #[test]
    fn blocks_are_apart_and_keep_their_contents(ops in proptest::collection::vec(op(), 1..150)) {
        let bottom = core::ptr::with_exposed_provenance_mut(fixture::reserve(BYTES) as usize);
        let mut spans = Spans::new();
        // SAFETY: the memory is ours for ever.
        spans.holes = unsafe { HoleList::new(bottom, BYTES) };
        spans.end = HEAP + BYTES;
        let all = spans.holes.free();
        let mut living: BTreeMap<usize, Living> = BTreeMap::new();
        for (stamp, op) in ops.into_iter().enumerate() {
            let stamp = stamp as u8;
            let (block, layout, kind) = match op {
                Op::Alloc(size, log) => {
                    let layout = Layout::from_size_align(size, 1 << log).unwrap();
                    (spans.alloc(layout), layout, Kind::Plain)
                }
                Op::AllocLarge(size, log) => {
                    let layout = Layout::from_size_align(size, 1 << log).unwrap();
                    (spans.alloc_large(layout), layout, Kind::Large)
                }
                Op::Balloon(size) => {
                    let mut size = size;
                    let hole = spans.take_hole(&mut size, 0);
                    let layout = Layout::from_size_align(size, FRAME_SIZE).unwrap();
                    let start = hole.clone().and_then(|hole| {
                        NonNull::new(core::ptr::with_exposed_provenance_mut(hole.start))
                    });
                    if let Some(hole) = hole {
                        prop_assert_eq!(hole.len(), size);
                        spans.add_balloon(hole);
                    }
                    (start, layout, Kind::Balloon)
                }
                Op::Free(which) => {
                    let mut usable = living.iter().filter(|(_, one)| one.kind != Kind::Balloon);
                    let count = usable.clone().count();
                    let Some((&start, _)) = usable.nth(which % count.max(1)) else { continue };
                    let Living { layout, kind, stamp } = living.remove(&start).unwrap();
                    prop_assert!(bytes(start, layout).iter().all(|byte| *byte == stamp));
                    let block = NonNull::new(core::ptr::with_exposed_provenance_mut(start));
                    // SAFETY: it came from there with this layout.
                    unsafe {
                        match kind {
                            Kind::Large => spans.free_large(block.unwrap(), layout),
                            _ => spans.free(block.unwrap(), layout),
                        }
                    }
                    continue;
                }
            };
            let Some(block) = block else { continue };
            let start = block.addr().get();
            prop_assert!(start.is_multiple_of(layout.align()));
            let before = living.range(..start + layout.size()).next_back();
            prop_assert!(before.is_none_or(|(at, one)| at + one.layout.size() <= start));
            // SAFETY: ours.
            unsafe { block.write_bytes(stamp, layout.size()) };
            living.insert(start, Living { layout, kind, stamp });
            let mut listed = Vec::new();
            spans.large().each(&mut |start, size| listed.push((start, size)));
            listed.sort_unstable();
            let large = living.iter().filter(|(_, one)| one.kind == Kind::Large);
            let large: Vec<_> = large.map(|(at, one)| (*at, one.layout.size())).collect();
            prop_assert_eq!(listed, large);
        }
        let ballooned = free_all(&mut spans, living);
        prop_assert_eq!((spans.holes.free(), spans.ballooned), (all - ballooned, ballooned));
    }
}

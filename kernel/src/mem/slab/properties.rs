//! Properties of small blocks: against a map of the living ones, on several CPUs' magazines and of
//! several classes at once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use proptest::prelude::*;

use super::super::magazine::Magazines;
use super::{CLASSES, Central, Class, LARGEST, SLAB_SIZE};
use crate::base::properties::properties;

const CPUS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// So many blocks, on one CPU.
    Alloc {
        cpu: usize,
        size: usize,
        align: usize,
        count: usize,
    },
    /// So many of the living, on another one it may be.
    Free {
        cpu: usize,
        which: usize,
        count: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let alloc = (0..CPUS, 0..=LARGEST, 0..8_u32, 1..200_usize);
    let free = (0..CPUS, any::<usize>(), 1..300_usize);
    prop_oneof![
        alloc.prop_map(|(cpu, size, log, count)| Op::Alloc {
            cpu,
            size,
            align: 1 << log,
            count
        }),
        free.prop_map(|(cpu, which, count)| Op::Free { cpu, which, count }),
    ]
}

struct Living {
    class: Class,
    stamp: u8,
}

/// The layers of `heap` below its locks: one thread plays all CPUs.
struct Heap {
    magazines: [Magazines; CPUS],
    centrals: [Central; CLASSES],
    /// Slabs that the centrals have.
    slabs: Vec<NonNull<u8>>,
}

const SLAB: Layout = match Layout::from_size_align(SLAB_SIZE, SLAB_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

impl Heap {
    fn new() -> Self {
        Self {
            magazines: core::array::from_fn(|_| Magazines::new()),
            centrals: core::array::from_fn(|i| Central::new(Class::from_index(i))),
            slabs: Vec::new(),
        }
    }

    fn alloc(&mut self, cpu: usize, class: Class) -> NonNull<u8> {
        // SAFETY: one thread has all magazines.
        if let Some(block) = unsafe { self.magazines[cpu].pop(class) } {
            return block;
        }
        let central = &mut self.centrals[class.index()];
        let mut chain = central.take(class.batch());
        if chain.len() == 0 {
            // SAFETY: the size is not 0.
            let slab = NonNull::new(unsafe { std::alloc::alloc(SLAB) }).unwrap();
            self.slabs.push(slab);
            // SAFETY: the memory is new.
            unsafe { central.add(slab) };
            chain = central.take(class.batch());
        }
        let first = chain.pop().unwrap();
        while let Some(block) = chain.pop() {
            // SAFETY: as above, and the block is free.
            assert!(unsafe { self.magazines[cpu].push(class, block) }.is_none());
        }
        first
    }

    fn free(&mut self, cpu: usize, class: Class, block: NonNull<u8>) {
        // SAFETY: as above; the block is no longer used.
        let Some(mut surplus) = (unsafe { self.magazines[cpu].push(class, block) }) else {
            return;
        };
        while let Some(slab) = self.centrals[class.index()].give(&mut surplus) {
            let at = self.slabs.iter().position(|known| *known == slab);
            self.slabs.swap_remove(at.expect("a slab that was given"));
            // SAFETY: allocated above, and no block of it is out.
            unsafe { std::alloc::dealloc(slab.as_ptr(), SLAB) };
        }
    }
}

proptest! {
    #![proptest_config(properties(100))]

    /// Living blocks never overlap, lie in a slab of their class, are aligned as asked, and keep
    /// what was written; a slab that goes back has none of them.
    #[test]
    fn blocks_are_apart_and_keep_their_contents(ops in proptest::collection::vec(op(), 1..40)) {
        let mut heap = Heap::new();
        let mut living: BTreeMap<usize, Living> = BTreeMap::new();
        let mut stamp = 0_u8;
        for op in ops {
            match op {
                Op::Alloc { cpu, size, align, count } => {
                    let Some(class) = Class::of(Layout::from_size_align(size, align).unwrap())
                    else { continue };
                    prop_assert!(class.size() >= size);
                    for _ in 0..count {
                        let block = heap.alloc(cpu, class);
                        let start = block.addr().get();
                        let end = start + class.size();
                        prop_assert!(start.is_multiple_of(align));
                        let before = living.range(..end).next_back();
                        prop_assert!(before.is_none_or(|(at, b)| at + b.class.size() <= start));
                        let slab = start & !(SLAB_SIZE - 1);
                        // SAFETY: a slab's first bytes say what it is.
                        prop_assert_eq!(unsafe { Class::of_slab(slab) }, Some(class));
                        prop_assert_eq!(class.block_at(start - slab), Some(start - slab));
                        stamp = stamp.wrapping_add(1);
                        // SAFETY: the block is ours.
                        unsafe { block.write_bytes(stamp, class.size()) };
                        living.insert(start, Living { class, stamp });
                    }
                }
                Op::Free { cpu, which, count } => {
                    for i in 0..count {
                        let place = which.wrapping_add(i * 7) % living.len().max(1);
                        let Some(start) = living.keys().nth(place).copied() else { break };
                        let Living { class, stamp } = living.remove(&start).unwrap();
                        let block = core::ptr::with_exposed_provenance_mut::<u8>(start);
                        // SAFETY: ours, and written.
                        let bytes = unsafe { core::slice::from_raw_parts(block, class.size()) };
                        prop_assert!(bytes.iter().all(|byte| *byte == stamp));
                        heap.free(cpu, class, NonNull::new(block).unwrap());
                    }
                }
            }
        }
        for (start, Living { class, stamp }) in living {
            let block = core::ptr::with_exposed_provenance_mut::<u8>(start);
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(block, class.size()) };
            prop_assert!(bytes.iter().all(|byte| *byte == stamp));
        }
        for slab in heap.slabs {
            // SAFETY: allocated by `Heap::alloc`, and nobody uses it any more.
            unsafe { std::alloc::dealloc(slab.as_ptr(), SLAB) };
        }
    }
}

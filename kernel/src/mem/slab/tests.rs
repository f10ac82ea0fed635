//! Host tests of size classes, slabs and magazines.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use super::super::fixture;
use super::super::magazine::Magazines;
use super::{CLASSES, Central, Class, LARGEST, SLAB_SIZE};

#[test]
fn the_classes_grow_by_at_most_a_quarter() {
    let sizes: Vec<_> = Class::all().map(Class::size).collect();
    assert_eq!(sizes.len(), CLASSES);
    assert_eq!(sizes[..10], [16, 32, 48, 64, 80, 96, 112, 128, 160, 192]);
    assert_eq!(sizes[CLASSES - 1], LARGEST);
    for pair in sizes.windows(2) {
        assert!(pair[0] < pair[1] && (pair[0] < 128 || pair[1] - pair[0] <= pair[0] / 4));
    }
}

#[test]
fn every_layout_gets_the_smallest_class_that_fits() {
    for align in (0..=11).map(|log| 1 << log) {
        for size in 0..=LARGEST {
            let layout = Layout::from_size_align(size, align).unwrap();
            let class = Class::of(layout).unwrap();
            let fits = |class: &Class| class.size() >= size && class.size().is_multiple_of(align);
            assert_eq!(Class::all().find(fits), Some(class), "{layout:?}");
        }
    }
    assert_eq!(
        Class::of(Layout::from_size_align(LARGEST + 1, 1).unwrap()),
        None
    );
    assert_eq!(Class::of(Layout::from_size_align(1, 4096).unwrap()), None);
}

#[test]
fn slabs_hold_aligned_blocks_and_waste_little() {
    for class in Class::all() {
        let align = 1 << class.size().trailing_zeros();
        assert!(class.first_offset().is_multiple_of(align));
        assert!(class.first_offset() + class.blocks() * class.size() <= SLAB_SIZE);
        assert!(
            class.blocks() * class.size() >= SLAB_SIZE * 7 / 8,
            "{class:?}"
        );
    }
}

fn slab() -> NonNull<u8> {
    let layout = Layout::from_size_align(SLAB_SIZE, SLAB_SIZE).unwrap();
    // SAFETY: the size is not 0.
    NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap()
}

/// A heap of one class on one CPU that counts its slabs.
struct Single {
    class: Class,
    central: Central,
    magazines: Magazines,
    slabs: usize,
}

impl Single {
    fn new(class: Class) -> Self {
        Self {
            class,
            central: Central::new(class),
            magazines: Magazines::new(),
            slabs: 0,
        }
    }

    fn alloc(&mut self) -> NonNull<u8> {
        // SAFETY: this thread alone has the magazines.
        if let Some(block) = unsafe { self.magazines.pop(self.class) } {
            return block;
        }
        let mut chain = self.central.take(self.class.batch());
        if chain.len() == 0 {
            self.slabs += 1;
            // SAFETY: the memory is new.
            unsafe { self.central.add(slab()) };
            chain = self.central.take(self.class.batch());
        }
        let first = chain.pop().unwrap();
        while let Some(block) = chain.pop() {
            // SAFETY: the block is free.
            assert!(unsafe { self.magazines.push(self.class, block) }.is_none());
        }
        first
    }

    fn free(&mut self, block: NonNull<u8>) {
        // SAFETY: the tests free what they allocated, once.
        if let Some(mut surplus) = unsafe { self.magazines.push(self.class, block) } {
            assert_eq!(surplus.len(), self.class.batch());
            while self.central.give(&mut surplus).is_some() {
                self.slabs -= 1;
            }
        }
    }
}

#[test]
fn blocks_do_not_overlap_and_slabs_come_back() {
    for class in Class::all() {
        let mut heap = Single::new(class);
        let mut random = fixture::random(class.index() as u64 + 1);
        let mut held: Vec<(NonNull<u8>, u8)> = Vec::new();
        for round in 0..20_000 {
            // Up, then down, then up again.
            let up = if round / 5000 % 2 == 0 { 3 } else { 1 };
            if held.is_empty() || random(4) < up {
                let (block, stamp) = (heap.alloc(), random(256) as u8);
                // SAFETY: the block is ours.
                unsafe { block.write_bytes(stamp, class.size()) };
                held.push((block, stamp));
            } else {
                let (block, stamp) = held.swap_remove(random(held.len()));
                // SAFETY: the block is ours and was written.
                let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), class.size()) };
                assert!(bytes.iter().all(|&byte| byte == stamp));
                heap.free(block);
            }
        }
        let all = heap.slabs * class.blocks() * class.size();
        let accounted =
            heap.central.free_bytes() + heap.magazines.bytes() + held.len() * class.size();
        assert_eq!(accounted, all);
        held.into_iter().for_each(|(block, _)| heap.free(block));
        // One slab is kept, and what the magazine holds keeps at most as many as it has blocks.
        let cached = heap.magazines.bytes() / class.size();
        assert!(cached < 2 * class.batch() as usize);
        assert!(
            heap.slabs <= 1 + cached,
            "{} slabs for {cached} blocks",
            heap.slabs
        );
    }
}

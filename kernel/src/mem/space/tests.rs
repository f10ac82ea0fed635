//! Host tests of the page tables.

use alloc::vec::Vec;

use super::super::fixture;
use super::{AtomicU64, MapError, Mapping, Ordering, PageTableFlags, PageTables, Rights};
use crate::mem::frames::Urgency;
use crate::mem::{FRAME_SIZE, HEAP, STACKS};

fn map(tables: &PageTables, va: usize, pa: u64, rights: Rights) -> Result<(), MapError> {
    tables.map(va, pa, rights, Urgency::Fault)
}

#[test]
fn what_is_mapped_is_found_and_unmapped_once() {
    let frames = fixture::frames(64);
    let tables = fixture::tables(frames);
    let free = frames.free_count();
    assert_eq!(tables.translate(HEAP), None);
    assert_eq!(tables.unmap(HEAP), None);
    assert_eq!(map(&tables, HEAP, 0x1234_5000, Rights::RW), Ok(()));
    assert_eq!(frames.free_count(), free - 3, "three tables");
    assert_eq!(tables.translate(HEAP + 0x678), Some(0x1234_5678));
    assert_eq!(tables.translate(HEAP + FRAME_SIZE), None);
    assert_eq!(
        map(&tables, HEAP, 0x9000, Rights::R),
        Err(MapError::AlreadyMapped)
    );
    assert_eq!(tables.unmap(HEAP), Some(0x1234_5000));
    assert_eq!(tables.unmap(HEAP), None);
    assert_eq!(map(&tables, HEAP, 0x9000, Rights::R), Ok(()));
    assert_eq!(frames.free_count(), free - 3, "tables stay");
}

#[test]
fn a_failed_mapping_keeps_no_frame() {
    let frames = fixture::frames(64);
    let tables = fixture::tables(frames);
    while frames.free_count() > 2 {
        frames.alloc(Urgency::Dying).unwrap();
    }
    let result = tables.map_new(HEAP, Rights::RW, Urgency::Dying);
    assert_eq!(result, Err(MapError::NoMemory));
    assert_eq!(frames.free_count(), 1, "one table was made and stays");
    assert_eq!(tables.translate(HEAP), None);
}

fn range(start: usize, pages: usize, writable: bool, executable: bool) -> Mapping {
    Mapping {
        start,
        last: start + pages * FRAME_SIZE - 1,
        writable,
        executable,
    }
}

#[test]
fn the_audit_sees_all_and_joins_neighbours() {
    let tables = fixture::tables(fixture::frames(256));
    // Across the edge of a table, with the rights changing once.
    let edge = HEAP + (2 << 20);
    for i in 0..10 {
        let rights = if i < 7 { Rights::RW } else { Rights::R };
        map(
            &tables,
            edge - 4 * FRAME_SIZE + i * FRAME_SIZE,
            0x10_0000,
            rights,
        )
        .unwrap();
    }
    map(&tables, STACKS, 0x10_0000, Rights::RW).unwrap();
    let top = 0usize.wrapping_sub(FRAME_SIZE);
    map(&tables, top, 0x10_0000, Rights::RX).unwrap();
    map(&tables, 0, 0x10_0000, Rights::R).unwrap();
    let low_end = (1 << 47) - FRAME_SIZE;
    map(&tables, low_end, 0x10_0000, Rights::R).unwrap();
    map(&tables, 0xffff_8000_0000_0000, 0x10_0000, Rights::R).unwrap();
    let found: Vec<_> = tables.mappings().collect();
    let want = [
        range(0, 1, false, false),
        range(low_end, 1, false, false),
        range(0xffff_8000_0000_0000, 1, false, false),
        range(STACKS, 1, true, false),
        range(edge - 4 * FRAME_SIZE, 7, true, false),
        range(edge + 3 * FRAME_SIZE, 3, false, false),
        Mapping {
            start: top,
            last: usize::MAX,
            writable: false,
            executable: true,
        },
    ];
    assert_eq!(found, want);
}

#[test]
fn large_pages_are_read_and_left_alone() {
    let tables = fixture::tables(fixture::frames(64));
    let va = 0xffff_8000_0020_0000;
    // What a boot stage may have made: a large page where level 2 begins.
    map(&tables, va - FRAME_SIZE, 0x1000, Rights::RX).unwrap();
    let mut table = tables.root;
    for level in [4, 3] {
        table = tables
            .entry(table, va as u64, level)
            .load(Ordering::Relaxed)
            & super::ADDRESS_MASK;
    }
    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::HUGE_PAGE;
    let entry: &AtomicU64 = tables.entry(table, va as u64, 2);
    entry.store(0x4020_0000 | flags.bits(), Ordering::Relaxed);
    assert_eq!(tables.translate(va + 0x12_3456), Some(0x4032_3456));
    assert_eq!(
        map(&tables, va + 0x1000, 0x5000, Rights::R),
        Err(MapError::AlreadyMapped)
    );
    assert_eq!(tables.unmap(va + 0x1000), None);
    let found: Vec<_> = tables.mappings().collect();
    assert_eq!(
        found,
        [
            range(va - FRAME_SIZE, 1, false, true),
            range(va, 512, true, true)
        ]
    );
}

#[test]
fn threads_that_map_at_once_agree_on_the_tables() {
    let frames = fixture::frames(8192);
    let tables = fixture::tables(frames);
    let free = frames.free_count();
    let pages = 2048; // of 4 tables
    let mapped: usize = fixture::in_threads(4, |id| {
        let mut random = fixture::random(id as u64 + 3);
        let mut order: Vec<_> = (0..pages).collect();
        for i in (1..pages).rev() {
            order.swap(i, random(i + 1));
        }
        let va = |page: usize| STACKS + page * FRAME_SIZE;
        let map = |page: &usize| {
            tables
                .map_new(va(*page), Rights::RW, Urgency::Ordinary)
                .is_ok()
        };
        order.iter().filter(|page| map(page)).count()
    })
    .into_iter()
    .sum();
    assert_eq!(mapped, pages);
    assert_eq!(
        frames.free_count(),
        free - pages - 2 - 4,
        "the losers' frames and tables came back"
    );
    let found: Vec<_> = tables.mappings().collect();
    assert_eq!(found, [range(STACKS, pages, true, false)]);
}

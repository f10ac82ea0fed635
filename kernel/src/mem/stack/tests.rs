//! Host tests of goroutine stacks: slots, lists, page tables; nobody runs on them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::super::fixture;
use super::{DEFAULT_SIZE, GUARD_SIZE, GrowResult, Reclaim, SLOT_SIZE, Stack, Stacks, order_of};
use crate::mem::frames::{Frames, Urgency};
use crate::mem::space::PageTables;
use crate::mem::{FRAME_SIZE, STACKS};

/// Stacks with their own memory; only the side table is real.
struct World {
    stacks: Stacks,
    tables: PageTables,
    frames: &'static Frames,
}

impl World {
    fn new(frames: usize) -> Self {
        crate::arch::become_cpu(0);
        let frames = fixture::frames(frames);
        let records = fixture::reserve(1 << 20) as usize;
        Self {
            stacks: Stacks::new(STACKS, records),
            tables: fixture::tables(frames),
            frames,
        }
    }

    fn alloc(&self, size: usize) -> Option<Stack> {
        self.stacks.alloc(&self.tables, order_of(size)?)
    }

    fn grow(&self, addr: usize, stack: Stack) -> GrowResult {
        self.stacks.grow(&self.tables, addr, stack)
    }

    fn grow_pages(&self, stack: Stack, pages: usize) {
        for page in 2..2 + pages {
            assert_eq!(
                self.grow(stack.hi - page * FRAME_SIZE + 8, stack),
                GrowResult::Mapped
            );
        }
    }

    fn mapped_pages(&self, stack: Stack) -> usize {
        let pages = (stack.lo - GUARD_SIZE..stack.hi).step_by(FRAME_SIZE);
        pages
            .filter(|&page| self.tables.translate(page).is_some())
            .count()
    }
}

#[test]
fn a_new_stack_has_its_first_frame() {
    let world = World::new(64);
    let stack = world.alloc(DEFAULT_SIZE).unwrap();
    assert_eq!(stack.hi - stack.lo, DEFAULT_SIZE);
    assert!(stack.hi.is_multiple_of(SLOT_SIZE));
    assert_eq!(world.mapped_pages(stack), 1);
    assert!(world.tables.translate(stack.hi - 1).is_some());
}

#[test]
fn growth_stops_at_the_guard() {
    let world = World::new(256);
    let (below, stack) = (world.alloc(1).unwrap(), world.alloc(1).unwrap());
    assert_eq!(below.hi, stack.lo - GUARD_SIZE);
    assert_eq!(world.grow(stack.lo, stack), GrowResult::Mapped);
    assert_eq!(
        world.grow(stack.lo + 8, stack),
        GrowResult::Mapped,
        "as if another CPU had it"
    );
    assert_eq!(world.grow(stack.lo - 1, stack), GrowResult::Guard);
    assert_eq!(world.grow(stack.lo - GUARD_SIZE, stack), GrowResult::Guard);
    assert_eq!(
        world.grow(stack.lo - GUARD_SIZE - 1, stack),
        GrowResult::NotAStack
    );
    assert_eq!(world.grow(stack.hi, stack), GrowResult::NotAStack);
    let foreign = Stack {
        lo: 0xffff_b000_0000_1000,
        hi: 0xffff_b000_0000_5000,
    };
    assert_eq!(world.grow(foreign.lo, foreign), GrowResult::NotAStack);
    world.grow_pages(stack, SLOT_SIZE / FRAME_SIZE - 3);
    assert_eq!(world.mapped_pages(stack), SLOT_SIZE / FRAME_SIZE - 1);
    assert_eq!(world.mapped_pages(below), 1);
}

#[test]
fn sizes_are_promises() {
    let world = World::new(4096);
    for size in [
        1,
        DEFAULT_SIZE,
        DEFAULT_SIZE + 1,
        1 << 20,
        100 << 20,
        (16 << 30) - GUARD_SIZE,
    ] {
        let stack = world.alloc(size).unwrap();
        assert!(stack.hi - stack.lo >= size);
        assert_eq!(world.mapped_pages_near_top(stack), 1);
        world.stacks.free(stack);
    }
    assert!(world.alloc(16 << 30).is_none());
    assert!(world.alloc(usize::MAX).is_none());
}

impl World {
    fn mapped_pages_near_top(&self, stack: Stack) -> usize {
        let pages = (stack.hi - 64 * FRAME_SIZE..stack.hi).step_by(FRAME_SIZE);
        pages
            .filter(|&page| self.tables.translate(page).is_some())
            .count()
    }
}

#[test]
fn free_stacks_are_reused_the_fullest_first() {
    let world = World::new(256);
    let [a, b, c] = [(); 3].map(|()| world.alloc(1).unwrap());
    world.grow_pages(b, 3);
    for stack in [a, b, c] {
        world.stacks.free(stack);
    }
    let free = world.frames.free_count();
    let order: Vec<_> = (0..3).map(|_| world.alloc(1).unwrap().lo).collect();
    assert_eq!(order, [b.lo, c.lo, a.lo]);
    assert_eq!(world.mapped_pages(b), 4, "and as they were");
    assert_eq!(world.frames.free_count(), free);
}

#[test]
#[should_panic(expected = "freed twice")]
fn freeing_twice_is_caught() {
    let world = World::new(64);
    let stack = world.alloc(1).unwrap();
    world.stacks.free(stack);
    world.stacks.free(stack);
}

#[test]
fn shrinking_keeps_what_is_in_use() {
    let world = World::new(256);
    let stack = world.alloc(1).unwrap();
    world.grow_pages(stack, 9);
    let free = world.frames.free_count();
    // In the fourth page from the top: four stay, six go.
    let unmapped = world
        .stacks
        .shrink(&world.tables, stack, stack.hi - 3 * FRAME_SIZE - 100);
    assert_eq!(unmapped.count(), 6);
    assert_eq!(
        world.frames.free_count(),
        free,
        "not before the TLBs were flushed"
    );
    assert_eq!(unmapped.release(), 6);
    assert_eq!(world.frames.free_count(), free + 6);
    assert_eq!(world.mapped_pages(stack), 4);
    let none = world
        .stacks
        .shrink(&world.tables, stack, stack.hi - 3 * FRAME_SIZE - 100);
    assert_eq!(none.release(), 0);
    let all = world.stacks.shrink(&world.tables, stack, usize::MAX);
    assert_eq!(
        (all.release(), world.mapped_pages(stack)),
        (3, 1),
        "the first page always stays"
    );
}

#[test]
fn reclaiming_flushes_once_before_frames_come_free() {
    let world = World::new(1024);
    let stacks: Vec<_> = (0..20).map(|_| world.alloc(1).unwrap()).collect();
    let large = world.alloc(1 << 20).unwrap();
    world.grow_pages(large, 10);
    stacks[..5]
        .iter()
        .for_each(|&stack| world.grow_pages(stack, 4));
    let living = stacks[19];
    world.grow_pages(living, 2);
    stacks[..19]
        .iter()
        .for_each(|&stack| world.stacks.free(stack));
    world.stacks.free(large);
    let free = world.frames.free_count();
    let mut flushes = 0;
    let mut flush = || {
        flushes += 1;
        assert_eq!(world.frames.free_count(), free);
    };
    assert_eq!(
        world
            .stacks
            .reclaim(&world.tables, Reclaim::Grown, &mut flush),
        5 * 4 + 10
    );
    assert_eq!(flushes, 1);
    let count = |what, world: &World| world.stacks.reclaim(&world.tables, what, || ());
    assert_eq!(count(Reclaim::Grown, &world), 0);
    assert_eq!(count(Reclaim::All, &world), 19 + 1);
    assert_eq!(count(Reclaim::All, &world), 0);
    assert_eq!(world.mapped_pages(living), 3);
    let again: BTreeSet<_> = (0..19).map(|_| world.alloc(1).unwrap().lo).collect();
    assert_eq!(again, stacks[..19].iter().map(|stack| stack.lo).collect());
    assert_eq!(world.alloc(1 << 20).unwrap().lo, large.lo);
    assert!(again.iter().all(|&lo| world.mapped_pages(Stack {
        lo,
        hi: lo + DEFAULT_SIZE
    }) == 1));
}

#[test]
fn running_out_is_an_error_that_costs_nothing() {
    let world = World::new(1024);
    let stacks: Vec<_> = core::iter::from_fn(|| world.alloc(1)).collect();
    assert!(stacks.len() > 700);
    assert!(world.alloc(1).is_none());
    let free = world.frames.free_count();
    for _ in 0..100 {
        assert!(world.alloc(1).is_none());
    }
    assert_eq!(world.frames.free_count(), free);
    assert_eq!(
        world.grow(stacks[0].lo, stacks[0]),
        GrowResult::Mapped,
        "growth has a reserve"
    );
    while world.frames.alloc(Urgency::Dying).is_some() {}
    assert_eq!(world.grow(stacks[1].lo, stacks[1]), GrowResult::NoMemory);
    world.stacks.free(stacks[2]);
    assert_eq!(world.alloc(1).map(|stack| stack.lo), Some(stacks[2].lo));
}

#[test]
fn a_hundred_thousand_stacks() {
    let world = World::new(120_000);
    let before = world.frames.free_count();
    let stacks: Vec<_> = (0..100_000).map(|_| world.alloc(1).unwrap()).collect();
    let distinct: BTreeSet<_> = stacks.iter().map(|stack| stack.lo).collect();
    assert_eq!(distinct.len(), stacks.len());
    let used = before - world.frames.free_count();
    assert!(used < 100_000 * 9 / 8 + 400, "{used} frames");
    stacks.iter().for_each(|&stack| world.stacks.free(stack));
    let reclaimed = world.stacks.reclaim(&world.tables, Reclaim::All, || ());
    assert_eq!(reclaimed, 100_000);
}

#[test]
fn threads_never_share_a_stack() {
    let world = World::new(4096);
    let reclaimed: usize = fixture::in_threads(4, |id| {
        let mut random = fixture::random(id as u64 + 11);
        let mut mine: Vec<Stack> = Vec::new();
        let mut reclaimed = 0;
        for round in 0..20_000 {
            match random(8) {
                0..4 if mine.len() < 50 => mine.extend(world.alloc(random(1 << 20))),
                4 if round % 50 == 0 => {
                    reclaimed += world.stacks.reclaim(&world.tables, Reclaim::Grown, || ());
                }
                5 if !mine.is_empty() => {
                    let stack = mine[random(mine.len())];
                    let page = stack.hi - (2 + random(20)) * FRAME_SIZE;
                    let pages = world.mapped_pages_near_top(stack);
                    let was = world.tables.translate(page).is_some();
                    assert_eq!(world.grow(page, stack), GrowResult::Mapped);
                    assert_eq!(
                        world.mapped_pages_near_top(stack),
                        pages + usize::from(!was)
                    );
                }
                _ if !mine.is_empty() => world.stacks.free(mine.swap_remove(random(mine.len()))),
                _ => {}
            }
        }
        mine.into_iter().for_each(|stack| world.stacks.free(stack));
        reclaimed
    })
    .into_iter()
    .sum();
    assert!(reclaimed > 0);
    world.stacks.reclaim(&world.tables, Reclaim::All, || ());
    let left = world.stacks.mapped_frames.load(super::Ordering::Relaxed);
    let slots = world.stacks.lists.lock().fresh as usize;
    assert!(
        left <= (slots * size_of::<super::Record>()).div_ceil(FRAME_SIZE),
        "the side table"
    );
}

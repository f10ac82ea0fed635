//! Goroutine stacks: they grow by page faults, come back, and stay apart.
#![no_std]
#![no_main]

extern crate alloc;

use core::hint::black_box;

use gosched::mem;
use gosched::runtime;
use gosched::sched::g::getg;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};

/// Fills `depth` frames of more than a KiB with values that only this goroutine has, and checks
/// them on the way back.
#[inline(never)]
fn descend(id: u64, depth: u64, at_bottom: &dyn Fn()) -> u64 {
    let frame = black_box([id ^ depth; 64]);
    let below = if depth == 0 {
        at_bottom();
        0
    } else {
        descend(id, depth - 1, at_bottom)
    };
    assert!(
        black_box(frame).iter().all(|&word| word == id ^ depth),
        "a frame was overwritten"
    );
    below + 1
}

/// Tens of pages, most of a default stack.
const DEEP: u64 = 140;

#[gosched::test]
fn deep_recursion_grows_the_stack() {
    let group = WaitGroup::new();
    group.go(|| {
        let far_down = || {
            let local = 0_u64;
            let here = &raw const *black_box(&local) as usize;
            let stack = getg().head.stack.get();
            assert!(
                stack.lo < here && here + 100 * 1024 < stack.hi,
                "{here:#x} is not deep"
            );
        };
        assert_eq!(descend(1, DEEP, &far_down), DEEP + 1);
    });
    group.wait();
}

/// Many goroutines deep at once, yielding at the bottom so that they change CPUs: no stack reaches
/// into another, and pages mapped on one CPU are seen by all.
#[gosched::test]
fn deep_goroutines_move_between_cpus_unharmed() {
    let group = WaitGroup::new();
    for id in 0..100 {
        group.go(move || {
            for round in 0..5 {
                let depth = 20 + (id + round) % 7 * 20;
                let moved = || {
                    runtime::gosched();
                    time::sleep(Duration::from_micros(50));
                };
                assert_eq!(descend(id << 8 | round, depth, &moved), depth + 1);
            }
        });
    }
    group.wait();
}

/// A thousand deep goroutines, twenty at a time, take the memory of few: dead ones lend their
/// stacks.
#[gosched::test]
fn stacks_are_used_again() {
    const ROUNDS: u64 = 50;
    let before = mem::usage().stacks;
    for _ in 0..ROUNDS {
        let group = WaitGroup::new();
        for id in 0..20 {
            group.go(move || assert!(descend(id, DEEP, &|| ()) > 0));
        }
        group.wait();
    }
    let grown = mem::usage().stacks.saturating_sub(before);
    let all = (ROUNDS * 20 * DEEP * 1024) as usize;
    assert!(
        grown < all / 2,
        "{grown} bytes for stacks of which 20 live at a time"
    );
}

/// Waits, as a busy CPU, for the look at unused stacks, until they take less than `limit`. Returns
/// what they take.
fn wait_for_shrinking(limit: usize) -> usize {
    for _ in 0..1000 {
        if mem::usage().stacks < limit {
            break;
        }
        let end = runtime::nanotime() + 10_000_000;
        while runtime::nanotime() < end {
            runtime::safepoint();
        }
        time::sleep(Duration::from_micros(10));
    }
    mem::usage().stacks
}

/// What a goroutine that is parked for long does not use any more goes back.
#[gosched::test]
fn parked_stacks_shrink() {
    let group = WaitGroup::new();
    let gate = WaitGroup::new();
    gate.add(1);
    for id in 0..20 {
        let gate = gate.clone();
        group.go(move || {
            descend(id, DEEP, &|| ());
            gate.wait();
            // It grows again, over pages that were taken away.
            descend(id, DEEP, &|| ());
        });
    }
    time::sleep(Duration::from_millis(50));
    let deep = mem::usage().stacks;
    let shrunk = wait_for_shrinking(deep - 20 * 50 * 1024);
    gate.done();
    group.wait();
    assert!(
        shrunk < deep - 20 * 50 * 1024,
        "{deep} bytes before, {shrunk} after"
    );
}

/// So does what dead goroutines leave.
#[gosched::test]
fn dead_stacks_shrink() {
    let group = WaitGroup::new();
    for id in 0..50 {
        group.go(move || {
            descend(id, DEEP, &|| time::sleep(Duration::from_millis(5)));
        });
    }
    group.wait();
    let deep = mem::usage().stacks;
    let shrunk = wait_for_shrinking(deep - 50 * 50 * 1024);
    assert!(
        shrunk < deep - 50 * 50 * 1024,
        "{deep} bytes before, {shrunk} after"
    );
}

gosched::test_main!();

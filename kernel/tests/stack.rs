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

/// Fills `depth` frames of more than a KiB with values that only this goroutine has, and checks them
/// on the way back.
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

/// The same goroutine shallow and deep, round and round, more memory in all than the machine has
/// stacks for if nothing came back.
#[gosched::test]
fn stacks_are_used_again() {
    let mut peak = 0;
    for round in 0..50 {
        let group = WaitGroup::new();
        for id in 0..20 {
            group.go(move || assert!(descend(id, DEEP, &|| ()) > 0));
        }
        group.wait();
        let stacks = mem::usage().stacks;
        if round == 5 {
            peak = stacks;
        }
        assert!(
            peak == 0 || stacks <= peak * 2,
            "stacks grow: {peak} then {stacks} bytes"
        );
    }
}

/// What a goroutine that is parked for long does not use any more goes back.
#[gosched::test]
fn a_parked_stack_shrinks() {
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
    let mut shrunk = deep;
    // The look at parked stacks is a busy CPU's duty, once a second, after a second of waiting.
    for _ in 0..1000 {
        let end = runtime::nanotime() + 10_000_000;
        while runtime::nanotime() < end {
            runtime::safepoint();
        }
        time::sleep(Duration::from_micros(10));
        shrunk = mem::usage().stacks;
        if shrunk + 10 * 100 * 1024 < deep {
            break;
        }
    }
    gate.done();
    group.wait();
    assert!(shrunk < deep, "{deep} bytes before, {shrunk} after");
}

gosched::test_main!();

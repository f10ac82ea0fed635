//! Memory: what is there, what it may be used for, and that the heap keeps its blocks apart.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use common::Slice;
use gosched::mem::{self, Region, space, stack};
use gosched::sched::g::getg;
use gosched::sync::WaitGroup;
use gosched::{chan, runtime};

/// No page of the kernel's half is both writable and executable.
#[gosched::test]
fn nothing_is_writable_and_executable() {
    let mut seen = 0;
    for mapping in space::mappings() {
        seen += 1;
        assert!(
            !(mapping.writable && mapping.executable),
            "{:#x}..={:#x} is writable and executable",
            mapping.start,
            mapping.last
        );
    }
    assert!(seen > 4, "only {seen} mappings were found");
}

/// Nearly all memory of the machine is managed: a boot stage that hid some would show here.
#[gosched::test]
fn the_sum_of_memory_is_plausible() {
    let usage = mem::usage();
    assert!(usage.total >= 16 << 20, "{usage}");
    assert!(
        usage.free <= usage.total && usage.heap_used <= usage.heap_mapped,
        "{usage}"
    );
}

/// Blocks of all sizes, filled, moved to other CPUs, checked and freed there.
#[gosched::test]
fn the_heap_keeps_blocks_apart_on_all_cpus() {
    let group = WaitGroup::new();
    for id in 0..16_usize {
        group.go(move || {
            let mut blocks: Vec<Vec<u8>> = Vec::new();
            for i in 0..400_usize {
                let len = (id * 131 + i * 37) % 5000 + 1;
                blocks.push(vec![(id ^ i) as u8; len]);
                if i % 50 == 0 {
                    runtime::gosched();
                }
                if i % 3 == 0 {
                    let at = (id + i * 7) % blocks.len();
                    let block = blocks.swap_remove(at);
                    let first = block[0];
                    assert!(block.iter().all(|&b| b == first), "a block was overwritten");
                }
            }
            for block in blocks {
                assert!(
                    block.iter().all(|&b| b == block[0]),
                    "a block was overwritten"
                );
            }
        });
    }
    group.wait();
}

/// What one goroutine allocates another one frees, both preempted at any instruction.
#[gosched::test]
fn blocks_are_freed_on_other_cpus_under_short_slices() {
    const SENDERS: usize = 4;
    const EACH: usize = 1000;
    let _slice = Slice::of_us(100);
    let (tx, rx) = chan::bounded(64);
    for sender in 0..SENDERS {
        let tx = tx.clone();
        gosched::go(move || {
            for i in 0..EACH {
                let mut map = BTreeMap::new();
                for key in 0..i % 20 {
                    map.insert(key, (sender * EACH + i * key).to_string());
                }
                tx.send((sender, i, map)).expect("the receivers stay");
            }
        });
    }
    drop(tx);
    let wg = WaitGroup::new();
    for _ in 0..2 {
        let rx = rx.clone();
        wg.go(move || {
            for (sender, i, map) in rx {
                check(sender * EACH, i, &map);
            }
        });
    }
    wg.wait();
}

fn check(base: usize, i: usize, map: &BTreeMap<usize, String>) {
    assert_eq!(map.len(), i % 20);
    let intact = map
        .iter()
        .all(|(key, text)| text.parse() == Ok(base + i * key));
    assert!(intact, "{map:?}");
}

/// Below the stack of a goroutine lies a page that is not there, whoever's it is.
#[gosched::test]
fn a_guard_lies_below_every_goroutine_stack() {
    let wg = WaitGroup::new();
    for _ in 0..50 {
        wg.go(|| {
            let bounds = stack::whole(getg().head.stack.get());
            assert_eq!(mem::region_of(bounds.lo), Region::Stacks);
            for below in [1, mem::FRAME_SIZE] {
                assert_eq!(space::translate(bounds.lo - below), None);
            }
            let top = bounds.hi - 1;
            assert!(space::translate(top).is_some(), "the G lives at {top:#x}");
        });
    }
    wg.wait();
}

/// Each CPU has a stack for its scheduler and several for interrupts, and no two of them touch.
#[gosched::test]
fn a_guard_lies_below_every_system_stack() {
    const LARGEST: usize = 64 * 1024;
    let system = |m: &space::Mapping| mem::region_of(m.start) == Region::SystemStacks;
    let mut count = 0;
    for mapping in space::mappings().filter(system) {
        count += 1;
        assert!(mapping.writable && !mapping.executable);
        assert_eq!(space::translate(mapping.start - 1), None);
        let size = mapping.last - mapping.start + 1;
        assert!(
            size <= LARGEST,
            "{size} bytes in one piece at {:#x}",
            mapping.start
        );
    }
    assert!(count >= 5 * runtime::num_cpu(), "{count} system stacks");
}

/// Code can be run and not written, and constants can only be read.
#[gosched::test]
fn code_and_constants_cannot_be_written() {
    static CONSTANT: &str = "constant";
    let code = check as *const () as usize;
    let rights = |addr| {
        let mapping = space::mappings().find(|m| (m.start..=m.last).contains(&addr));
        mapping.map(|m| (m.writable, m.executable))
    };
    assert_eq!(rights(code), Some((false, true)));
    assert_eq!(rights(CONSTANT.as_ptr() as usize), Some((false, false)));
}

gosched::test_main!();

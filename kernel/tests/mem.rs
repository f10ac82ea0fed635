//! Memory: what is there, what it may be used for, and that the heap keeps its blocks apart.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use gosched::mem::{self, space};
use gosched::runtime;
use gosched::sync::WaitGroup;

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

gosched::test_main!();

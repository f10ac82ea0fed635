//! A goroutine that panics: the report names goroutine, functions, files and lines. Ends with
//! status 2.
#![no_std]
#![no_main]

use core::hint::black_box;

use gosched::sync::WaitGroup;

/// The middle of three numbers.
fn median(mut numbers: [u32; 3], at: usize) -> u32 {
    numbers.sort_unstable();
    numbers[at]
}

#[gosched::main]
fn main() {
    let all = WaitGroup::new();
    all.go(|| {
        median(black_box([3, 1, 2]), black_box(3));
    });
    all.wait();
}

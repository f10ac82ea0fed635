//! Parallel merge sort: both halves of a slice are sorted at the same time, down to a size below
//! which a goroutine is not worth it. A scope lets the goroutines borrow the halves, so nothing is
//! copied but by the merging itself.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use gosched::println;
use gosched::time::Instant;

const LENGTH: usize = 200_000;
/// Slices up to this length are sorted by the goroutine that has them.
const ALONE: usize = 10_000;

fn merge_sort(values: &mut [u32]) {
    if values.len() <= ALONE {
        return values.sort_unstable();
    }
    let middle = values.len() / 2;
    let (left, right) = values.split_at_mut(middle);
    gosched::scope(|scope| {
        scope.spawn(|| merge_sort(left));
        merge_sort(right);
    });
    merge(values, middle);
}

/// Merges the sorted parts before and from `middle` on.
fn merge(values: &mut [u32], middle: usize) {
    let left = values[..middle].to_vec();
    let (mut taken, mut right) = (0, middle);
    for to in 0..values.len() {
        if taken == left.len() {
            return; // the rest of the right part stands where it belongs
        }
        if right < values.len() && values[right] < left[taken] {
            values[to] = values[right];
            right += 1;
        } else {
            values[to] = left[taken];
            taken += 1;
        }
    }
}

#[gosched::main]
fn main() {
    let mut next = 1_u32;
    let mut values: Vec<u32> = (0..LENGTH)
        .map(|_| {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            next
        })
        .collect();
    let mut expected = values.clone();
    expected.sort_unstable();

    let start = Instant::now();
    merge_sort(&mut values);
    println!(
        "sorted {LENGTH} numbers in {} ms",
        start.elapsed().as_millis()
    );
    assert!(values == expected, "it is not the input in order");
    println!("as the library sorts them");
}

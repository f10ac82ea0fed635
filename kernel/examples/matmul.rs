//! Matrix multiplication in bands of rows, first with one P, then with all: what the other CPUs
//! bring. The sums are of whole numbers, so both products must be the same to the last bit.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use gosched::println;
use gosched::runtime;
use gosched::time::{Duration, Instant};

const N: usize = 192;
/// Rows that one goroutine computes: small enough that all CPUs are busy to the end.
const BAND: usize = 8;

type Matrix = Vec<[u64; N]>;

fn matrix(seed: u64) -> Matrix {
    let entry = |row: usize, column: usize| (row as u64 * 31 + column as u64 * 17 + seed) % 1009;
    (0..N)
        .map(|row| core::array::from_fn(|column| entry(row, column)))
        .collect()
}

/// Rows of the product: `rows` are those of `a` that `result` is to be made of.
fn multiply_band(rows: &[[u64; N]], b: &Matrix, result: &mut [[u64; N]]) {
    for (row, result) in rows.iter().zip(result) {
        for (factor, b_row) in row.iter().zip(b) {
            for (sum, entry) in result.iter_mut().zip(b_row) {
                *sum += factor * entry;
            }
        }
    }
}

fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    let mut result = vec![[0; N]; N];
    gosched::scope(|scope| {
        for (rows, result) in a.chunks(BAND).zip(result.chunks_mut(BAND)) {
            scope.spawn(move || multiply_band(rows, b, result));
        }
    });
    result
}

/// The product, and the time it took with so many Ps: the best of three.
fn timed(ps: usize, a: &Matrix, b: &Matrix) -> (Matrix, Duration) {
    let before = runtime::gomaxprocs(ps);
    let mut best = Duration::MAX;
    let mut product = Matrix::new();
    for _ in 0..3 {
        let start = Instant::now();
        product = multiply(a, b);
        best = best.min(start.elapsed());
    }
    runtime::gomaxprocs(before);
    (product, best)
}

#[gosched::main]
fn main() {
    let (a, b) = (matrix(1), matrix(2));
    let ps = runtime::gomaxprocs(0);
    let (one, time_one) = timed(1, &a, &b);
    let (all, time_all) = timed(ps, &a, &b);
    assert!(one == all, "the products differ");
    let (row, column) = (N / 3, N / 2);
    let entry: u64 = (0..N).map(|k| a[row][k] * b[k][column]).sum();
    assert_eq!(one[row][column], entry, "it is not the product");
    let speed_up = time_one.as_micros() * 100 / time_all.as_micros().max(1);
    println!("{N} x {N}, 1 P: {} us", time_one.as_micros());
    println!("{N} x {N}, {ps} Ps: {} us", time_all.as_micros());
    println!("speed-up {}.{:02}", speed_up / 100, speed_up % 100);
}

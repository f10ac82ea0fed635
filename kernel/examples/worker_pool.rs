//! A worker pool whose results come out in order: jobs go to whoever is free, results come back as
//! they are done, and a collector holds back those whose turn it is not. The jobs are of very
//! different length: how many steps each number takes to reach 1 in Collatz's game.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use gosched::chan::{self, Receiver};
use gosched::{go, println, runtime};

const JOBS: u64 = 3000;

/// Steps to 1: halve what is even, else 3n + 1.
fn collatz(mut n: u64) -> u32 {
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) {
            n / 2
        } else {
            3 * n + 1
        };
        steps += 1;
    }
    steps
}

/// Starts the workers; results carry the number of their job, and end when the jobs do.
fn pool(workers: usize, jobs: &Receiver<(usize, u64)>) -> Receiver<(usize, u32)> {
    let (to, results) = chan::bounded(workers);
    for _ in 0..workers {
        let (jobs, to) = (jobs.clone(), to.clone());
        go(move || {
            for (number, n) in jobs {
                if to.send((number, collatz(n))).is_err() {
                    return;
                }
            }
        });
    }
    results
}

/// Brings the results into the order of their numbers.
fn in_order(results: Receiver<(usize, u32)>) -> Vec<u32> {
    let mut ordered = Vec::new();
    let mut early = BTreeMap::new();
    for (number, steps) in results {
        early.insert(number, steps);
        while let Some(steps) = early.remove(&ordered.len()) {
            ordered.push(steps);
        }
    }
    assert!(early.is_empty(), "a result is missing: {early:?}");
    ordered
}

#[gosched::main]
fn main() {
    let (to, jobs) = chan::bounded(0);
    go(move || {
        for job in (1..=JOBS).enumerate() {
            to.send(job).expect("there are workers");
        }
    });
    let results = pool(2 * runtime::gomaxprocs(0), &jobs);
    drop(jobs);
    let ordered = in_order(results);
    assert!(
        ordered.iter().copied().eq((1..=JOBS).map(collatz)),
        "a result is wrong or in the wrong place"
    );
    let (n, steps) = (1..=JOBS)
        .zip(&ordered)
        .max_by_key(|&(_, steps)| steps)
        .expect("JOBS > 0");
    println!(
        "{} results in order; {n} takes the most steps: {steps}",
        ordered.len()
    );
}

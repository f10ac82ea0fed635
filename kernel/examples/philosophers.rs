//! Five philosophers at a round table, a fork between each two. Nobody waits for ever, since each
//! takes the lower-numbered fork first.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use gosched::println;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration};

const NAMES: [&str; 5] = ["Aristotle", "Kant", "Laozi", "Spinoza", "Zhuangzi"];
const MEALS: u32 = 3;

/// What a fork is: how often it was used.
type Fork = Mutex<u32>;

fn dine(name: &str, first: &Fork, second: &Fork) {
    for meal in 1..=MEALS {
        time::sleep(Duration::from_millis(2)); // thinks
        let (mut first, mut second) = (first.lock(), second.lock());
        *first += 1;
        *second += 1;
        println!("{name} eats meal {meal}");
        time::sleep(Duration::from_millis(1));
    }
}

#[gosched::main]
fn main() {
    let forks: Arc<Vec<Fork>> = Arc::new(NAMES.iter().map(|_| Mutex::new(0)).collect());
    let all = WaitGroup::new();
    for (seat, name) in NAMES.iter().enumerate() {
        let forks = forks.clone();
        all.go(move || {
            let (left, right) = (seat, (seat + 1) % NAMES.len());
            dine(name, &forks[left.min(right)], &forks[left.max(right)]);
        });
    }
    all.wait();
    let used: u32 = forks.iter().map(|fork| *fork.lock()).sum();
    assert_eq!(
        used,
        2 * MEALS * NAMES.len() as u32,
        "a meal takes two forks"
    );
    println!("all have eaten");
}

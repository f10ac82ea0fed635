//! Five philosophers at a round table, a fork between each two. Nobody waits for ever, since each
//! takes the lower-numbered fork first, and nobody starves, since who waits for a fork gets it in
//! turn.
//!
//! The philosophers are goroutines in a scope, which lets them borrow the table; what they did
//! comes over a channel.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;

use gosched::chan::{self, Sender};
use gosched::println;
use gosched::sync::Mutex;
use gosched::time::{self, Duration};

const NAMES: [&str; 5] = ["Aristotle", "Kant", "Laozi", "Spinoza", "Zhuangzi"];
const MEALS: usize = 3;

/// What a fork is: how often it was used.
type Fork = Mutex<usize>;

fn dine(seat: usize, first: &Fork, second: &Fork, diary: &Sender<(usize, usize)>) {
    for meal in 1..=MEALS {
        time::sleep(Duration::from_millis(2)); // thinks
        let (mut first, mut second) = (first.lock(), second.lock());
        *first += 1;
        *second += 1;
        diary.send((seat, meal)).expect("main reads the diary");
        time::sleep(Duration::from_millis(1));
    }
}

#[gosched::main]
fn main() {
    let forks = [const { Fork::new(0) }; NAMES.len()];
    let mut eaten = vec![0; NAMES.len()];
    let (diary, entries) = chan::bounded(0);
    gosched::scope(|scope| {
        for seat in 0..NAMES.len() {
            let (left, right) = (seat, (seat + 1) % NAMES.len());
            let (first, second) = (&forks[left.min(right)], &forks[left.max(right)]);
            let diary = diary.clone();
            scope.spawn(move || dine(seat, first, second, &diary));
        }
        drop(diary);
        for (seat, meal) in entries {
            println!("{} eats meal {meal}", NAMES[seat]);
            eaten[seat] += 1;
            assert_eq!(eaten[seat], meal, "a meal was skipped or doubled");
        }
    });
    let used: usize = forks.iter().map(|fork| *fork.lock()).sum();
    assert_eq!(eaten, [MEALS; NAMES.len()]);
    assert_eq!(used, 2 * MEALS * NAMES.len(), "a meal takes two forks");
    println!("all have eaten");
}

//! The concurrent prime sieve: a chain of goroutines, one for each prime, through which all numbers
//! go.
#![no_std]
#![no_main]

use gosched::chan::{self, Receiver};
use gosched::{go, println};

/// Passes on what `prime` does not divide.
fn filter(from: Receiver<u32>, prime: u32) -> Receiver<u32> {
    let (to, numbers) = chan::bounded(0);
    go(move || {
        let _ = from
            .iter()
            .filter(|n| !n.is_multiple_of(prime))
            .try_for_each(|n| to.send(n));
    });
    numbers
}

#[gosched::main]
fn main() {
    let (to, mut numbers) = chan::bounded(0);
    go(move || {
        let _ = (2..).try_for_each(|n| to.send(n));
    });
    for _ in 0..30 {
        let prime = numbers.recv().expect("the generator never closes");
        println!("{prime}");
        numbers = filter(numbers, prime);
    }
}

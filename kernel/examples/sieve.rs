//! The concurrent prime sieve: a chain of goroutines, one for each prime, through which all numbers
//! go. When the reader drops its end, each send fails in turn, and the whole chain ends.
#![no_std]
#![no_main]

use gosched::chan::{self, Receiver};
use gosched::{go, println};

/// The first `n` primes, by as many filters.
pub(crate) fn primes(n: usize) -> impl Iterator<Item = u64> {
    let mut numbers = generate();
    (0..n).map(move |_| {
        let prime = numbers.recv().expect("the generator ends after its reader");
        numbers = filter(numbers.clone(), prime);
        prime
    })
}

/// Sends all numbers from 2 on.
fn generate() -> Receiver<u64> {
    let (to, numbers) = chan::bounded(0);
    go(move || {
        let _ = (2..).try_for_each(|n| to.send(n));
    });
    numbers
}

/// Passes on what `prime` does not divide.
fn filter(from: Receiver<u64>, prime: u64) -> Receiver<u64> {
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
    for prime in primes(30) {
        println!("{prime}");
    }
}

//! The concurrent prime sieve: the example that channels were made for.
//!
//! A generator sends 2, 3, 4, … into a chain of filters. Each filter belongs to one prime, and
//! passes on what that prime does not divide; what comes out at the end is the next prime, which
//! gets the next filter. When the reader drops its end, each send fails in turn and the whole chain
//! ends.

use gosched::chan::{self, Receiver};
use gosched::shell::{Command, PROGRAMS};
use gosched::{go, println};
use linkme::distributed_slice;

use super::numbers;

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

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "sieve",
    usage: "[N]",
    about: "prints the first N primes, by a chain of N goroutines (20)",
    run: |args| {
        let [n] = numbers(args, [20])?;
        for prime in primes(n as usize) {
            println!("{prime}");
        }
        Ok(())
    },
};

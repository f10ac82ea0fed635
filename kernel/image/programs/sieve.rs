//! The concurrent prime sieve with a number of one's own: the work is the example's.

use gosched::println;
use gosched::shell::{Command, PROGRAMS};
use linkme::distributed_slice;

use super::numbers;
use crate::examples::sieve::primes;

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "sieve",
    usage: "[N]",
    about: "prints the first N primes, by a chain of N goroutines (30)",
    run: |args| {
        let [n] = numbers(args, [30])?;
        for prime in primes(n as usize) {
            println!("{prime}");
        }
        Ok(())
    },
};

//! Step: channels, by the concurrent prime sieve.

use gosched::println;

use super::Step;
use super::figures::Meter;
use crate::examples::sieve;
use crate::programs::primes;

pub(super) const STEP: Step = Step {
    title: "Channels: the concurrent prime sieve",
    text: "A chain of goroutines, one for each prime found so far, through which all numbers\n\
           go. Nearly every step parks one goroutine and readies another, on whatever CPU: a\n\
           lost or doubled wake-up would show as a wrong prime, or as a deadlock.",
    run,
};

const PRIMES: usize = 500;

fn run() {
    let meter = Meter::start();
    let mut expected = (2..).filter(|&n| primes::is_prime(n));
    let mut last = 0;
    for prime in sieve::primes(PRIMES) {
        assert_eq!(Some(prime), expected.next(), "the sieve is wrong");
        last = prime;
    }
    let figures = meter.stop();
    println!(
        "   {PRIMES} primes up to {last}, by as many goroutines: {:.1?}, {} switches, {} a second.",
        figures.time,
        figures.switches(),
        figures.per_second(figures.switches()),
    );
}

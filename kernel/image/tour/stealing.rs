//! Step: goroutines on all CPUs, by stealing.

use alloc::vec::Vec;

use gosched::println;
use gosched::sched::model::{self, Model};

use super::Step;
use super::figures::{Meter, Row};
use crate::programs::primes;

pub(super) const STEP: Step = Step {
    title: "Goroutines on all CPUs",
    text: "One goroutine starts 400 others, all on its own P, and each counts primes. A P with\n\
           nothing to do steals half of another's queue, and is stolen from in turn: no CPU idles\n\
           while there is work, and nobody had to say which CPU runs what.",
    run,
};

const LIMIT: u64 = 1_000_000;
const PARTS: u64 = 400;
/// How many primes there are below `LIMIT`.
const PRIMES: u64 = 78_498;

fn run() {
    let meter = Meter::start();
    let alone = primes::count(LIMIT, 1);
    let alone_time = meter.stop().time;
    let meter = Meter::start();
    let count = primes::count(LIMIT, PARTS);
    let figures = meter.stop();

    assert_eq!(alone.primes, PRIMES, "one goroutine counts wrong");
    assert_eq!(count.primes, PRIMES, "{PARTS} goroutines count wrong");
    assert_eq!(
        count.parts_by_cpu.iter().sum::<u64>(),
        PARTS,
        "goroutines ran twice or never"
    );

    println!("{}", Row("goroutines begun on each M", &count.parts_by_cpu));
    if model::get() == Model::Gmp {
        let steals: Vec<u64> = figures.by_p(|p| p.steals).collect();
        println!("{}", Row("goroutines stolen by each P", &steals));
    } else {
        println!("   This scheduler has one queue, and nothing to steal from.");
    }
    println!(
        "   {PRIMES} primes below {LIMIT}: {alone_time:.1?} in one goroutine, {:.1?} in {PARTS}.",
        figures.time
    );
}

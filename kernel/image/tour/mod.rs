//! The tour: from the cost of a switch to GMP with preemption, each step on work that is checked.
//!
//! The steps follow the history that led to GMP: why goroutines (processes and threads cost more to
//! switch), where ready ones wait (one loop, one locked queue, a queue for each P), and what that
//! makes possible (stealing, channels of thousands, fairness against hogs). Each says in a sentence
//! or two what is seen, then shows figures of this run, and panics if a result is wrong.
//!
//! Refused: a step that only sleeps or only prints; figures that were not measured now. How much
//! work a step does is fixed by counts, never by time, so that a run under `--icount` or `--replay`
//! prints the same each time.

pub(crate) mod banner;
mod channels;
mod figures;
mod preemption;
mod schedulers;
mod stealing;
mod switches;

use gosched::println;
use gosched::shell::{COMMANDS, Command, Misuse};
use gosched::time::Instant;
use linkme::distributed_slice;

/// One step of the tour.
struct Step {
    title: &'static str,
    /// What is seen and why it matters, in lines that fit a terminal.
    text: &'static str,
    run: fn(),
}

const STEPS: [Step; 5] = [
    switches::STEP,
    schedulers::STEP,
    stealing::STEP,
    channels::STEP,
    preemption::STEP,
];

/// Goes through all steps.
pub(crate) fn run() {
    let start = Instant::now();
    for (number, step) in (1..).zip(&STEPS) {
        println!("\n{number}. {}", step.title);
        for line in step.text.lines() {
            println!("   {line}");
        }
        (step.run)();
    }
    println!(
        "\nEnd of the tour after {:.1?}: every result was right.",
        start.elapsed()
    );
}

#[distributed_slice(COMMANDS)]
static COMMAND: Command = Command {
    name: "tour",
    usage: "",
    about: "goes on the tour again",
    run: |args| {
        if !args.is_empty() {
            return Err(Misuse);
        }
        run();
        Ok(())
    },
};

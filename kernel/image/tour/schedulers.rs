//! Step: the three schedulers on the same work.

use gosched::base::cmdline;
use gosched::sched::model::{self, Model};
use gosched::{println, runtime};

use super::Step;
use super::figures::{Figures, Meter};
use crate::programs::pingpong;

pub(super) const STEP: Step = Step {
    title: "Three schedulers, one work",
    text: "Pairs of goroutines play ping-pong: each hit readies one and parks another. Go's first\n\
           scheduler was one loop on one thread. Go 1.0 had many threads on one locked queue, and\n\
           every hit goes through it. GMP gives each P a queue: most hits stay on their CPU.",
    run,
};

const PAIRS: u64 = 32;
const ROUNDS: u64 = 1_000;
/// Each plays as often, in turns; the best time counts: what the host does besides only adds.
const GAMES: usize = 3;

const MODELS: [(Model, &str); 3] = [
    (Model::Single, "one loop (sched=single)"),
    (Model::Global, "one queue (sched=global)"),
    (Model::Gmp, "GMP (sched=gmp)"),
];

fn run() {
    let procs = cmdline::options().gomaxprocs.unwrap_or(runtime::num_cpu());
    let mut best: [Option<Figures>; MODELS.len()] = [const { None }; MODELS.len()];
    for _ in 0..GAMES {
        for ((scheduler, _), best) in MODELS.iter().zip(&mut best) {
            let figures = play(*scheduler, procs);
            if best.as_ref().is_none_or(|best| figures.time < best.time) {
                *best = Some(figures);
            }
        }
    }
    for ((_, name), figures) in MODELS.iter().zip(best.iter().flatten()) {
        println!(
            "   {name:<26} {:>8.1?}  {:>7} switches, {:>8} a second",
            figures.time,
            figures.switches(),
            figures.per_second(figures.switches()),
        );
    }
}

/// One game under one scheduler.
fn play(scheduler: Model, procs: usize) -> Figures {
    let before = model::switch(scheduler, procs);
    let meter = Meter::start();
    let sum = pingpong::play(PAIRS, ROUNDS);
    let figures = meter.stop();
    model::switch(before.0, before.1);
    assert_eq!(
        sum,
        PAIRS * ROUNDS * 2,
        "a ball was lost under {scheduler:?}"
    );
    figures
}

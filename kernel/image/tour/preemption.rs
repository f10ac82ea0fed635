//! Step: hogs without safe points are preempted.

use alloc::vec::Vec;
use core::time::Duration;

use gosched::sched::preempt::{self, Mode};
use gosched::sync::WaitGroup;
use gosched::{println, runtime, time};

use super::Step;
use super::figures::{Meter, Row};
use crate::programs::hog;

pub(super) const STEP: Step = Step {
    title: "Preemption: hogs and others",
    text: "On each P a hog computes in a loop that calls no function, so it has no safe point\n\
           and never yields. As many others want to run for a moment now and then. The timer\n\
           interrupt asks the hog to yield; when that does not help, it takes the CPU away.",
    run,
};

/// How often each of the others runs.
const TURNS: u64 = 5;
/// How long it sleeps in between.
const SLEEP: Duration = Duration::from_millis(2);
/// When a hog that nobody stops gives up.
const LIMIT_NS: u64 = 60_000_000_000;
/// The same if preemption is switched off, so that the hogs have to give up.
const LIMIT_WITHOUT_PREEMPTION_NS: u64 = 500_000_000;

fn run() {
    let procs = runtime::gomaxprocs(0) as u64;
    let forced = preempt::mode() == Mode::Async;
    let meter = Meter::start();
    let hogs = hog::start(
        procs,
        if forced {
            LIMIT_NS
        } else {
            LIMIT_WITHOUT_PREEMPTION_NS
        },
    );
    let others = WaitGroup::new();
    for _ in 0..procs {
        others.go(|| (0..TURNS).for_each(|_| time::sleep(SLEEP)));
    }
    others.wait();
    let outcome = hogs.stop();
    let figures = meter.stop();

    let by_interrupt = figures.sum(|p| p.preempt_async);
    if forced {
        assert!(!outcome.gave_up, "the hogs were never preempted");
        assert!(
            by_interrupt > 0,
            "no preemption by the interrupt was counted"
        );
    }
    let asked: Vec<u64> = figures.by_p(|p| p.preempt_asked).collect();
    let taken: Vec<u64> = figures.by_p(|p| p.preempt_taken).collect();
    let interrupted: Vec<u64> = figures.by_p(|p| p.preempt_async).collect();
    println!("{}", Row("asked for, on each P", &asked));
    println!("{}", Row("taken at safe points", &taken));
    println!("{}", Row("forced by the interrupt", &interrupted));
    if outcome.gave_up {
        println!("   This preempt= has no way to interrupt a hog: the others had to wait for it.");
    }
    println!(
        "   {procs} others took {TURNS} turns each within {:.1?}; the hogs made {} numbers.",
        figures.time, outcome.turns,
    );
}

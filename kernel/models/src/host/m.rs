//! `sched::m`: one P, whose timers a model runs when it wants to.

use core::sync::atomic::Ordering;

use crate::sched::timers::Timers;

pub struct P {
    pub timers: Timers,
}

/// Where an M has its P.
pub struct OwnP;

pub struct M {
    pub p: OwnP,
}

loom::lazy_static! {
    static ref THE_P: P = P { timers: Timers::new() };
}

static THE_M: M = M { p: OwnP };

impl OwnP {
    pub fn load(&self, _: Ordering) -> Option<&'static P> {
        Some(timers_p())
    }
}

impl M {
    pub fn arm(&self, _: u64) {}

    /// The last: orders of cases are not shuffled.
    pub fn cheaprandn(&self, n: u32) -> u32 {
        n - 1
    }
}

pub fn getm() -> &'static M {
    &THE_M
}

fn timers_p() -> &'static P {
    &THE_P
}

/// Time passes: all timers up to this instant are run.
pub fn run_timers(until_ns: u64) -> usize {
    timers_p().timers.run(until_ns)
}

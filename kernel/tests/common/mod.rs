//! What several suites need: time slices of another length, other numbers of Ps, waiting for a
//! condition, and saying that a test does not apply.
#![allow(dead_code, reason = "no suite uses all of it")]

pub(crate) mod watch;

use core::sync::atomic::Ordering;

use gosched::arch;
use gosched::runtime;
use gosched::sched::SCHED;
use gosched::sched::g::Status;
use gosched::time::{self, Duration};

/// The length of the time slice is another one until this goes.
pub(crate) struct Slice {
    before_ns: u64,
}

impl Slice {
    /// Slices of so many microseconds from now on.
    pub(crate) fn of_us(us: u64) -> Self {
        let before_ns = SCHED.slice_ns.load(Ordering::Relaxed);
        set_slice(us * 1000);
        Self { before_ns }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        set_slice(self.before_ns);
    }
}

fn set_slice(ns: u64) {
    SCHED.slice_ns.store(ns, Ordering::Relaxed);
    SCHED
        .slice_ticks
        .store(arch::ns_to_cputicks(ns), Ordering::Relaxed);
}

/// There is another number of Ps until this goes.
pub(crate) struct Procs {
    before: usize,
}

impl Procs {
    /// So many Ps from now on.
    pub(crate) fn new(n: usize) -> Self {
        let before = runtime::gomaxprocs(n);
        assert_eq!(runtime::gomaxprocs(0), n);
        Self { before }
    }
}

impl Drop for Procs {
    fn drop(&mut self) {
        runtime::gomaxprocs(self.before);
    }
}

/// Sleeps until `condition` holds; false if it never did in a minute of sleeps.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..60_000 {
        if condition() {
            return true;
        }
        time::sleep(Duration::from_millis(1));
    }
    condition()
}

/// How often a stress test goes round: `n` times, or with chaos, where each time takes many times
/// as long and meets as many more interleavings, a twentieth of it.
pub(crate) fn rounds(n: usize) -> usize {
    match SCHED.chaos.load(Ordering::Relaxed) {
        0 => n,
        _ => n / 20 + 1,
    }
}

/// Whether the clock tells what a CPU had: chaos is replayed on one CPU at a time, each of which
/// has an interrupt due when its turn comes. Says that the test is skipped if not.
pub(crate) fn has_steady_clock() -> bool {
    let calm = SCHED.chaos.load(Ordering::Relaxed) == 0;
    applies(calm, "no chaos")
}

/// Whether there are `n` Ps; says that the test is skipped if not.
pub(crate) fn has_procs(n: usize) -> bool {
    let there = runtime::gomaxprocs(0);
    if there < n {
        gosched::println!("skipped: needs {n} Ps, there are {there}");
    }
    there >= n
}

/// Says that the test is skipped, if `condition` does not hold.
pub(crate) fn applies(condition: bool, needs: &str) -> bool {
    if !condition {
        gosched::println!("skipped: needs {needs}");
    }
    condition
}

/// How many goroutines wait for this, by its words in a dump; without the first, which waits for
/// the test.
pub(crate) fn waiting(reason: &str) -> usize {
    let mut count = 0;
    SCHED.for_each_g(|gp| {
        let is_runner = gp.goid.load(Ordering::Relaxed) == 1;
        let waits = gp.status() == Status::Waiting && gp.waitreason().text() == reason;
        let waits = waits && !is_runner;
        count += usize::from(waits);
    });
    count
}

/// Waits until `n` goroutines wait for this.
pub(crate) fn await_waiting(n: usize, reason: &str) {
    assert!(
        eventually(|| waiting(reason) == n),
        "{} instead of {n} wait for {reason}",
        waiting(reason)
    );
}

/// Random numbers for a test's times: xorshift64.
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each `n`.
    pub(crate) fn new(n: u64) -> Self {
        Self((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    /// Less than `us` microseconds, in nanoseconds' steps.
    pub(crate) fn micros(&mut self, us: u64) -> Duration {
        Duration::from_nanos(self.below(us * 1000))
    }
}

//! How a benchmark is timed.
//!
//! The closure is called in batches that are long against the clock's own cost: the number of
//! calls in a batch doubles until one batch takes [`BATCH_NS`], which is the warm-up too. Then as
//! many batches are timed as fit [`BUDGET_NS`]. The median says what to expect, the minimum what
//! the code costs when nothing disturbs it. The cost of the loop around the closure, timed by
//! itself, is subtracted.
//!
//! Times are those of the guest's clock. Under `run-qemu.sh --icount` that clock counts
//! instructions, one a nanosecond, so the same image gives the same figures every time: the batch
//! size follows from guest time alone, and is a power of two, so that small changes to the code do
//! not change how it is measured.
//!
//! A mean was not chosen: on a host that does other things too, one late batch ruins it.

use alloc::vec::Vec;
use core::fmt;
use core::hint::black_box;

use super::rt;

/// A batch takes at least this long: the clock costs tens of nanoseconds, a timer interrupt that
/// falls into it some microseconds.
const BATCH_NS: u64 = 2_000_000;
/// About how long all timed batches together take.
const BUDGET_NS: u64 = 1_000_000_000;
/// How many batches are timed at least and at most; odd, so that there is a middle one.
const BATCHES: (u64, u64) = (5, 51);
/// No batch has more calls than this, were its closure free.
const MAX_CALLS: u64 = 1 << 24;

/// What a benchmark gets: it calls one of the methods, once, with the code to be timed.
pub struct Bencher {
    summary: Option<Summary>,
}

impl Bencher {
    pub(super) fn new() -> Bencher {
        Bencher { summary: None }
    }

    /// The result, if the benchmark called [`iter`](Bencher::iter) or
    /// [`iter_batched`](Bencher::iter_batched).
    pub(super) fn summary(&self) -> Option<Summary> {
        self.summary
    }

    /// Times one call of `f`. What `f` returns is kept from being optimised away, and dropped
    /// within the timed stretch.
    pub fn iter<T>(&mut self, f: impl FnMut() -> T) {
        self.iter_batched(1, f);
    }

    /// As [`iter`](Bencher::iter), for an `f` that does `n` iterations at each call: the printed
    /// time is that of one of them.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn iter_batched<T>(&mut self, n: u64, f: impl FnMut() -> T) {
        assert!(n > 0, "a call of no iterations cannot be timed");
        self.summary = Some(measure(rt::nanotime, n, f));
    }

    /// For what is no time of an iteration (a latency, bytes, a ratio): the samples, which the
    /// benchmark has measured itself, in thousandths of `unit`.
    ///
    /// # Panics
    /// If there is no sample.
    pub fn record(&mut self, unit: &'static str, thousandths: Vec<u64>) {
        assert!(!thousandths.is_empty(), "no samples");
        self.summary = Some(Summary::of(thousandths, unit));
    }
}

/// What is printed of the samples, in thousandths of the unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Summary {
    median: u64,
    min: u64,
    unit: &'static str,
}

impl Summary {
    /// Of at least one sample.
    fn of(mut samples: Vec<u64>, unit: &'static str) -> Summary {
        samples.sort_unstable();
        Summary {
            median: samples[samples.len() / 2],
            min: samples[0],
            unit,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |thousandths: u64| (thousandths / 1000, thousandths % 1000 / 10);
        let (median, min) = (places(self.median), places(self.min));
        write!(
            f,
            "{}.{:02} {}.{:02} {}",
            median.0, median.1, min.0, min.1, self.unit
        )
    }
}

/// The unit of what is timed.
const PER_ITERATION: &str = "ns/iter";

/// Times `f` by `clock`; each call counts as `n` iterations.
fn measure<T>(clock: impl Fn() -> u64, n: u64, mut f: impl FnMut() -> T) -> Summary {
    let mut calls = 1;
    let mut batch_ns = time_batch(&clock, calls, &mut f);
    while batch_ns < BATCH_NS && calls < MAX_CALLS {
        calls *= 2;
        batch_ns = time_batch(&clock, calls, &mut f);
    }
    let loop_ns = (0..3)
        .map(|_| time_batch(&clock, calls, &mut || ()))
        .min()
        .unwrap_or(0);
    let batches = (BUDGET_NS / batch_ns.max(1)).clamp(BATCHES.0, BATCHES.1);
    let time_iteration = |_| {
        let batch_ns = time_batch(&clock, calls, &mut f).saturating_sub(loop_ns);
        // A day in picoseconds is past u64; one iteration of it is not.
        (u128::from(batch_ns) * 1000 / (u128::from(calls) * u128::from(n))) as u64
    };
    Summary::of((0..batches).map(time_iteration).collect(), PER_ITERATION)
}

/// Not inlined, so that the loop around the closure is the same code wherever it stands.
#[inline(never)]
fn time_batch<T>(clock: &impl Fn() -> u64, calls: u64, f: &mut impl FnMut() -> T) -> u64 {
    let start_ns = clock();
    for _ in 0..calls {
        black_box(f());
    }
    clock() - start_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use core::cell::Cell;

    fn ps(median: u64, min: u64) -> Summary {
        Summary {
            median,
            min,
            unit: PER_ITERATION,
        }
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(Summary::of(vec![5, 1, 9], PER_ITERATION), ps(5, 1));
        assert_eq!(Summary::of(vec![7], PER_ITERATION), ps(7, 7));
    }

    #[test]
    fn figures_have_two_places() {
        assert_eq!(ps(1_234_567, 9).to_string(), "1234.56 0.00 ns/iter");
        assert_eq!(Summary::of(vec![2500], "ms").to_string(), "2.50 2.50 ms");
    }

    /// Times a closure that takes what `cost_ns` says for its nth call, on a clock of its own.
    fn timed(n: u64, cost_ns: impl Fn(u64) -> u64) -> (Summary, u64) {
        let (now_ns, calls) = (Cell::new(0), Cell::new(0));
        let summary = measure(
            || now_ns.get(),
            n,
            || {
                now_ns.set(now_ns.get() + cost_ns(calls.get()));
                calls.set(calls.get() + 1);
            },
        );
        (summary, calls.get())
    }

    #[test]
    fn a_steady_cost_is_found_exactly() {
        let (summary, _) = timed(1, |_| 250);
        assert_eq!(summary, ps(250_000, 250_000));
        let (summary, _) = timed(1000, |_| 250);
        assert_eq!(summary, ps(250, 250));
    }

    #[test]
    fn batches_are_powers_of_two_of_at_least_the_batch_time() {
        // 2^13 calls of 250 ns are the first to reach 2 ms: 2^14 - 1 to warm up, 51 batches.
        assert_eq!(timed(1, |_| 250).1, (1 << 14) - 1 + 51 * (1 << 13));
    }

    #[test]
    fn a_slow_call_is_its_own_batch() {
        assert_eq!(timed(1, |_| 400_000_000).1, 1 + 5);
        assert_eq!(timed(1, |_| 100_000_000).1, 1 + 10);
    }

    #[test]
    fn a_free_closure_ends_too() {
        assert_eq!(timed(1, |_| 0).0, ps(0, 0));
    }

    #[test]
    fn disturbed_batches_do_not_move_the_median() {
        let (summary, _) = timed(1, |call| if call % 7 == 3 { 30_000_000 } else { 3_000_000 });
        assert_eq!(summary, ps(3_000_000_000, 3_000_000_000));
    }
}

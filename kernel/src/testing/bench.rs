//! Runs the registered benchmarks one after another, each in a goroutine of its own, prints
//! `BENCH name median min unit` for each, and ends the image.
//!
//! A benchmark that panics or passes its time limit fails as a test does.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use spin::Mutex;

use super::args::Options;
use super::measure::{Bencher, Summary};
use super::{BENCHES, Bench, Case, report, rt, runner};

/// Runs the benchmarks that the arguments choose and ends the image, with the statuses of
/// [`run_tests`](super::run_tests). [`bench_main!`](crate::bench_main) makes it the main goroutine.
pub fn run_benches() -> ! {
    let options = runner::options();
    let benches = runner::choose(BENCHES.iter(), &options);
    if options.list {
        runner::list(&benches, "benchmark", &options);
    }
    runner::begin(&benches, BENCHES.len(), "benchmark");
    for (index, bench) in benches.iter().enumerate() {
        if !run_bench(bench, &options) {
            runner::note_not_run(&benches[index + 1..]);
            break;
        }
    }
    runner::end()
}

/// False if the machine cannot be trusted with another benchmark.
fn run_bench(bench: &'static Bench, options: &Options) -> bool {
    let name = bench.name();
    if runner::skip_ignored(bench, name, options) {
        return true;
    }
    runner::enter(name, options);
    let result = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&result);
    let body = move || {
        let mut bencher = Bencher::new();
        (bench.run)(&mut bencher);
        *sink.lock() = bencher.summary();
    };
    let outcome = rt::run_test_goroutine(body, name, bench.timeout_ns);
    let usable = !matches!(outcome, rt::Outcome::TimedOut);
    // After the time limit the benchmark still runs; its result is not waited for.
    let summary = result.try_lock().and_then(|summary| *summary);
    match report::judge(outcome, None, bench.timeout_ns).and_then(|()| timed(summary)) {
        Ok(summary) => {
            runner::leave(|tally| tally.measured += 1);
            rt::println(format_args!("BENCH {name} {summary}"));
        }
        Err(text) => {
            runner::leave(|tally| tally.fail(name, text));
            rt::println(format_args!("test {name} ... FAILED"));
        }
    }
    usable
}

fn timed(summary: Option<Summary>) -> Result<Summary, String> {
    summary.ok_or_else(|| "the benchmark measured nothing".to_string())
}

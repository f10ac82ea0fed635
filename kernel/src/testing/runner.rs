//! Runs the registered tests one after another, each in a goroutine of its own, and ends the image.
//!
//! A panic in the test's own goroutine fails that test only. A test that passes its time limit
//! fails, and the run stops there: what that test started still runs and may hold anything, so
//! that a later verdict would mean nothing. A fatal error or a deadlock ends the image from within
//! the scheduler; [`report_fatal`] then prints what the run has so far.
//!
//! Tests never run at the same time. libtest does it to save time; here a test has all CPUs, and
//! many of them measure just that.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use spin::Mutex;

use super::args::{HELP, Ignored, Options};
use super::report::{self, Tally};
use super::{Case, TESTS, Test, rt};
use crate::sched::SCHED;

/// The image's status when a test failed.
const STATUS_FAILED: u8 = 1;
/// The image's status when its arguments are wrong.
const STATUS_USAGE: u8 = 2;

/// How long goroutines that a test does not wait for may take to end before they count as left
/// behind: `WaitGroup::done` comes before the end of the goroutine that calls it.
const GRACE_NS: u64 = 20_000_000;
/// How often is looked within that time.
const GRACE_STEP_NS: u64 = 1_000_000;

/// The run that is going on. Only the runner's goroutine changes it; the lock is there for
/// [`report_fatal`], which reads it from anywhere and does not wait.
static RUN: Mutex<Run> = Mutex::new(Run {
    tally: Tally::new(),
    current: None,
    started_ns: 0,
});

struct Run {
    tally: Tally,
    /// The test that runs now.
    current: Option<&'static str>,
    started_ns: u64,
}

/// Runs the tests that the arguments choose and ends the image: status 0, 1 if a test failed, 2
/// for wrong arguments. [`test_main!`](crate::test_main) makes it the main goroutine.
pub fn run_tests() -> ! {
    let options = options();
    let tests = choose(TESTS.iter(), &options);
    if options.list {
        list(&tests, "test", &options);
    }
    begin(&tests, TESTS.len(), "test");
    for (index, test) in tests.iter().enumerate() {
        if !run_test(test, &options) {
            note_not_run(&tests[index + 1..]);
            break;
        }
    }
    end()
}

/// Prints what the test run has so far, with the test that was running as failed. For the fatal
/// error's path: all other CPUs are stopped, the error's own report is on the console, and the
/// image ends next. Prints nothing if no test is running.
pub fn report_fatal() {
    // Whoever holds the lock was stopped within it. The tally is lost then, the report is not.
    let Some(mut run) = RUN.try_lock() else {
        return;
    };
    let Some(name) = run.current.take() else {
        return;
    };
    rt::println(format_args!("test {name} ... FAILED"));
    let text = format!(
        "a fatal error ended the image; its report is above\n{}",
        rt::trace_hash()
    );
    run.tally.fail(name, text);
    rt::println(format_args!(
        "{}",
        run.tally.summary(rt::nanotime() - run.started_ns)
    ));
}

/// The arguments; ends the image if they are wrong or only ask for help.
pub(super) fn options() -> Options {
    match Options::parse(&rt::args()) {
        Ok(options) if options.help => {
            rt::println(format_args!("{HELP}"));
            rt::exit(0)
        }
        Ok(options) => options,
        Err(error) => {
            rt::println(format_args!("error: {error}"));
            rt::exit(STATUS_USAGE)
        }
    }
}

/// Those of `all` that the arguments choose, by name: the linker's order means nothing.
pub(super) fn choose<C: Case>(
    all: impl Iterator<Item = &'static C>,
    options: &Options,
) -> Vec<&'static C> {
    let mut chosen: Vec<_> = all
        .filter(|case| options.selects(case.name()))
        .filter(|case| options.ignored != Ignored::Only || case.ignore().is_some())
        .collect();
    chosen.sort_unstable_by_key(|case| case.name());
    chosen
}

/// libtest's `--list`, then the end.
pub(super) fn list<C: Case>(cases: &[&C], kind: &str, options: &Options) -> ! {
    for case in cases {
        rt::println(format_args!("{}: {kind}", case.name()));
    }
    if !options.quiet {
        let (tests, benches) = if kind == "test" {
            (cases.len(), 0)
        } else {
            (0, cases.len())
        };
        let plural = |n| if n == 1 { "" } else { "s" };
        rt::println(format_args!(
            "\n{tests} test{}, {benches} benchmark{}",
            plural(tests),
            plural(benches)
        ));
    }
    rt::exit(0)
}

/// Starts the clock and the tally of a run.
pub(super) fn begin<C: Case>(chosen: &[&C], registered: usize, kind: &str) {
    let mut run = RUN.lock();
    run.started_ns = rt::nanotime();
    run.tally.filtered_out = registered - chosen.len();
    drop(run);
    rt::println(format_args!("{}", report::opening(chosen.len(), kind)));
}

/// Prints the result and ends the image.
pub(super) fn end() -> ! {
    let run = RUN.lock();
    rt::println(format_args!(
        "{}",
        run.tally.summary(rt::nanotime() - run.started_ns)
    ));
    rt::exit(if run.tally.is_ok() { 0 } else { STATUS_FAILED })
}

/// Names the test or benchmark that runs now, for [`report_fatal`], and where the arguments ask
/// for it on the console, so that a machine that dies without a word says where.
pub(super) fn enter(name: &'static str, options: &Options) {
    RUN.lock().current = Some(name);
    if options.announce {
        rt::println(format_args!("test {name} ..."));
    }
}

/// Changes the tally at the end of what [`enter`] named, or without one.
pub(super) fn leave(change: impl FnOnce(&mut Tally)) {
    let mut run = RUN.lock();
    run.current = None;
    change(&mut run.tally);
}

/// Whether this case is left out because of `#[ignore]`; then it is printed and counted.
pub(super) fn skip_ignored<C: Case>(case: &C, label: &str, options: &Options) -> bool {
    match case.ignore() {
        Some(reason) if options.ignored == Ignored::Skip => {
            rt::println(format_args!("test {label} ... {}", report::ignored(reason)));
            leave(|tally| tally.ignored += 1);
            true
        }
        _ => false,
    }
}

/// Says which tests were left out after one that did not come to its end.
pub(super) fn note_not_run<C: Case>(rest: &[&C]) {
    if !rest.is_empty() {
        let names: Vec<_> = rest.iter().map(|case| case.name()).collect();
        rt::println(format_args!(
            "note: {} not run: {}",
            names.len(),
            names.join(", ")
        ));
    }
}

/// How many times as long a test may take: chaos makes each step several.
fn slowness() -> u64 {
    match SCHED.chaos.load(Ordering::Relaxed) {
        0 => 1,
        _ => 4,
    }
}

/// False if the machine cannot be trusted with another test.
fn run_test(test: &'static Test, options: &Options) -> bool {
    let name = test.name();
    let label = report::label(name, test.should_panic.is_some());
    if skip_ignored(test, &label, options) {
        return true;
    }
    enter(name, options);
    let limit_ns = match options.timeout_s {
        Some(seconds) => seconds * 1_000_000_000,
        None => test.timeout_ns,
    };
    let timeout_ns = limit_ns * slowness();
    let outcome = rt::run_test_goroutine(test.run, name, timeout_ns);
    let usable = !matches!(outcome, rt::Outcome::TimedOut);
    let left = if usable { left_behind() } else { Vec::new() };
    let note = (!left.is_empty()).then(|| report::left_behind(name, &left));
    match report::judge(outcome, test.should_panic, timeout_ns) {
        Ok(()) => {
            leave(|tally| tally.passed += 1);
            if !options.quiet {
                rt::println(format_args!("test {label} ... ok"));
            }
            if let Some(note) = note {
                rt::println(format_args!("{note}"));
            }
        }
        Err(text) => {
            // Before anything is printed, which others can run beside.
            let hash = rt::trace_hash();
            rt::println(format_args!("test {label} ... FAILED"));
            let note = note.map_or(String::new(), |note| format!("\n{note}"));
            let text = format!("{text}{note}\n{hash}");
            // Later failures are often the first one's doing, and the rings go on.
            if RUN.lock().tally.is_ok() {
                rt::keep_trace();
            }
            leave(|tally| tally.fail(name, text));
        }
    }
    usable
}

/// The goroutines that the last test left, after a short grace.
fn left_behind() -> Vec<String> {
    for _ in 0..GRACE_NS / GRACE_STEP_NS {
        if rt::leaked().is_empty() {
            break;
        }
        rt::sleep_ns(GRACE_STEP_NS);
    }
    rt::leaked()
}

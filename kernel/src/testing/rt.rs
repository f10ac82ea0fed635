//! What the test kit needs of the kernel, in one place.
//!
//! The rest of `testing/` knows goroutines, the clock and the console only by these names.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::arch;
use crate::base::cmdline;
use crate::observe::{hostfile, living};
use crate::runtime::trace;
use crate::sched::SCHED;
use crate::sched::g::Status;
use crate::sched::newproc::{self, Attributes};
use crate::sched::{defer, fatal, lockedm};
use crate::sync::{Mutex, WaitGroup};
use crate::time;

/// What became of a test's goroutine.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its function returned, or it called `runtime::goexit`.
    Ok,
    /// It panicked. The text is `PanicInfo`'s: `panicked at FILE:LINE:COLUMN:`, then the message.
    Panicked(String),
    /// It had not ended at its time limit. A dump of all goroutines is on the console.
    TimedOut,
}

/// The panic of the test that runs.
static PANIC: Mutex<Option<String>> = Mutex::new(None);
/// The goroutines that were alive before the test began.
static BEFORE: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Where the last moments before the first failure go.
const TRACE_FILE: &str = "failed.trace";

/// The value of `args` on the kernel command line.
pub(super) fn args() -> String {
    cmdline::options().args.clone().unwrap_or_default()
}

/// Runs `f` in a new goroutine called `name` and waits for its end, at most `timeout_ns`.
pub(super) fn run_test_goroutine(
    f: impl FnOnce() + Send + 'static,
    name: &'static str,
    timeout_ns: u64,
) -> Outcome {
    *PANIC.lock() = None;
    // No room to spare: what its earlier owner left there would count as pointers in a search for
    // deadlocks, to which statics are roots.
    let mut before = alive();
    before.shrink_to_fit();
    *BEFORE.lock() = before;
    let returned = WaitGroup::new();
    returned.add(1);
    let done = returned.clone();
    let test = move || {
        defer::on_goexit(&|| done.done(), f);
        done.done();
    };
    let attributes = Attributes {
        name: Some(name.into()),
        panic_hook: Some(note_panic),
        ..Attributes::default()
    };
    if newproc::newproc(test, attributes).is_err() {
        return Outcome::Panicked("no memory for the test's goroutine".to_string());
    }
    // One long wait: whoever woke up now and then to look would find, with the M that its timer
    // wakes, the work that a lost wake-up has left lying, and no test would notice.
    if !returned.wait_timeout(Duration::from_nanos(timeout_ns)) {
        println(format_args!("{}", living::stack_text(true)));
        return Outcome::TimedOut;
    }
    match PANIC.lock().take() {
        Some(text) => Outcome::Panicked(text),
        None => Outcome::Ok,
    }
}

/// The test's goroutine panicked; it ends after this.
fn note_panic(text: &dyn fmt::Display) {
    lockedm::unlock_os_thread();
    *PANIC.lock() = Some(text.to_string());
}

/// The goroutines of the program.
fn alive() -> Vec<u64> {
    let mut goids = Vec::new();
    SCHED.for_each_g(|gp| {
        if !gp.system.load(Ordering::Relaxed) {
            goids.push(gp.goid.load(Ordering::Relaxed));
        }
    });
    goids
}

/// The goroutines that were created since the last [`run_test_goroutine`] began and are still
/// alive, each as `ID [what it does]`.
pub(super) fn leaked() -> Vec<String> {
    let before = BEFORE.lock();
    let mut left = Vec::new();
    SCHED.for_each_g(|gp| {
        let goid = gp.goid.load(Ordering::Relaxed);
        if gp.system.load(Ordering::Relaxed) || before.contains(&goid) {
            return;
        }
        let doing = match gp.status() {
            Status::Waiting => gp.waitreason().text(),
            Status::Running => "running",
            _ => "runnable",
        };
        left.push(format!("{goid} [{doing}]"));
    });
    left
}

/// What all CPUs did until now, as one number: two failures that have the same are the same run.
pub(super) fn trace_hash() -> String {
    format!("trace hash {:016x}", trace::hash())
}

/// Writes the last moments for the host, if it takes files.
pub(super) fn keep_trace() {
    if hostfile::is_attached() {
        // The verdict is what counts; a trace that cannot be had must not hide it.
        let _ = hostfile::write(TRACE_FILE, &trace::snapshot());
    }
}

/// Nanoseconds since boot.
pub(super) fn nanotime() -> u64 {
    arch::nanotime()
}

/// Puts the calling goroutine to sleep.
pub(super) fn sleep_ns(duration_ns: u64) {
    time::sleep(Duration::from_nanos(duration_ns));
}

/// One or more whole lines on the console.
pub(super) fn println(text: fmt::Arguments<'_>) {
    crate::println!("{text}");
}

/// Ends the image.
pub(super) fn exit(status: u8) -> ! {
    fatal::exit(status)
}

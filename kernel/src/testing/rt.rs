//! What the test kit needs of the kernel, in one place.
//!
//! The rest of `testing/` knows goroutines, the clock and the console only by these names.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

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

/// The value of `args` on the kernel command line.
pub(super) fn args() -> String {
    String::new()
}

/// Runs `f` in a new goroutine called `name` and waits for its end, at most `timeout_ns`.
pub(super) fn run_test_goroutine(
    f: impl FnOnce() + Send + 'static,
    name: &'static str,
    timeout_ns: u64,
) -> Outcome {
    let _ = (name, timeout_ns);
    f();
    Outcome::Ok
}

/// The goroutines that were created since the last [`run_test_goroutine`] began and are still
/// alive, each as `ID "name" [wait reason]`.
pub(super) fn leaked() -> Vec<String> {
    Vec::new()
}

/// Nanoseconds since boot.
pub(super) fn nanotime() -> u64 {
    crate::arch::nanotime()
}

/// Puts the calling goroutine to sleep.
pub(super) fn sleep_ns(duration_ns: u64) {
    let _ = duration_ns;
}

/// One or more whole lines on the console.
pub(super) fn println(text: fmt::Arguments<'_>) {
    crate::println!("{text}");
}

/// Ends the image.
pub(super) fn exit(status: u8) -> ! {
    crate::arch::exit(status)
}

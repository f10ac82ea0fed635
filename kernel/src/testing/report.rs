//! libtest's words: the line for each test, the list of failures, the result.
//!
//! Everything here is text from values, so that the host's tests can hold it to libtest's form,
//! which editors and scripts read. Two things differ. A test's line is written when the test has
//! ended and not in two halves, since other goroutines print in between; and a `failures:` entry
//! holds the panic's text alone, because output is not held back.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::rt::Outcome;

/// A test that failed, with what there is to say about it.
pub(super) struct Failure {
    name: &'static str,
    text: String,
}

/// What came out so far.
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) ignored: usize,
    pub(super) measured: usize,
    pub(super) filtered_out: usize,
    failures: Vec<Failure>,
}

impl Tally {
    /// Before the first test.
    pub(super) const fn new() -> Tally {
        Tally {
            passed: 0,
            ignored: 0,
            measured: 0,
            filtered_out: 0,
            failures: Vec::new(),
        }
    }

    /// Notes that a test failed, and why.
    pub(super) fn fail(&mut self, name: &'static str, text: String) {
        self.failures.push(Failure { name, text });
    }

    /// Whether no test failed.
    pub(super) fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }

    /// The end of a run: the failures in full, their names, and the line with the counts.
    pub(super) fn summary(&self, elapsed_ns: u64) -> Summary<'_> {
        Summary {
            tally: self,
            elapsed_ns,
        }
    }
}

/// Prints [`Tally::summary`].
pub(super) struct Summary<'a> {
    tally: &'a Tally,
    elapsed_ns: u64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = &self.tally.failures;
        if !failures.is_empty() {
            writeln!(f, "\nfailures:\n")?;
            for failure in failures {
                writeln!(
                    f,
                    "---- {} stdout ----\n{}\n",
                    failure.name,
                    failure.text.trim_end()
                )?;
            }
            writeln!(f, "\nfailures:")?;
            for failure in failures {
                writeln!(f, "    {}", failure.name)?;
            }
        }
        let hundredths_s = self.elapsed_ns / 10_000_000;
        writeln!(
            f,
            "\ntest result: {}. {} passed; {} failed; {} ignored; {} measured; \
             {} filtered out; finished in {}.{:02}s",
            if failures.is_empty() { "ok" } else { "FAILED" },
            self.tally.passed,
            failures.len(),
            self.tally.ignored,
            self.tally.measured,
            self.tally.filtered_out,
            hundredths_s / 100,
            hundredths_s % 100,
        )
    }
}

/// `running 3 tests`, as libtest sets it.
pub(super) fn opening(count: usize, what: &str) -> String {
    format!(
        "\nrunning {count} {what}{}",
        if count == 1 { "" } else { "s" }
    )
}

/// The name as it stands in a test's line.
pub(super) fn label(name: &str, should_panic: bool) -> String {
    if should_panic {
        format!("{name} - should panic")
    } else {
        name.to_string()
    }
}

/// What follows the dots in the line of a test that was not run.
pub(super) fn ignored(reason: &str) -> String {
    if reason.is_empty() {
        "ignored".to_string()
    } else {
        format!("ignored, {reason}")
    }
}

/// Whether a test passed by what became of its goroutine; the error is the text of its failure.
///
/// `should_panic` is the text that the panic's message must contain.
pub(super) fn judge(
    outcome: Outcome,
    should_panic: Option<&str>,
    timeout_ns: u64,
) -> Result<(), String> {
    match (outcome, should_panic) {
        (Outcome::Ok, None) => Ok(()),
        (Outcome::Ok, Some(_)) => Err("note: test did not panic as expected".to_string()),
        (Outcome::Panicked(text), None) => Err(text),
        (Outcome::Panicked(text), Some(expected)) => {
            let message = panic_message(&text);
            if message.contains(expected) {
                return Ok(());
            }
            Err(format!(
                "{text}\nnote: panic did not contain expected string\n      \
                 panic message: {message:?}\n expected substring: {expected:?}"
            ))
        }
        (Outcome::TimedOut, _) => Err(format!(
            "the time limit of {} s is over",
            timeout_ns / 1_000_000_000
        )),
    }
}

/// The message in the text of a panic, which begins with a line `panicked at FILE:LINE:COLUMN:`.
fn panic_message(text: &str) -> &str {
    match text.split_once('\n') {
        Some((place, message)) if place.starts_with("panicked at ") => message,
        _ => text,
    }
}

/// How many goroutines that were left behind are named.
const NAMED_MAX: usize = 10;

/// The note about goroutines that a test left behind.
pub(super) fn left_behind(name: &str, goroutines: &[String]) -> String {
    let named = &goroutines[..goroutines.len().min(NAMED_MAX)];
    let more = match goroutines.len() - named.len() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!(
        "note: {name} left {} goroutine(s) running: {}{more}",
        goroutines.len(),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &str = "panicked at kernel/tests/a.rs:3:5:\nno more than 3";

    #[test]
    fn a_good_run_is_one_line() {
        let mut tally = Tally::new();
        tally.passed = 3;
        tally.filtered_out = 1;
        assert_eq!(
            tally.summary(129_999_999).to_string(),
            "\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; \
             finished in 0.12s\n"
        );
    }

    #[test]
    fn failures_come_in_full_and_then_by_name() {
        let mut tally = Tally::new();
        tally.passed = 1;
        tally.ignored = 2;
        tally.fail("a::b", PANIC.to_string());
        tally.fail("c", "note: x\n".to_string());
        assert!(!tally.is_ok());
        assert_eq!(
            tally.summary(61_000_000_000).to_string(),
            "\nfailures:\n\n\
             ---- a::b stdout ----\npanicked at kernel/tests/a.rs:3:5:\nno more than 3\n\n\
             ---- c stdout ----\nnote: x\n\n\
             \nfailures:\n    a::b\n    c\n\
             \ntest result: FAILED. 1 passed; 2 failed; 2 ignored; 0 measured; 0 filtered out; \
             finished in 61.00s\n"
        );
    }

    #[test]
    fn lines_are_libtests() {
        assert_eq!(opening(0, "test"), "\nrunning 0 tests");
        assert_eq!(opening(1, "test"), "\nrunning 1 test");
        assert_eq!(label("a", true), "a - should panic");
        assert_eq!(ignored(""), "ignored");
        assert_eq!(ignored("slow"), "ignored, slow");
        assert_eq!(
            left_behind(
                "a",
                &["7 [chan receive]".to_string(), "8 \"w\"".to_string()]
            ),
            "note: a left 2 goroutine(s) running: 7 [chan receive], 8 \"w\""
        );
        let many: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
        assert_eq!(
            left_behind("a", &many),
            "note: a left 5000 goroutine(s) running: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4990 more"
        );
    }

    #[test]
    fn a_plain_test_must_end() {
        assert_eq!(judge(Outcome::Ok, None, 1), Ok(()));
        assert_eq!(
            judge(Outcome::Panicked(PANIC.to_string()), None, 1),
            Err(PANIC.to_string())
        );
        let late = judge(Outcome::TimedOut, None, 5_000_000_000);
        assert_eq!(late, Err("the time limit of 5 s is over".to_string()));
    }

    #[test]
    fn should_panic_wants_a_panic_with_that_text() {
        let panicked = || Outcome::Panicked(PANIC.to_string());
        assert_eq!(judge(panicked(), Some(""), 1), Ok(()));
        assert_eq!(judge(panicked(), Some("more than 3"), 1), Ok(()));
        assert!(judge(Outcome::Ok, Some(""), 1).is_err());
        assert!(judge(Outcome::TimedOut, Some(""), 1).is_err());
        // The place is no part of the message.
        let error = judge(panicked(), Some("tests/a.rs"), 1).expect_err("another text");
        assert!(error.ends_with(
            "note: panic did not contain expected string\n      \
             panic message: \"no more than 3\"\n expected substring: \"tests/a.rs\""
        ));
    }
}

//! The arguments of a test or bench image, which are libtest's: `cargo test -- …` passes them on,
//! and people and editors know them.
//!
//! They arrive as one text (`args="…"` on the kernel command line) and are cut into words as a
//! shell would. An unknown flag is an error, never ignored: a misspelt `--exact` would otherwise
//! run other tests than those that were meant. Flags about libtest's threads and its capture of
//! output are accepted, because cargo and editors pass them, but there is nothing here that they
//! could change: tests run one after another, and output goes straight to the console.
//!
//! Two things libtest has not. `--timeout`, for whoever expects a hang: tests have time limits
//! here. And a word `name=value`, which is for the tests themselves: they read it by
//! [`arg`](super::arg), for how often or how long. No test's name has a `=`, so no filter is lost.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Printed for `--help`.
pub(super) const HELP: &str = "\
Usage: [OPTIONS] [FILTERS...]

A test runs if its name contains one of FILTERS, or if there are none.

    --exact              FILTERS and --skip are whole names
    --skip FILTER        leave out the tests whose name contains FILTER
    --ignored            run only those marked #[ignore]
    --include-ignored    run those marked #[ignore] too
    --list               print the names and run nothing
    --nocapture          print each test's name before it runs
    -q, --quiet          no line for a test that passes
    --timeout SECONDS    the time limit of each test, instead of its own
    NAME=VALUE           for tests that read it (gosched::testing::arg)
    --format pretty|terse
    --test-threads N, --show-output, --color WHEN, --test, --bench
                         accepted; tests run one after another, output is never held back";

/// What to do with tests that are marked `#[ignore]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ignored {
    /// Leave them out (the default).
    Skip,
    /// Run only them.
    Only,
    /// Run them with the others.
    Include,
}

/// The arguments, understood.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Options {
    pub(super) filters: Vec<String>,
    /// The words `name=value`.
    pub(super) values: Vec<(String, String)>,
    pub(super) skip: Vec<String>,
    pub(super) exact: bool,
    pub(super) ignored: Ignored,
    pub(super) list: bool,
    pub(super) quiet: bool,
    pub(super) announce: bool,
    pub(super) timeout_s: Option<u64>,
    pub(super) help: bool,
}

impl Options {
    /// Reads the text of `args="…"`. The error is one line for the console.
    pub(super) fn parse(text: &str) -> Result<Options, String> {
        let mut options = Options {
            filters: Vec::new(),
            values: Vec::new(),
            skip: Vec::new(),
            exact: false,
            ignored: Ignored::Skip,
            list: false,
            quiet: false,
            announce: false,
            timeout_s: None,
            help: false,
        };
        let mut words = split_words(text)?.into_iter();
        while let Some(word) = words.next() {
            if word.starts_with('-') {
                options.take_flag(&word, &mut words)?;
            } else if let Some((name, value)) = word.split_once('=') {
                options.values.push((name.to_owned(), value.to_owned()));
            } else {
                options.filters.push(word);
            }
        }
        Ok(options)
    }

    fn take_flag(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), String> {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (word, None),
        };
        let takes_value = matches!(
            flag,
            "--skip" | "--test-threads" | "--timeout" | "--color" | "--format"
        );
        let value = match inline {
            Some(_) if !takes_value => return Err(format!("{flag} takes no value")),
            Some(value) => value,
            None if takes_value => rest.next().ok_or(format!("{flag} needs a value"))?,
            None => String::new(),
        };
        match flag {
            "--exact" => self.exact = true,
            "--skip" => self.skip.push(value),
            "--list" => self.list = true,
            "--ignored" => self.ignored = self.ignored.and(Ignored::Only),
            "--include-ignored" => self.ignored = self.ignored.and(Ignored::Include),
            "--nocapture" | "--no-capture" => self.announce = true,
            "-q" | "--quiet" => self.quiet = true,
            "-h" | "--help" => self.help = true,
            "--test" | "--bench" | "--show-output" => {}
            "--test-threads" => {
                let threads: Option<usize> = value.parse().ok();
                threads
                    .filter(|&n| n > 0)
                    .ok_or(format!("--test-threads is not '{value}'"))?;
            }
            "--timeout" => {
                let seconds: Option<u32> = value.parse().ok();
                let seconds = seconds.filter(|&s| s > 0);
                self.timeout_s = Some(seconds.ok_or(format!("--timeout is not '{value}'"))?.into());
            }
            "--color" if matches!(&*value, "auto" | "always" | "never") => {}
            "--format" if value == "pretty" => {}
            "--format" if value == "terse" => self.quiet = true,
            "--color" | "--format" => return Err(format!("{flag} cannot be '{value}'")),
            _ => {
                return Err(format!(
                    "unknown argument '{flag}'; --help lists what there is"
                ));
            }
        }
        Ok(())
    }

    /// The value of `name`: the last one, if it is given more than once.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.values.iter().rev();
        values
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the filters let this test through.
    pub(super) fn selects(&self, name: &str) -> bool {
        let matches = |pattern: &String| {
            if self.exact {
                name == pattern
            } else {
                name.contains(pattern.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skip.iter().any(matches)
    }
}

impl Ignored {
    /// `--ignored --include-ignored` is what libtest refuses; the wider one holds here.
    fn and(self, other: Ignored) -> Ignored {
        if self == Ignored::Include {
            self
        } else {
            other
        }
    }
}

/// Cuts a text into words as a shell does: blanks separate, `'…'` is literal, in `"…"` and outside
/// quotes a backslash takes the next character as it is.
fn split_words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some('"') | None, '\\') => {
                let next = chars.next().ok_or("the arguments end in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("the arguments have a quote that does not end".to_string());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Options {
        Options::parse(text).expect("these arguments are right")
    }

    #[test]
    fn words_are_cut_as_a_shell_does() {
        let words = split_words(r#" a  'b c' "d \" e"f '' g\ h '"' "#).expect("all quotes end");
        assert_eq!(words, ["a", "b c", "d \" ef", "", "g h", "\""]);
        assert_eq!(split_words("it\\'s").expect("an escape"), ["it's"]);
        assert!(split_words("").expect("nothing").is_empty());
        for broken in ["'a", "\"a\\\"", "a\\"] {
            assert!(split_words(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn no_argument_selects_all_but_ignored() {
        let options = parse("");
        assert!(options.selects("a::b"));
        assert_eq!((options.ignored, options.timeout_s), (Ignored::Skip, None));
        assert!(!options.exact && !options.list && !options.quiet && !options.announce);
    }

    #[test]
    fn filters_are_alternatives_and_skip_wins() {
        let options = parse("chan timer --skip slow --skip=loom");
        assert!(options.selects("chan::send") && options.selects("a_timer_fires"));
        assert!(!options.selects("mutex") && !options.selects("chan::slow"));
        assert!(!options.selects("loom_timer"));
    }

    #[test]
    fn exact_is_for_the_whole_name() {
        let options = parse("--exact send a::recv --skip recv");
        assert!(options.selects("send") && !options.selects("chan::send"));
        assert!(options.selects("a::recv"));
    }

    #[test]
    fn flags_that_cargo_and_editors_pass_are_accepted() {
        let options = parse("--bench --test-threads=4 --color always --format pretty --nocapture");
        assert!(options.announce && !options.quiet);
        assert!(parse("--format=terse --list").quiet);
        assert!(parse("-q").quiet);
        assert_eq!(parse("--ignored").ignored, Ignored::Only);
        assert_eq!(
            parse("--include-ignored --ignored").ignored,
            Ignored::Include
        );
    }

    #[test]
    fn values_are_for_the_tests_and_no_filters() {
        let options = parse("chan ops=5 empty= ops=10=5 --exact");
        assert_eq!(options.filters, ["chan"]);
        assert_eq!(options.value("ops"), Some("10=5"), "the last one holds");
        assert_eq!(options.value("empty"), Some(""));
        assert_eq!(options.value("chan"), None);
    }

    #[test]
    fn time_limits_are_whole_seconds() {
        assert_eq!(parse("--timeout 5 --timeout=15").timeout_s, Some(15));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("--exakt", "unknown argument '--exakt'"),
            ("-x", "unknown argument '-x'"),
            ("--exact=1", "--exact takes no value"),
            ("a --skip", "--skip needs a value"),
            ("--test-threads 0", "--test-threads is not '0'"),
            ("--timeout 0", "--timeout is not '0'"),
            ("--format json", "--format cannot be 'json'"),
        ] {
            let error = Options::parse(text).expect_err("a mistake");
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}

//! The kernel command line.
//!
//! Words `key=value`, separated by white space. A value may stand in double quotes, inside which
//! `\"` and `\\` mean `"` and `\`. Nothing is guessed: an unknown key, a value that is not
//! allowed, a key that comes twice, text that is not UTF-8 or holds control characters each end
//! the boot with one line that names key, value and what is allowed.
//!
//! Pure: no hardware, no state. [`Options`] prints as a command line that parses to the same.
//!
//! Refused: the last of two equal keys wins (a script that appends to a line should know); units
//! other than those in the names; abbreviations.

use alloc::string::String;
use core::fmt;

use crate::base::faults::{self, Faults};
use crate::base::quoted::Quoted;

mod word;

use self::word::{Word, next_word};

/// What the kernel was asked for at boot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// How many Ps; `None`: one for each CPU. Compare with the CPUs by [`Options::check_cpus`].
    pub gomaxprocs: Option<usize>,
    /// Which scheduler.
    pub sched: SchedModel,
    /// How running goroutines are made to give way.
    pub preempt: PreemptMode,
    /// The time slice.
    pub slice_us: SliceUs,
    /// Where the scheduler's random choices start; `None`: the kernel chooses.
    pub seed: Option<u64>,
    /// Percent of safe points that yield, and of steals and wake-ups that are shuffled.
    pub chaos_percent: u8,
    /// Time between two lines of the scheduler's state; 0: none.
    pub schedtrace_ms: u64,
    /// Whether those lines are followed by one for each P, M and G.
    pub scheddetail: bool,
    /// How much a fatal report shows.
    pub traceback: Traceback,
    /// Where the execution trace goes; `None`: nowhere, but the last events are kept.
    pub trace: Option<String>,
    /// Shell commands to run first, `;` between them.
    pub run: Option<String>,
    /// The arguments of a test or benchmark image, white space between them.
    pub args: Option<String>,
    /// What shall go wrong.
    pub faults: Faults,
}

/// A time slice in microseconds; Go's 10 ms by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SliceUs(pub u64);

/// The three schedulers that Go has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SchedModel {
    /// Local run queues with stealing (Go 1.1).
    #[default]
    Gmp,
    /// Many Ms on one locked queue (Go 1.0).
    Global,
    /// One M's loop (Go 0.x).
    Single,
}

/// How running goroutines are made to give way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PreemptMode {
    /// Flags at safe points, and the interrupt's own switch where there are none.
    #[default]
    Async,
    /// Flags at safe points alone.
    Coop,
    /// Not at all.
    Off,
}

/// How much a fatal report shows (Go: `GOTRACEBACK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Traceback {
    /// No stacks.
    None,
    /// The goroutine that failed.
    #[default]
    Single,
    /// All goroutines.
    All,
    /// All goroutines, with the frames of the runtime.
    System,
}

/// Why a command line is refused; prints as one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OptionError<'a> {
    /// The text is not UTF-8 from this byte on.
    NotUtf8(usize),
    /// A control character.
    Control(char),
    /// A word without `=`.
    NotKeyValue(&'a str),
    /// No such key.
    UnknownKey(&'a str),
    /// A key that came before.
    Duplicate(&'a str),
    /// A quote that is never closed.
    Unclosed(&'a str),
    /// A quote amid an unquoted value, or text right behind a quoted one.
    MisplacedQuote(&'a str),
    /// A backslash inside quotes before something else than `"` or `\`.
    Escape(&'a str, char),
    /// A value that the key does not take.
    Value {
        /// The key.
        key: &'static str,
        /// The value as it stands in the line.
        value: &'a str,
        /// What would be taken.
        allowed: &'static str,
    },
    /// More Ps than CPUs.
    TooManyProcs {
        /// Asked for.
        gomaxprocs: usize,
        /// There are.
        cpus: usize,
    },
}

/// A key with its text for [`usage`] and errors.
struct Key {
    name: &'static str,
    allowed: &'static str,
    meaning: &'static str,
}

const KEYS: [Key; 13] = [
    Key {
        name: "gomaxprocs",
        allowed: "a number from 1 to the number of CPUs",
        meaning: "how many Ps (default: all CPUs)",
    },
    Key {
        name: "sched",
        allowed: "gmp, global or single",
        meaning: "the scheduler: local queues with stealing (default), one locked queue, one loop",
    },
    Key {
        name: "preempt",
        allowed: "async, coop or off",
        meaning: "safe points and interrupts (default), safe points alone, neither",
    },
    Key {
        name: "slice_us",
        allowed: "a number of microseconds from 100",
        meaning: "the time slice (default 10000)",
    },
    Key {
        name: "seed",
        allowed: "a number from 0 to 18446744073709551615",
        meaning: "where the scheduler's random choices start",
    },
    Key {
        name: "chaos",
        allowed: "a percentage from 0 to 100",
        meaning: "safe points that yield, steals and wake-ups that are shuffled (default 0)",
    },
    Key {
        name: "schedtrace",
        allowed: "a number of milliseconds, 0 for never",
        meaning: "time between two lines of the scheduler's state (default 0)",
    },
    Key {
        name: "scheddetail",
        allowed: "0 or 1",
        meaning: "a line for each P, M and G as well (default 0)",
    },
    Key {
        name: "traceback",
        allowed: "none, single, all or system",
        meaning: "what fatal reports show, as GOTRACEBACK (default single)",
    },
    Key {
        name: "trace",
        allowed: "a file's name (letters, digits, '.', '_', '-'), or off",
        meaning: "the host's file for the execution trace; off: not even the last events are kept",
    },
    Key {
        name: "run",
        allowed: "shell commands, `;` between them",
        meaning: "run them before the shell reads the console; `exit` ends the image",
    },
    Key {
        name: "args",
        allowed: "words",
        meaning: "arguments of a test or benchmark image",
    },
    Key {
        name: "faults",
        allowed: faults::ALLOWED,
        meaning: "what goes wrong on purpose, to see that the kernel bears it",
    },
];

/// The longest slice whose nanoseconds fit a `u64`.
const MAX_SLICE_US: u64 = u64::MAX / 1000;

impl Options {
    /// Reads a command line.
    ///
    /// # Errors
    /// [`OptionError`]: what the first fault is.
    pub fn parse(line: &[u8]) -> Result<Self, OptionError<'_>> {
        let line = core::str::from_utf8(line).map_err(|e| OptionError::NotUtf8(e.valid_up_to()))?;
        let is_control = |c: &char| c.is_control() && !c.is_ascii_whitespace();
        if let Some(control) = line.chars().find(is_control) {
            return Err(OptionError::Control(control));
        }
        let mut options = Self::default();
        let mut seen = [false; KEYS.len()];
        let mut rest = line.trim_ascii_start();
        while !rest.is_empty() {
            let (word, after) = next_word(rest)?;
            let index = KEYS.iter().position(|key| key.name == word.key);
            let index = index.ok_or(OptionError::UnknownKey(word.key))?;
            if core::mem::replace(&mut seen[index], true) {
                return Err(OptionError::Duplicate(word.key));
            }
            options.set(&KEYS[index], &word)?;
            rest = after.trim_ascii_start();
        }
        Ok(options)
    }

    /// Holds `gomaxprocs` against the CPUs that were found.
    ///
    /// # Errors
    /// When more Ps were asked for than there are CPUs.
    pub fn check_cpus(&self, cpus: usize) -> Result<(), OptionError<'static>> {
        match self.gomaxprocs {
            Some(gomaxprocs) if gomaxprocs > cpus => {
                Err(OptionError::TooManyProcs { gomaxprocs, cpus })
            }
            _ => Ok(()),
        }
    }

    /// The time slice in nanoseconds.
    pub fn slice_ns(&self) -> u64 {
        self.slice_us.0 * 1000
    }

    fn set<'a>(&mut self, key: &'static Key, word: &Word<'a>) -> Result<(), OptionError<'a>> {
        let number = |min, max| word.number(min, max).ok_or_else(|| word.refused(key));
        match key.name {
            "gomaxprocs" => self.gomaxprocs = Some(number(1, usize::MAX as u64)? as usize),
            "sched" => self.sched = word.one_of(key, &SCHED_MODELS)?,
            "preempt" => self.preempt = word.one_of(key, &PREEMPT_MODES)?,
            "slice_us" => self.slice_us = SliceUs(number(100, MAX_SLICE_US)?),
            "seed" => self.seed = Some(number(0, u64::MAX)?),
            "chaos" => self.chaos_percent = number(0, 100)? as u8,
            "schedtrace" => self.schedtrace_ms = number(0, u64::MAX / 1_000_000)?,
            "scheddetail" => self.scheddetail = number(0, 1)? == 1,
            "traceback" => self.traceback = word.one_of(key, &TRACEBACKS)?,
            "trace" => self.trace = Some(word.file_name(key)?),
            "run" => self.run = Some(word.text()?),
            "args" => self.args = Some(word.text()?),
            _ => self.faults = word.read(key, Faults::parse)?,
        }
        Ok(())
    }
}

const SCHED_MODELS: [(&str, SchedModel); 3] = [
    ("gmp", SchedModel::Gmp),
    ("global", SchedModel::Global),
    ("single", SchedModel::Single),
];

const PREEMPT_MODES: [(&str, PreemptMode); 3] = [
    ("async", PreemptMode::Async),
    ("coop", PreemptMode::Coop),
    ("off", PreemptMode::Off),
];

const TRACEBACKS: [(&str, Traceback); 4] = [
    ("none", Traceback::None),
    ("single", Traceback::Single),
    ("all", Traceback::All),
    ("system", Traceback::System),
];

/// The word of an enumeration's value.
fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    let found = names.iter().find(|(_, named)| *named == value);
    found.expect("every value has a name").0
}

impl Default for SliceUs {
    fn default() -> Self {
        Self(10_000)
    }
}

/// All keys with what they take and mean, one line each.
pub fn usage() -> impl fmt::Display {
    Usage
}

struct Usage;

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel command line: words key=value, value or \"value\"")?;
        for Key {
            name,
            allowed,
            meaning,
        } in &KEYS
        {
            write!(f, "\n  {name:<11} {allowed}\n              {meaning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Options {
    /// Every option that has a value, as a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sched = name_of(&SCHED_MODELS, self.sched);
        let preempt = name_of(&PREEMPT_MODES, self.preempt);
        let traceback = name_of(&TRACEBACKS, self.traceback);
        write!(
            f,
            "sched={sched} preempt={preempt} slice_us={}",
            self.slice_us.0
        )?;
        write!(
            f,
            " chaos={} schedtrace={}",
            self.chaos_percent, self.schedtrace_ms
        )?;
        write!(
            f,
            " scheddetail={} traceback={traceback}",
            u8::from(self.scheddetail)
        )?;
        if let Some(gomaxprocs) = self.gomaxprocs {
            write!(f, " gomaxprocs={gomaxprocs}")?;
        }
        if let Some(seed) = self.seed {
            write!(f, " seed={seed}")?;
        }
        if let Some(trace) = &self.trace {
            write!(f, " trace={trace}")?;
        }
        for (key, text) in [("run", &self.run), ("args", &self.args)] {
            if let Some(text) = text {
                write!(f, " {key}={}", Quoted(text))?;
            }
        }
        if self.faults != Faults::default() {
            write!(f, " faults={}", self.faults)?;
        }
        Ok(())
    }
}

impl fmt::Display for OptionError<'_> {
    /// One line; what came from the command line is escaped, so it stays one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad kernel command line: ")?;
        match self {
            Self::NotUtf8(at) => write!(f, "byte {at} is not UTF-8"),
            Self::Control(c) => write!(f, "control character {c:?}"),
            Self::NotKeyValue(word) => write!(f, "{word:?} is not key=value"),
            Self::UnknownKey(key) => {
                write!(f, "unknown key {key:?}; allowed:")?;
                KEYS.iter().try_for_each(|key| write!(f, " {}", key.name))
            }
            Self::Duplicate(key) => write!(f, "{key} is given twice; once is allowed"),
            Self::Unclosed(key) => write!(f, "{key}: the quote is not closed"),
            Self::MisplacedQuote(key) => {
                write!(f, "{key}: quotes are allowed around the whole value only")
            }
            Self::Escape(key, c) => {
                write!(
                    f,
                    "{key}: \\ before {c:?}; allowed in quotes: \\\" and \\\\"
                )
            }
            Self::Value {
                key,
                value,
                allowed,
            } => {
                write!(f, "{key}={value:?} is not allowed; allowed: {allowed}")
            }
            Self::TooManyProcs { gomaxprocs, cpus } => write!(
                f,
                "gomaxprocs=\"{gomaxprocs}\" is not allowed; allowed: a number from 1 to {cpus}, \
                 the number of CPUs"
            ),
        }
    }
}

#[cfg(test)]
mod tests;

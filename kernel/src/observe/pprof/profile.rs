//! What all profiles are: stacks, each with one or two values and labels.

use alloc::string::String;
use alloc::vec::Vec;

use crate::observe::symbols::{Frame, Symbolizer};
use crate::sched::labels::Labels;

/// What a value counts, and in what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueType {
    /// `samples`, `cpu`, `contentions`, `delay`, `goroutine`.
    pub name: &'static str,
    /// `count` or `nanoseconds`.
    pub unit: &'static str,
}

/// Which profile, with pprof's words for its values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Samples, and the CPU time that they stand for.
    Cpu,
    /// How many goroutines have this stack.
    Goroutine,
    /// How many waits, and their time.
    Block,
    /// How many waiters were woken by an unlocking, and the time that they had waited.
    Mutex,
}

const COUNT: &str = "count";
const NANOSECONDS: &str = "nanoseconds";

const CONTENTION: &[ValueType] = &[
    ValueType {
        name: "contentions",
        unit: COUNT,
    },
    ValueType {
        name: "delay",
        unit: NANOSECONDS,
    },
];

impl Kind {
    /// Go's name for the profile.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cpu => "cpu",
            Kind::Goroutine => "goroutine",
            Kind::Block => "block",
            Kind::Mutex => "mutex",
        }
    }

    /// What its values are.
    pub fn values(self) -> &'static [ValueType] {
        match self {
            Kind::Cpu => &[
                ValueType {
                    name: "samples",
                    unit: COUNT,
                },
                ValueType {
                    name: "cpu",
                    unit: NANOSECONDS,
                },
            ],
            Kind::Goroutine => &[ValueType {
                name: "goroutine",
                unit: COUNT,
            }],
            Kind::Block | Kind::Mutex => CONTENTION,
        }
    }

    /// What the period counts.
    pub fn period(self) -> ValueType {
        match self {
            Kind::Cpu => self.values()[1],
            _ => self.values()[0],
        }
    }

    /// Whether the scheduler's own frames on top of the stack are left out: that a goroutine waits
    /// in it goes without saying.
    pub(super) fn hides_scheduler(self) -> bool {
        matches!(self, Kind::Block | Kind::Mutex)
    }
}

/// A profile that was taken.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Which.
    pub kind: Kind,
    /// All stacks, the largest last value first.
    pub samples: Vec<Sample>,
    /// For how long it was taken; 0: since boot, or at an instant.
    pub duration_ns: u64,
    /// One sample or event stands for so much.
    pub period: u64,
    /// What found no room.
    pub dropped: u64,
}

/// A stack, how often, and whose.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Innermost first. All are return addresses, but the first if [`Sample::exact`].
    pub pcs: Vec<usize>,
    /// The first pc is that of an interrupted instruction.
    pub exact: bool,
    /// As many as the kind has; the rest is 0.
    pub values: [u64; 2],
    /// Of the goroutine.
    pub labels: Labels,
    /// Numbers of the same kind.
    pub numbers: Vec<(&'static str, u64)>,
}

impl Sample {
    /// The addresses whose functions and lines are those of the calls.
    pub fn lookup_pcs(&self) -> impl Iterator<Item = u64> {
        let exact = self.exact;
        let lookup = move |(i, &pc): (usize, &usize)| match exact && i == 0 {
            true => pc as u64,
            false => (pc as u64).saturating_sub(1),
        };
        self.pcs.iter().enumerate().map(lookup)
    }
}

impl Profile {
    /// Puts the most important stacks first.
    pub(super) fn sort(&mut self) {
        let last = self.kind.values().len() - 1;
        self.samples
            .sort_by_key(|sample| core::cmp::Reverse(sample.values[last]));
    }

    /// The sum of a value.
    pub fn total(&self, value: usize) -> u64 {
        self.samples.iter().map(|sample| sample.values[value]).sum()
    }
}

/// A line of source that a pc lies in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Line {
    /// The function.
    pub function: String,
    /// Its name in the ELF.
    pub linked: String,
    /// The file; empty if not known.
    pub file: String,
    /// The line; 0 if not known.
    pub line: u32,
}

/// Finds the lines of a pc, innermost function first.
pub trait Lookup {
    /// None if the pc is in no known function.
    fn lines(&mut self, pc: u64) -> Vec<Line>;
}

impl Lookup for Symbolizer {
    fn lines(&mut self, pc: u64) -> Vec<Line> {
        self.frames(pc).iter().map(line).collect()
    }
}

fn line(frame: &Frame) -> Line {
    use alloc::string::ToString;
    Line {
        function: frame.function.to_string(),
        linked: frame.function.0.to_string(),
        file: frame.file.map_or_else(String::new, |file| file.to_string()),
        line: frame.line,
    }
}

/// The lines of the calls of a stack, call for call, innermost first, without those that its kind
/// hides. A call without a name has no lines.
pub(super) fn visible_calls(
    kind: Kind,
    sample: &Sample,
    lookup: &mut dyn Lookup,
) -> Vec<(u64, Vec<Line>)> {
    let mut hiding = kind.hides_scheduler();
    let mut calls = Vec::with_capacity(sample.pcs.len());
    for pc in sample.lookup_pcs() {
        let mut lines = lookup.lines(pc);
        if hiding {
            let of_scheduler = |line: &Line| line.file.starts_with("kernel/src/sched/");
            let hidden = lines.iter().take_while(|line| of_scheduler(line)).count();
            let all = hidden == lines.len() && hidden > 0;
            lines.drain(..hidden);
            hiding = all;
            if all {
                continue;
            }
        }
        calls.push((pc, lines));
    }
    calls
}

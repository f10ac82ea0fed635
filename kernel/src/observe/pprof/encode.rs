//! A profile as pprof's protocol buffer (github.com/google/pprof, `proto/profile.proto`), not
//! compressed.
//!
//! All strings are indices into one table, whose first is empty. Ids are from 1. A location is a
//! pc with its lines, innermost first; a pc of which a kind hides lines is another location. The
//! addresses of callers are return addresses less 1, since the reader takes them as they are.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::profile::{Kind, Line, Lookup, Profile, Sample, ValueType, visible_calls};
use super::proto::Message;

/// Where the kernel's code lies.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
}

impl Mapping {
    /// The kernel's own.
    pub fn kernel() -> Self {
        let (start, end) = super::leaf::kernel_text();
        Self { start, end }
    }
}

/// The name of the mapping, as pprof shows it.
const FILE: &str = "gosched";
const MAPPING: u64 = 1;

// Fields of Profile.
const SAMPLE_TYPE: u64 = 1;
const SAMPLE: u64 = 2;
const MAPPINGS: u64 = 3;
const LOCATION: u64 = 4;
const FUNCTION: u64 = 5;
const STRING_TABLE: u64 = 6;
const DURATION_NANOS: u64 = 10;
const PERIOD_TYPE: u64 = 11;
const PERIOD: u64 = 12;
const COMMENT: u64 = 13;

/// The bytes of a profile.
pub fn encode(profile: &Profile, mapping: Mapping, lookup: &mut dyn Lookup) -> Vec<u8> {
    let mut encoder = Encoder {
        out: Message::default(),
        tables: Tables::default(),
    };
    encoder.tables.strings.id("");
    for &value in profile.kind.values() {
        encoder.value_type(SAMPLE_TYPE, value);
    }
    for sample in &profile.samples {
        encoder.sample(profile.kind, sample, lookup);
    }
    encoder.mapping(mapping);
    encoder.value_type(PERIOD_TYPE, profile.kind.period());
    encoder.out.uint(PERIOD, profile.period);
    encoder.out.uint(DURATION_NANOS, profile.duration_ns);
    if profile.dropped != 0 {
        let text = alloc::format!("{} found no room and are missing", profile.dropped);
        let text = encoder.tables.strings.id(&text);
        encoder.out.uint(COMMENT, text);
    }
    encoder.finish(mapping)
}

struct Encoder {
    out: Message,
    tables: Tables,
}

#[derive(Default)]
struct Tables {
    strings: Ids<String>,
    functions: Ids<Function>,
    /// Those with the same pc and as many lines are the same.
    locations: Ids<(u64, usize)>,
    lines: Vec<Vec<(u64, u32)>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    name: u64,
    linked: u64,
    file: u64,
}

/// Values with numbers from 0, in the order of their coming.
struct Ids<T> {
    known: BTreeMap<T, u64>,
    all: Vec<T>,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            all: Vec::new(),
        }
    }
}

impl<T: Ord + Clone> Ids<T> {
    fn id<Q>(&mut self, value: &Q) -> u64
    where
        T: core::borrow::Borrow<Q>,
        Q: Ord + ?Sized + alloc::borrow::ToOwned<Owned = T>,
    {
        if let Some(&id) = self.known.get(value) {
            return id;
        }
        let id = self.all.len() as u64;
        self.known.insert(value.to_owned(), id);
        self.all.push(value.to_owned());
        id
    }
}

impl Tables {
    fn location(&mut self, pc: u64, lines: &[Line]) -> u64 {
        let id = self.locations.id(&(pc, lines.len()));
        if id == self.lines.len() as u64 {
            let lines = lines.iter().map(|line| (self.function(line), line.line));
            let lines = lines.collect();
            self.lines.push(lines);
        }
        id + 1
    }

    fn function(&mut self, line: &Line) -> u64 {
        let function = Function {
            name: self.strings.id(line.function.as_str()),
            linked: self.strings.id(line.linked.as_str()),
            file: self.strings.id(line.file.as_str()),
        };
        self.functions.id(&function) + 1
    }
}

impl Encoder {
    fn value_type(&mut self, field: u64, value: ValueType) {
        let (name, unit) = (
            self.tables.strings.id(value.name),
            self.tables.strings.id(value.unit),
        );
        self.out.message(field, |m| {
            m.uint(1, name);
            m.uint(2, unit);
        });
    }

    fn sample(&mut self, kind: Kind, sample: &Sample, lookup: &mut dyn Lookup) {
        let Self { out, tables } = self;
        let calls = visible_calls(kind, sample, lookup);
        let stack: Vec<u64> = calls
            .iter()
            .map(|(pc, lines)| tables.location(*pc, lines))
            .collect();
        let texts: Vec<(u64, u64)> = sample
            .labels
            .iter()
            .map(|(key, value)| (tables.strings.id(key), tables.strings.id(value)))
            .collect();
        let numbers: Vec<(u64, u64)> = sample
            .numbers
            .iter()
            .map(|&(key, number)| (tables.strings.id(key), number))
            .collect();
        let values = &sample.values[..kind.values().len()];
        out.message(SAMPLE, |m| {
            m.packed(1, stack);
            m.packed(2, values.iter().copied());
            for (key, text) in texts {
                m.message(3, |m| {
                    m.uint(1, key);
                    m.uint(2, text);
                });
            }
            for (key, number) in numbers {
                m.message(3, |m| {
                    m.uint(1, key);
                    m.uint(3, number);
                });
            }
        });
    }

    fn mapping(&mut self, mapping: Mapping) {
        let file = self.tables.strings.id(FILE);
        self.out.message(MAPPINGS, |m| {
            m.uint(1, MAPPING);
            m.uint(2, mapping.start);
            m.uint(3, mapping.end);
            m.uint(5, file);
            // Functions, files, lines and inlined functions are all there.
            (7..=10).for_each(|field| m.uint(field, 1));
        });
    }

    fn finish(mut self, mapping: Mapping) -> Vec<u8> {
        let Tables {
            strings,
            functions,
            locations,
            lines,
        } = &self.tables;
        for (i, ((pc, _), lines)) in locations.all.iter().zip(lines).enumerate() {
            let inside = (mapping.start..mapping.end).contains(pc);
            self.out.message(LOCATION, |m| {
                m.uint(1, i as u64 + 1);
                m.uint(2, if inside { MAPPING } else { 0 });
                m.uint(3, *pc);
                for &(function, line) in lines {
                    m.message(4, |m| {
                        m.uint(1, function);
                        m.int(2, i64::from(line));
                    });
                }
            });
        }
        for (i, function) in functions.all.iter().enumerate() {
            self.out.message(FUNCTION, |m| {
                m.uint(1, i as u64 + 1);
                m.uint(2, function.name);
                m.uint(3, function.linked);
                m.uint(4, function.file);
            });
        }
        for string in &strings.all {
            self.out.string(STRING_TABLE, string);
        }
        self.out.into_bytes()
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

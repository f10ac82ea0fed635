//! What `encode` writes, read back field by field by a reader of its own.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::super::profile::{Kind, Line, Lookup, Profile, Sample};
use super::{Mapping, encode};
use crate::sched::labels::Labels;

/// A field of a message.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)),
            2 => {
                let len = varint(&mut bytes) as usize;
                let (inside, rest) = bytes.split_at(len);
                bytes = rest;
                Value::Bytes(inside.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, value));
    }
    found
}

fn messages(of: &[(u64, Value)], field: u64) -> Vec<Vec<(u64, Value)>> {
    let bytes = |(number, value): &(u64, Value)| match value {
        Value::Bytes(bytes) if *number == field => Some(fields(bytes)),
        _ => None,
    };
    of.iter().filter_map(bytes).collect()
}

fn number(of: &[(u64, Value)], field: u64) -> u64 {
    let found = of.iter().find(|(number, _)| *number == field);
    match found {
        Some((_, Value::Number(value))) => *value,
        Some(other) => panic!("{other:?} is no number"),
        None => 0,
    }
}

fn packed(of: &[(u64, Value)], field: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for (number, value) in of {
        if let (true, Value::Bytes(bytes)) = (*number == field, value) {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                all.push(varint(&mut rest));
            }
        }
    }
    all
}

fn strings(of: &[(u64, Value)]) -> Vec<String> {
    let text = |(number, value): &(u64, Value)| match value {
        Value::Bytes(bytes) if *number == 6 => Some(String::from_utf8(bytes.clone()).unwrap()),
        _ => None,
    };
    of.iter().filter_map(text).collect()
}

/// Two functions: one at 0x1000 with another inlined, and the scheduler at 0x2000, inlined into
/// what waits.
struct Table;

fn line(function: &str, file: &str, line: u32) -> Line {
    Line {
        function: function.to_string(),
        linked: std::format!("_R{function}"),
        file: file.to_string(),
        line,
    }
}

impl Lookup for Table {
    fn lines(&mut self, pc: u64) -> Vec<Line> {
        match pc {
            0x1000..0x1100 => std::vec![line("inner", "a.rs", 7), line("outer", "a.rs", 9)],
            0x2000..0x2100 => std::vec![
                line("park", "kernel/src/sched/park.rs", 1),
                line("recv", "kernel/src/chan/raw.rs", 2)
            ],
            0x3000..0x3100 => std::vec![line("mcall", "kernel/src/sched/x.rs", 3)],
            _ => Vec::new(),
        }
    }
}

fn sample(pcs: &[usize], exact: bool, values: [u64; 2]) -> Sample {
    Sample {
        pcs: pcs.to_vec(),
        exact,
        values,
        labels: Labels::new(),
        numbers: Vec::new(),
    }
}

fn encoded(kind: Kind, samples: Vec<Sample>, dropped: u64) -> Vec<(u64, Value)> {
    let profile = Profile {
        kind,
        samples,
        duration_ns: 5,
        period: 10_000_000,
        dropped,
    };
    let mapping = Mapping {
        start: 0x1000,
        end: 0x4000,
    };
    fields(&encode(&profile, mapping, &mut Table))
}

#[test]
fn addresses_of_callers_are_less_one_and_that_of_the_interrupted_is_not() {
    let all = encoded(
        Kind::Cpu,
        std::vec![sample(&[0x1010, 0x1020], true, [1, 2])],
        0,
    );
    let locations: BTreeMap<u64, u64> = messages(&all, 4)
        .iter()
        .map(|location| (number(location, 1), number(location, 3)))
        .collect();
    let stack = packed(&messages(&all, 2)[0], 1);
    let pcs: Vec<u64> = stack.iter().map(|id| locations[id]).collect();
    assert_eq!(pcs, [0x1010, 0x101f]);
    assert_eq!(packed(&messages(&all, 2)[0], 2), [1, 2]);
}

#[test]
fn every_id_is_found_and_no_id_is_zero() {
    let mut labelled = sample(&[0x1010, 0x9999], true, [3, 4]);
    labelled.labels.insert("key", "value");
    labelled.numbers.push(("goroutine", 17));
    let all = encoded(
        Kind::Cpu,
        std::vec![labelled, sample(&[0x1010], true, [1, 1])],
        2,
    );
    let strings = strings(&all);
    assert_eq!(strings[0], "");
    let functions: BTreeMap<u64, String> = messages(&all, 5)
        .iter()
        .map(|f| (number(f, 1), strings[number(f, 2) as usize].clone()))
        .collect();
    assert!(!functions.contains_key(&0));
    let locations = messages(&all, 4);
    assert_eq!(locations.len(), 2, "the same pc is the same location");
    let names: Vec<&String> = messages(&locations[0], 4)
        .iter()
        .map(|line| &functions[&number(line, 1)])
        .collect();
    assert_eq!(names, ["inner", "outer"], "innermost first");
    assert_eq!(number(&locations[0], 2), 1, "in the mapping");
    assert_eq!(number(&locations[1], 2), 0, "not in the mapping");
    let labels = messages(&messages(&all, 2)[0], 3);
    assert_eq!(strings[number(&labels[0], 1) as usize], "key");
    assert_eq!(strings[number(&labels[0], 2) as usize], "value");
    assert_eq!(strings[number(&labels[1], 1) as usize], "goroutine");
    assert_eq!(number(&labels[1], 3), 17);
    assert!(
        strings
            .iter()
            .any(|text| text.starts_with("2 found no room"))
    );
}

#[test]
fn value_types_are_gos() {
    for (kind, types, period) in [
        (
            Kind::Cpu,
            &["samples/count", "cpu/nanoseconds"][..],
            "cpu/nanoseconds",
        ),
        (Kind::Goroutine, &["goroutine/count"], "goroutine/count"),
        (
            Kind::Block,
            &["contentions/count", "delay/nanoseconds"],
            "contentions/count",
        ),
    ] {
        let all = encoded(kind, std::vec![sample(&[0x1010], false, [1, 1])], 0);
        let strings = strings(&all);
        let name = |m: &Vec<(u64, Value)>| {
            let text = |field| strings[number(m, field) as usize].clone();
            std::format!("{}/{}", text(1), text(2))
        };
        let found: Vec<String> = messages(&all, 1).iter().map(name).collect();
        assert_eq!(found, types);
        assert_eq!(name(&messages(&all, 11)[0]), period);
        assert_eq!(packed(&messages(&all, 2)[0], 2).len(), types.len());
        assert_eq!((number(&all, 12), number(&all, 10)), (10_000_000, 5));
    }
}

#[test]
fn the_scheduler_on_top_of_a_wait_is_hidden_and_nothing_else() {
    let stack = [0x3011, 0x2011, 0x1011, 0x2021];
    let shown = |kind| {
        let all = encoded(kind, std::vec![sample(&stack, false, [1, 1])], 0);
        let (strings, functions) = (strings(&all), messages(&all, 5));
        let locations = messages(&all, 4);
        let mut names = Vec::new();
        for id in packed(&messages(&all, 2)[0], 1) {
            for line in messages(&locations[id as usize - 1], 4) {
                let function = &functions[number(&line, 1) as usize - 1];
                names.push(strings[number(function, 2) as usize].clone());
            }
        }
        names
    };
    let rest = ["recv", "inner", "outer", "park", "recv"];
    assert_eq!(shown(Kind::Block), rest);
    let mut all = std::vec!["mcall", "park"];
    all.extend(rest);
    assert_eq!(shown(Kind::Goroutine), all);
}

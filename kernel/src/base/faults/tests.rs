//! Host tests of the value of `faults=`.

use alloc::string::ToString;

use super::{Faults, Machine, Nth};

#[test]
fn what_is_read_prints_the_same() {
    let every = "lost:1,doubled:2,spurious:100,nmi:4,late:5,absent:3,block:7+,frame:4294967295";
    for text in [every, "lost:10", "absent:63", "frame:1", "block:9"] {
        assert_eq!(Faults::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(
        Faults::parse("block:7+,late:3").unwrap(),
        Faults {
            machine: Machine {
                late: 3,
                ..Machine::default()
            },
            block: Some(Nth {
                n: 7,
                and_later: true
            }),
            ..Faults::default()
        }
    );
}

/// Catches a word that is taken for another, or left out: a run without the fault that was asked
/// for would pass for proof.
#[test]
fn what_is_not_a_fault_is_refused() {
    for text in [
        "",
        ",",
        "lost",
        "lost:",
        "lost:0",
        "lost:101",
        "lost:+5",
        "lost:5+",
        "lost:5,",
        "lost:5,lost:5",
        "Lost:5",
        "lost:5 late:5",
        "absent:0",
        "absent:64",
        "absent:1,absent:2",
        "block:0",
        "block:0+",
        "block:+",
        "block:1++",
        "block:4294967296",
        "frame:1,frame:2",
        "other:1",
    ] {
        assert_eq!(Faults::parse(text), None, "{text:?}");
    }
}

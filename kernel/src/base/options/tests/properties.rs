//! Properties of the command line: any bytes are read or refused with one line, and what is printed
//! reads as what it was printed from.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::option;
use proptest::prelude::*;

use super::super::{KEYS, MAX_SLICE_US, Options, PreemptMode, SchedModel, SliceUs, Traceback};
use crate::arch::faults::Faults as Machine;
use crate::base::faults::{Faults, Nth};
use crate::base::properties::properties;

/// What a line may hold between quotes: no control characters, but blanks of all kinds.
fn text() -> impl Strategy<Value = String> {
    "[ -~\u{a0}\u{e9}\u{4e16}\u{1f980}\n\t]{0,12}"
}

fn faults() -> impl Strategy<Value = Faults> {
    let nth = || (1..=u32::MAX, any::<bool>()).prop_map(|(n, and_later)| Nth { n, and_later });
    let percents = [0..=100_u8, 0..=100, 0..=100, 0..=100, 0..=100];
    (percents, 0..=63_u8, option::of(nth()), option::of(nth())).prop_map(
        |([lost, doubled, spurious, nmi, late], absent, block, frame)| Faults {
            machine: Machine {
                lost,
                doubled,
                spurious,
                nmi,
                late,
                absent,
            },
            block,
            frame,
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    let first = (
        option::of(1..usize::MAX),
        prop_oneof![
            Just(SchedModel::Gmp),
            Just(SchedModel::Global),
            Just(SchedModel::Single)
        ],
        prop_oneof![
            Just(PreemptMode::Async),
            Just(PreemptMode::Coop),
            Just(PreemptMode::Off)
        ],
        100..=MAX_SLICE_US,
        option::of(any::<u64>()),
        0..=100_u8,
    );
    let second = (
        0..=u64::MAX / 1_000_000,
        any::<bool>(),
        prop_oneof![
            Just(Traceback::None),
            Just(Traceback::Single),
            Just(Traceback::All),
            Just(Traceback::System)
        ],
        option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,8}"),
        option::of(text()),
        option::of(text()),
        faults(),
    );
    (first, second).prop_map(
        |(
            (gomaxprocs, sched, preempt, slice_us, seed, chaos_percent),
            (schedtrace_ms, scheddetail, traceback, trace, run, args, faults),
        )| Options {
            gomaxprocs,
            sched,
            preempt,
            slice_us: SliceUs(slice_us),
            seed,
            chaos_percent,
            schedtrace_ms,
            scheddetail,
            traceback,
            trace,
            run,
            args,
            faults,
        },
    )
}

/// Near enough to a line for most of it to be looked at: keys, values, quotes and blanks by chance.
fn nearly_a_line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        4 => proptest::sample::select(KEYS.map(|key| key.name).to_vec()).prop_map(String::from),
        1 => "[a-z_]{0,6}",
    ];
    let value = prop_oneof![
        "[0-9]{0,22}",
        "(gmp|global|single|async|coop|off|none|all|system|a\\.out)",
        "\"[a-z \\\\\"]{0,8}\"?",
        "[ -~]{0,6}",
        "((lost|late|absent|block|other):[0-9]{0,3}\\+?,?){0,3}",
    ];
    let word = (key, "(=|==||=\")", value, "[ \t\n]{0,2}")
        .prop_map(|(key, is, value, blanks)| key + &is + &value + &blanks);
    proptest::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

/// Reads it twice to the same end; a fault is one printable line, and what is read reads again
/// from its own text.
fn check(line: &[u8]) -> Result<(), TestCaseError> {
    match Options::parse(line) {
        Ok(options) => {
            let printed = options.to_string();
            prop_assert_eq!(Options::parse(printed.as_bytes()), Ok(options));
        }
        Err(error) => {
            let told = error.to_string();
            prop_assert!(told.starts_with("bad kernel command line: "));
            prop_assert!(
                !told.chars().any(char::is_control),
                "{:?} is one line",
                told
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(properties(1000))]

    /// No bytes make it panic or wait (a slice amid a character, a number that overflows).
    #[test]
    fn any_bytes_are_read_or_refused(line: Vec<u8>) {
        check(&line)?;
    }

    /// As above, where more than the first word is looked at.
    #[test]
    fn what_is_nearly_a_line_is_read_or_refused(line in nearly_a_line()) {
        check(line.as_bytes())?;
    }

    /// A quote or an escape that is printed in another way than it is read.
    #[test]
    fn what_is_printed_reads_the_same(options in options()) {
        let printed = options.to_string();
        prop_assert_eq!(Options::parse(printed.as_bytes()), Ok(options));
    }
}

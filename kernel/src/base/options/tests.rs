//! Host tests of the command line.

use alloc::string::{String, ToString};

use crate::arch::faults::Faults as Machine;
use crate::base::faults::Faults;

use super::{OptionError, Options, PreemptMode, SchedModel, SliceUs, Traceback, usage};

mod properties;

fn parse(line: &str) -> Result<Options, String> {
    Options::parse(line.as_bytes()).map_err(|error| error.to_string())
}

fn error(line: &str) -> String {
    let text = parse(line).unwrap_err();
    assert!(
        text.chars().all(|c| !c.is_control()),
        "{text:?} is one line"
    );
    text.strip_prefix("bad kernel command line: ")
        .unwrap()
        .to_string()
}

#[test]
fn nothing_asked_is_the_default() {
    let options = parse(" \n\t ").unwrap();
    assert_eq!(options, Options::default());
    assert_eq!(options, parse("").unwrap());
    assert_eq!(options.slice_ns(), 10_000_000);
    assert_eq!(options.traceback, Traceback::Single);
    assert_eq!(
        (options.gomaxprocs, options.seed, options.run),
        (None, None, None)
    );
}

#[test]
fn every_key_is_read() {
    let line = "gomaxprocs=3 sched=global preempt=coop slice_us=100 seed=18446744073709551615 \
                chaos=100 schedtrace=1000 scheddetail=1 traceback=system trace=a.out \
                run=\"stats; exit\" args=a faults=lost:5";
    let want = Options {
        gomaxprocs: Some(3),
        sched: SchedModel::Global,
        preempt: PreemptMode::Coop,
        slice_us: SliceUs(100),
        seed: Some(u64::MAX),
        chaos_percent: 100,
        schedtrace_ms: 1000,
        scheddetail: true,
        traceback: Traceback::System,
        trace: Some("a.out".into()),
        run: Some("stats; exit".into()),
        args: Some("a".into()),
        faults: Faults {
            machine: Machine {
                lost: 5,
                ..Machine::default()
            },
            ..Faults::default()
        },
    };
    assert_eq!(parse(line).unwrap(), want);
    assert_eq!(
        parse("sched=\"single\" preempt=\"off\"").unwrap().sched,
        SchedModel::Single
    );
}

#[test]
fn quotes_and_escapes() {
    let args = |line| parse(line).unwrap().args.unwrap();
    assert_eq!(args(r#"args="""#), "");
    assert_eq!(args("args="), "");
    assert_eq!(args(r#"args="a \"b\" \\ c=d" run=x"#), r#"a "b" \ c=d"#);
    assert_eq!(args(r"args=a\b=c"), r"a\b=c");
    assert_eq!(args("args=\"zwölf ⚙\""), "zwölf ⚙");
    assert_eq!(args(r#"args="\\""#), r"\");
}

#[test]
fn each_fault_is_named_with_what_is_allowed() {
    assert_eq!(
        error("sched=gm"),
        "sched=\"gm\" is not allowed; allowed: gmp, global or single"
    );
    assert_eq!(
        error("preempt=Async"),
        "preempt=\"Async\" is not allowed; allowed: async, coop or off"
    );
    assert_eq!(
        error("scheddetail=yes"),
        "scheddetail=\"yes\" is not allowed; allowed: 0 or 1"
    );
    assert_eq!(
        error("slice_us=99"),
        "slice_us=\"99\" is not allowed; allowed: a number of microseconds from 100"
    );
    assert_eq!(
        error("chaos=101"),
        "chaos=\"101\" is not allowed; allowed: a percentage from 0 to 100"
    );
    assert_eq!(
        error("gomaxprocs=0"),
        "gomaxprocs=\"0\" is not allowed; allowed: a number from 1 to the number of CPUs"
    );
    assert_eq!(
        error("seed=1 seed=1"),
        "seed is given twice; once is allowed"
    );
    assert!(error("traceback=crash").ends_with("allowed: none, single, all or system"));
    assert!(error("trace=../x").starts_with("trace=\"../x\" is not allowed"));
    let unknown = "unknown key \"Sched\"; allowed: gomaxprocs sched preempt slice_us seed chaos \
                   schedtrace scheddetail traceback trace run args \
         faults";
    assert_eq!(error("Sched=gmp"), unknown);
    assert_eq!(error("quiet"), "\"quiet\" is not key=value");
    assert_eq!(error("=1"), unknown.replace("Sched", ""));
    assert_eq!(error("run=\"a b"), "run: the quote is not closed");
    assert_eq!(error(r#"run="a\""#), "run: the quote is not closed");
    assert_eq!(
        error(r#"run="a"b"#),
        "run: quotes are allowed around the whole value only"
    );
    assert_eq!(
        error(r#"run=a"b""#),
        "run: quotes are allowed around the whole value only"
    );
    assert_eq!(
        error(r#"run="a\n""#),
        r#"run: \ before 'n'; allowed in quotes: \" and \\"#
    );
    assert_eq!(error("run=a\0"), "control character '\\0'");
    assert_eq!(error("run=\"a\u{1b}[2J\""), "control character '\\u{1b}'");
}

#[test]
fn numbers_are_digits_within_their_limits() {
    for bad in [
        "",
        "+1",
        "-1",
        "0x10",
        "1_000",
        "1 ",
        "18446744073709551616",
        "¹",
    ] {
        let line = alloc::format!("seed=\"{bad}\"");
        assert!(error(&line).contains("allowed: a number from 0"), "{line}");
    }
    assert!(
        error("slice_us=18446744073709551615").contains("slice_us"),
        "its ns overflow"
    );
    assert_eq!(parse("seed=007").unwrap().seed, Some(7));
}

#[test]
fn what_is_not_utf8_is_refused() {
    assert_eq!(Options::parse(b"run=\xff"), Err(OptionError::NotUtf8(4)));
}

#[test]
fn procs_are_held_against_the_cpus() {
    let options = parse("gomaxprocs=4").unwrap();
    assert_eq!(options.check_cpus(4), Ok(()));
    let text = options.check_cpus(2).unwrap_err().to_string();
    assert!(
        text.ends_with("allowed: a number from 1 to 2, the number of CPUs"),
        "{text}"
    );
    assert_eq!(Options::default().check_cpus(1), Ok(()));
}

#[test]
fn options_print_as_what_parses_to_them() {
    for line in [
        "",
        "gomaxprocs=2 seed=0 sched=single",
        r#"run="a\\\"b\"" args="" traceback=none"#,
    ] {
        let options = parse(line).unwrap();
        assert_eq!(parse(&options.to_string()).unwrap(), options, "{options}");
    }
}

#[test]
fn usage_lists_every_key() {
    let text = usage().to_string();
    for key in ["gomaxprocs", "slice_us", "traceback", "args"] {
        assert!(text.contains(key));
    }
    assert!(text.lines().all(|line| line.len() <= 100));
}

#[test]
fn no_line_of_bytes_breaks_it() {
    let alphabet = b"run=\"\\ sched=gmp \xc3\xb6\0seed=1";
    let mut state = 1_u64;
    for _ in 0..100_000 {
        let mut line = [0; 24];
        for byte in &mut line {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = alphabet[(state >> 33) as usize % alphabet.len()];
        }
        match Options::parse(&line) {
            Ok(options) => assert_eq!(parse(&options.to_string()).unwrap(), options),
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    }
}

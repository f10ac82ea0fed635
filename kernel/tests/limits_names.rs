//! Goroutines whose names are any text: empty, of all characters there are, of a megabyte. They are
//! kept whole, and whatever shows them shows lines.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use common::{Random, await_waiting, rounds};
use gosched::observe::waits::{self, Deadlock, EndedBy, Waiter};
use gosched::time::Duration;
use gosched::{Builder, JoinHandle, current, park, runtime};

/// What a terminal obeys, what ends a line or a quote, and what is long (with chaos not as long).
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        " ",
        "a\nb",
        "\r\n\t\0",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "\u{202e}reversed\u{2066}",
        "a\u{301}\u{2028}\u{feff}",
        "\"quoted\\\"} goroutine 1 [running]:",
        "größe 漢字 😀",
        "\u{10ffff}\u{fffd}\u{e000}",
    ]
    .map(String::from)
    .into();
    names.push("n".repeat(rounds(64 << 10)));
    names.push("\u{1b}[31m\n".repeat(rounds(10_000)));
    names.push("ü".repeat(rounds(1 << 20)));
    let mut random = Random::new(1);
    for len in 0..200 {
        let any = || char::from_u32(random.below(0x11_0000) as u32).unwrap_or('\u{85}');
        names.push(core::iter::repeat_with(any).take(len).collect());
        let low = || char::from(random.below(256) as u8);
        names.push(core::iter::repeat_with(low).take(len).collect());
    }
    names
}

/// Parks until it is let go, and says what it is called.
#[inline(never)]
fn sleeper() -> Option<Arc<str>> {
    park();
    current().name().map(Arc::from)
}

/// In a function of its own: all are created at one place.
#[inline(never)]
fn start(builder: Builder) -> JoinHandle<Option<Arc<str>>> {
    builder.spawn(sleeper).unwrap()
}

/// Nothing in it is for the terminal, but the ends of lines and Go's tabs at their beginnings.
fn assert_plain(text: &str, name: &str) {
    let plain = |c: char| "\n\t\"'\\".contains(c) || c.escape_debug().count() == 1;
    if let Some(bad) = text.chars().find(|&c| !plain(c)) {
        panic!("{bad:?} is shown of the name {name:.100?}");
    }
}

/// A name that breaks the header of a dump: whatever reads dumps would take what comes then for
/// frames, and a terminal would obey it. Or one that is cut, or given to the next goroutine.
#[gosched::test]
fn dumps_stay_lines_whatever_the_name() {
    let names = names();
    let nameless = start(Builder::new());
    let named: Vec<_> = names
        .iter()
        .map(|name| (name, start(Builder::new().name(name.as_str()))))
        .collect();
    await_waiting(1 + names.len(), "park");

    // One dump has all of them, which are parked in the same place.
    let text = runtime::stack(true);
    assert_plain(&text, "of them all");
    let mut goroutines: BTreeMap<u64, &str> = BTreeMap::new();
    for part in text.split("\n\n") {
        let goid = part.strip_prefix("goroutine ").unwrap();
        let goid = goid[..goid.find(' ').unwrap()].parse().unwrap();
        assert_eq!(goroutines.insert(goid, part.trim_end()), None);
    }
    let frames = |text: &str| text.split_once('\n').unwrap().1.to_string();
    let wanted = frames(goroutines[&nameless.id()]);
    assert!(wanted.contains("limits_names::sleeper"), "{wanted}");

    for (name, handle) in named {
        let text = goroutines[&handle.id()];
        assert_eq!(frames(text), wanted, "{text:.300}");
        let header = text.lines().next().unwrap();
        let begins = format!("goroutine {} [park] {{name: ", handle.id());
        assert!(header.starts_with(&begins), "{header:.300}");
        assert!(header.ends_with("}:") && header.is_ascii());
        // Whole: no character takes less than itself.
        assert!(header.len() >= begins.len() + name.chars().count());
        assert_eq!(handle.name(), Some(name.as_str()));
        handle.goroutine().unpark();
        assert_eq!(handle.join().unwrap().as_deref(), Some(name.as_str()));
    }
    nameless.goroutine().unpark();
    assert_eq!(nameless.join().unwrap(), None);
}

/// A name that breaks the lines about waits and deadlocks, which are for people: a long one is cut.
#[gosched::test]
fn lines_about_waits_stay_lines_whatever_the_name() {
    for name in names() {
        let waiter = |name: &str| Waiter {
            goid: 7,
            name: Some(name.into()),
            reason: "park",
            since: Duration::ZERO,
            place: "here".into(),
            objects: Vec::new(),
            ended_by: EndedBy::Nobody,
            hopeless: true,
        };
        let deadlock = Deadlock {
            cycle: vec![waiter(&name), waiter("other")],
            others: vec![waiter(&name)],
        };
        let mut table = String::new();
        waits::table(&mut table, &[waiter(&name)]);
        for (text, lines) in [(deadlock.to_string(), 4), (table, 2)] {
            assert_plain(&text, &name);
            assert_eq!(text.lines().count(), lines, "{text:.300}");
            assert!(text.lines().all(|line| line.chars().count() < 1000));
        }
    }
}

gosched::test_main!();

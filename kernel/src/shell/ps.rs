//! `ps`: a line for each goroutine.
//!
//! The world goes on meanwhile. A goroutine that is not running is claimed by its scan bit while
//! its line is read, so that line is true at one instant; of a running one all is a hint.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Write;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use crate::arch::switch;
use crate::observe::dump;
use crate::observe::printable::Printable;
use crate::observe::symbols::{Frame, Symbolizer};
use crate::observe::visible::{self, Kind};
use crate::print;
use crate::sched::SCHED;
use crate::sched::g::{G, Status};
use crate::shell::{Command, Misuse, interrupted};

/// One goroutine as its line shows it.
struct Row {
    goid: u64,
    parent: u64,
    status: Status,
    why: &'static str,
    waiting: Duration,
    cpu: Option<usize>,
    name: Option<Arc<str>>,
    gopc: usize,
    job: u32,
}

impl Row {
    fn shown_name(&self) -> String {
        Printable(self.name.as_deref().unwrap_or("-")).to_string()
    }
}

pub(super) const COMMAND: Command = Command {
    name: "ps",
    usage: "[-s KEY[:desc]] [KEY=VALUE …]",
    about: "shows goroutines; keys: id status wait since cpu name job",
    run,
};

/// How the table is sorted.
#[derive(Clone, Copy)]
enum Key {
    Id,
    Status,
    Wait,
    Since,
    Cpu,
    Name,
    Job,
}

impl Key {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "id" => Self::Id,
            "status" => Self::Status,
            "wait" => Self::Wait,
            "since" | "age" => Self::Since,
            "cpu" => Self::Cpu,
            "name" => Self::Name,
            "job" => Self::Job,
            _ => return None,
        })
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Self::Id => Ordering::Equal,
            Self::Status => status(a.status).cmp(status(b.status)),
            Self::Wait => a.why.cmp(b.why),
            Self::Since => a.waiting.cmp(&b.waiting),
            Self::Cpu => a.cpu.cmp(&b.cpu),
            Self::Name => a.name.cmp(&b.name),
            Self::Job => a.job.cmp(&b.job),
        }
        .then(a.goid.cmp(&b.goid))
    }

    /// Whether a goroutine is one of those that `KEY=VALUE` asks for.
    fn is(self, row: &Row, value: &str) -> bool {
        let number = |n: Option<u64>| n.is_some_and(|n| value.parse() == Ok(n));
        match self {
            Self::Id => number(Some(row.goid)),
            Self::Status => status(row.status) == value,
            Self::Wait => row.why.contains(value),
            // At least so many seconds.
            Self::Since => value
                .parse()
                .is_ok_and(|seconds: u64| row.waiting.as_secs() >= seconds),
            Self::Cpu => number(row.cpu.map(|cpu| cpu as u64)),
            Self::Name => row.name.as_deref().is_some_and(|name| name.contains(value)),
            Self::Job => number(Some(row.job.into())),
        }
    }
}

fn run(args: &[&str]) -> Result<(), Misuse> {
    let (mut key, mut descending) = (Key::Id, false);
    let mut filters = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if *word == "-s" {
            let by = words.next().ok_or(Misuse)?;
            let name = by.strip_suffix(":desc");
            descending = name.is_some();
            key = Key::parse(name.unwrap_or(by)).ok_or(Misuse)?;
        } else {
            let (by, value) = word.split_once('=').ok_or(Misuse)?;
            filters.push((Key::parse(by).ok_or(Misuse)?, value));
        }
    }
    print(key, descending, &filters);
    Ok(())
}

/// The goroutines now, by their numbers.
fn rows() -> Vec<Row> {
    // Room first: nothing is allocated while a goroutine is held.
    let mut rows: Vec<Row> = Vec::with_capacity(2 * SCHED.gcount() + 16);
    SCHED.for_each_g(|gp| {
        if rows.len() < rows.capacity() {
            rows.extend(row(gp));
        }
    });
    rows.sort_unstable_by_key(|row| row.goid);
    rows
}

/// Rows that are printed at once.
const AT_ONCE: usize = 100;

fn print(key: Key, descending: bool, filters: &[(Key, &str)]) {
    let mut rows = rows();
    let all = rows.len();
    rows.retain(|row| filters.iter().all(|(key, value)| key.is(row, value)));
    rows.sort_by(|a, b| match descending {
        true => key.compare(b, a),
        false => key.compare(a, b),
    });
    let mut text = format!(
        "{:>6} {:<9} {:<19} {:>9} {:>3}  {:<10} CREATED BY\n",
        "ID", "STATUS", "WAITS FOR", "SINCE", "CPU", "NAME"
    );
    let mut symbols = Symbolizer::new();
    for some in rows.chunks(AT_ONCE) {
        for row in some {
            add_line(&mut text, row, &mut symbols);
        }
        // Whole lines at once, or those of others would come in between.
        print!("{text}");
        text.clear();
        if interrupted() {
            return;
        }
    }
    let shown = rows.len();
    match shown == all {
        true => print!("{text}{all} goroutines\n"),
        false => print!("{text}{shown} of {all} goroutines\n"),
    }
}

/// Name and creator of these goroutines, as far as they live.
pub(super) fn whos(goids: impl Iterator<Item = u64>) -> BTreeMap<u64, String> {
    let wanted: Vec<u64> = goids.collect();
    let mut symbols = Symbolizer::new();
    rows()
        .iter()
        .filter(|row| wanted.contains(&row.goid))
        .map(|row| {
            let who = format!("{}, {}", row.shown_name(), creator(row, &mut symbols));
            (row.goid, who)
        })
        .collect()
}

fn row(gp: &'static G) -> Option<Row> {
    let status = gp.status();
    // Whoever holds a scan bit must not be kept from releasing it.
    switch::preempt_off();
    let claimed = matches!(status, Status::Runnable | Status::Waiting | Status::Running)
        && gp.try_claim(status);
    let row = (claimed || status == Status::Running).then(|| Row {
        goid: gp.goid.load(Relaxed),
        parent: gp.parent_goid.load(Relaxed),
        status,
        why: if status == Status::Waiting {
            gp.waitreason().text()
        } else {
            ""
        },
        waiting: Duration::from_nanos(dump::wait_ns(gp)),
        cpu: gp.m.load(Relaxed).map(|m| m.id()),
        name: claimed
            // SAFETY: the scan bit keeps it from ending.
            .then(|| unsafe { gp.shared_name() })
            .flatten(),
        gopc: gp.gopc.load(Relaxed),
        job: gp.job.load(Relaxed),
    });
    if claimed {
        gp.unclaim();
    }
    switch::preempt_on();
    row
}

fn add_line(text: &mut String, row: &Row, symbols: &mut Symbolizer) {
    let cpu = row.cpu.map_or(String::from("-"), |cpu| cpu.to_string());
    let since = match row.status {
        Status::Waiting => format!("{:.3}s", row.waiting.as_secs_f32()),
        _ => String::new(),
    };
    // A String takes what it is given.
    let _ = writeln!(
        text,
        "{:>6} {:<9} {:<19} {since:>9} {cpu:>3}  {:<10} {}",
        row.goid,
        status(row.status),
        row.why,
        row.shown_name(),
        creator(row, symbols),
    );
}

/// The function with the `go` statement, its place, and the goroutine that ran it.
fn creator(row: &Row, symbols: &mut Symbolizer) -> String {
    if row.gopc == 0 {
        return String::from("-");
    }
    // The call is before its return address. Of functions that were inlined there the program's own
    // is wanted.
    let frames = symbols.frames(row.gopc as u64 - 1);
    let program = frames
        .iter()
        .find(|frame| visible::kind(frame) == Kind::Program);
    match program.or(frames.last()) {
        Some(Frame {
            function,
            file: Some(file),
            line,
            ..
        }) => {
            format!("{function} {file}:{line} in {}", row.parent)
        }
        Some(Frame { function, .. }) => format!("{function} in {}", row.parent),
        None => format!("{:#x} in {}", row.gopc, row.parent),
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Idle => "idle",
        Status::Runnable => "runnable",
        Status::Running => "running",
        Status::Waiting => "waiting",
        Status::Dead => "dead",
    }
}

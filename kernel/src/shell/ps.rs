//! `ps`: a line for each goroutine.
//!
//! The world goes on meanwhile. A goroutine that is not running is claimed by its scan bit while
//! its line is read, so that line is true at one instant; of a running one all is a hint.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::arch::switch;
use crate::observe::dump;
use crate::observe::symbols::{Frame, Symbolizer};
use crate::observe::visible::{self, Kind};
use crate::print;
use crate::sched::SCHED;
use crate::sched::g::{G, Status};

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
}

/// Prints the table, in the order of goroutine ids.
pub(super) fn print() {
    // Room first: nothing is allocated while a goroutine is held.
    let mut rows: Vec<Row> = Vec::with_capacity(2 * SCHED.gcount() + 16);
    SCHED.for_each_g(|gp| {
        if rows.len() < rows.capacity() {
            rows.extend(row(gp));
        }
    });
    rows.sort_unstable_by_key(|row| row.goid);
    let mut text = format!(
        "{:>6} {:<9} {:<19} {:>9} {:>3}  {:<10} CREATED BY\n",
        "ID", "STATUS", "WAITS FOR", "SINCE", "CPU", "NAME"
    );
    let mut symbols = Symbolizer::new();
    for row in &rows {
        add_line(&mut text, row, &mut symbols);
    }
    // In one piece, or the lines of others would come in between.
    print!("{text}");
}

fn row(gp: &'static G) -> Option<Row> {
    let status = gp.status();
    // Whoever holds a scan bit must not be kept from releasing it.
    switch::preempt_off();
    let claimed = matches!(status, Status::Runnable | Status::Waiting | Status::Running)
        && gp.try_claim(status);
    let row = (claimed || status == Status::Running).then(|| Row {
        goid: gp.goid.load(Ordering::Relaxed),
        parent: gp.parent_goid.load(Ordering::Relaxed),
        status,
        why: if status == Status::Waiting {
            gp.waitreason().text()
        } else {
            ""
        },
        waiting: Duration::from_nanos(dump::wait_ns(gp)),
        cpu: gp.m.load(Ordering::Relaxed).map(|m| m.id()),
        name: claimed
            // SAFETY: the scan bit keeps it from ending.
            .then(|| unsafe { gp.shared_name() })
            .flatten(),
        gopc: gp.gopc.load(Ordering::Relaxed),
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
        row.name.as_deref().unwrap_or("-"),
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

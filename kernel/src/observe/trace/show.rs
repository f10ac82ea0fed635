//! The last moments as text: a line for each CPU.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering;

use super::events::{self, Event, What};
use super::hz;
use crate::arch;
use crate::sched::SCHED;
use crate::sched::m::M;
use crate::sched::trace::Stop;

/// Characters of a line's picture.
const COLUMNS: usize = 84;

/// Who ran how long in one column.
#[derive(Default)]
struct Column {
    ticks: BTreeMap<u64, u64>,
    preempted: bool,
    stolen: bool,
}

/// The last `window_ns`, one line a CPU. A letter is a goroutine, the busiest of its column; the
/// letters go round, and the legend says who is who.
pub fn picture(window_ns: u64) -> String {
    let end = arch::cputicks();
    // The counter may have begun at boot, less than the window ago.
    let start = end.saturating_sub(arch::ns_to_cputicks(window_ns));
    let mut rows = Vec::new();
    for m in SCHED.allm() {
        let mut records = Vec::new();
        m.trace.ring.read(0, &mut records);
        let running = m.curg().map(|gp| gp.goid.load(Ordering::Relaxed));
        rows.push((
            m.id(),
            columns(&events::decode(&records), start, end, running),
        ));
    }
    let letters = letters(&rows);
    let mut text = format!(
        "the last {} ms, {} us a character\n",
        window_ns / 1_000_000,
        window_ns / 1000 / COLUMNS as u64
    );
    for (cpu, columns) in &rows {
        let _ = write!(text, "{cpu:>3} |");
        text.extend(columns.iter().map(|column| symbol(column, &letters)));
        text.push_str("|\n");
    }
    legend(&mut text, &letters, &rows);
    text
}

/// What ran on a CPU lately.
pub struct Share {
    /// The CPU.
    pub cpu: usize,
    /// For how many ticks its ring knows what it did.
    pub known_ticks: u64,
    /// Ticks that each goroutine ran.
    pub ran_ticks: BTreeMap<u64, u64>,
}

/// Who ran how long in the last `window_ns`, or as much of it as each ring goes back.
pub fn shares(window_ns: u64) -> Vec<Share> {
    let end = arch::cputicks();
    // The counter may have begun at boot, less than the window ago.
    let start = end.saturating_sub(arch::ns_to_cputicks(window_ns));
    SCHED.allm().map(|m| share(m, start, end)).collect()
}

fn share(m: &M, start: u64, end: u64) -> Share {
    let mut records = Vec::new();
    let (first, _) = m.trace.ring.read(0, &mut records);
    let events = events::decode(&records);
    let oldest = events.first().map_or(start, |event| event.ticks);
    // What came before the first record is not known; a ring that holds all goes back to boot.
    let start = if first == 0 { start } else { start.max(oldest) };
    let known_ticks = end.saturating_sub(start).max(1);
    let running = m.curg().map(|gp| gp.goid.load(Ordering::Relaxed));
    let mut ran_ticks = BTreeMap::new();
    for column in columns(&events, start, start + known_ticks, running) {
        for (g, ticks) in column.ticks {
            *ran_ticks.entry(g).or_default() += ticks;
        }
    }
    Share {
        cpu: m.id(),
        known_ticks,
        ran_ticks,
    }
}

/// What happened in each column. Before the first event of the ring nothing is known.
fn columns(events: &[Event], start: u64, end: u64, running: Option<u64>) -> Vec<Column> {
    let mut columns: Vec<Column> = (0..COLUMNS).map(|_| Column::default()).collect();
    let width = ((end - start) / COLUMNS as u64).max(1);
    let at = |ticks: u64| ((ticks.max(start) - start) / width).min(COLUMNS as u64 - 1) as usize;
    let mut runs: Option<(u64, u64)> = None;
    for event in events {
        let inside = (start..end).contains(&event.ticks);
        let starts = matches!(event.what, What::Start { .. });
        if event.stop.is_some() || starts || matches!(event.what, What::ProcStop { .. }) {
            if let Some((g, since)) = runs.take() {
                add(&mut columns, g, since.max(start), event.ticks, start, width);
            }
            if inside && event.stop == Some(Stop::Preempted) {
                columns[at(event.ticks)].preempted = true;
            }
        }
        match event.what {
            What::Start { g } => runs = Some((g, event.ticks)),
            What::Steal { .. } if inside => columns[at(event.ticks)].stolen = true,
            _ => {}
        }
    }
    if let Some((g, since)) = runs.or(running.filter(|_| events.is_empty()).map(|g| (g, start))) {
        add(&mut columns, g, since.max(start), end, start, width);
    }
    columns
}

/// Goroutine `g` ran from one time to another.
fn add(columns: &mut [Column], g: u64, from: u64, to: u64, start: u64, width: u64) {
    let mut from = from;
    while from < to {
        let index = ((from - start) / width) as usize;
        let Some(column) = columns.get_mut(index) else {
            return;
        };
        let edge = (start + (index as u64 + 1) * width).min(to);
        *column.ticks.entry(g).or_default() += edge - from;
        from = edge;
    }
}

fn busiest(column: &Column) -> Option<u64> {
    column
        .ticks
        .iter()
        .max_by_key(|(_, ticks)| **ticks)
        .map(|(g, _)| *g)
}

/// The letters of the goroutines that are seen, in their order.
fn letters(rows: &[(usize, Vec<Column>)]) -> BTreeMap<u64, char> {
    let mut seen: Vec<u64> = rows
        .iter()
        .flat_map(|(_, c)| c.iter().filter_map(busiest))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    let alphabet = ('a'..='z').cycle();
    seen.into_iter().zip(alphabet).collect()
}

fn symbol(column: &Column, letters: &BTreeMap<u64, char>) -> char {
    match busiest(column) {
        _ if column.stolen => '<',
        None => '.',
        Some(_) if column.preempted => '!',
        Some(g) => letters.get(&g).copied().unwrap_or('?'),
    }
}

/// Goroutines that the legend names.
const MAX_NAMED: usize = 26;

fn legend(text: &mut String, letters: &BTreeMap<u64, char>, rows: &[(usize, Vec<Column>)]) {
    let mut total: BTreeMap<u64, u64> = BTreeMap::new();
    for column in rows.iter().flat_map(|(_, columns)| columns) {
        for (g, ticks) in &column.ticks {
            *total.entry(*g).or_default() += ticks;
        }
    }
    let mut named: Vec<_> = letters.iter().collect();
    named.sort_by_key(|(g, _)| core::cmp::Reverse(total.get(g).copied().unwrap_or(0)));
    text.push_str(". idle   < it stole   ! preempted\n");
    let mut line = String::new();
    for (g, letter) in named.iter().take(MAX_NAMED) {
        let us = total.get(g).copied().unwrap_or(0) as u128 * 1_000_000 / u128::from(hz());
        let one = format!("{letter}={g} {:.1}ms", us as f64 / 1000.0);
        if line.len() + one.len() > COLUMNS {
            let _ = writeln!(text, "{}", line.trim_end());
            line.clear();
        }
        let _ = write!(line, "{one}   ");
    }
    if named.len() > MAX_NAMED {
        let _ = write!(line, "and {} more", named.len() - MAX_NAMED);
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

//! `stats`: what each P and each M has done since boot.

use alloc::string::String;
use core::fmt::{self, Write};
use core::time::Duration;

use crate::print;
use crate::runtime::{self, MStats, PStats, Stats};

/// Prints both tables. The columns are described in `runtime::PStats` and `runtime::MStats`.
pub(super) fn print() {
    let mut text = String::new();
    // A String takes what it is given.
    let _ = tables(&mut text, &runtime::stats());
    // In one piece, or the lines of others would come in between.
    print!("{text}");
}

fn tables(out: &mut String, stats: &Stats) -> fmt::Result {
    writeln!(
        out,
        "{:>3} {:>9} {:>9} {:>5} {:>9} {:>7} {:>7} {:>7} {:>9} {:>9}",
        "P", "slices", "switches", "runq", "steals", "asked", "taken", "forced", "created", "ended"
    )?;
    stats.ps.iter().try_for_each(|p| p_line(out, p))?;
    writeln!(
        out,
        "\n{:>3} {:>3} {:>10} {:>10} {:>9} {:>9} {:>9}",
        "M", "P", "idle", "spinning", "sent", "got", "ticks"
    )?;
    stats.ms.iter().try_for_each(|m| m_line(out, m))?;
    let (all, queued) = (stats.goroutines, stats.runqueue);
    writeln!(out, "\n{all} goroutines, {queued} in the global queue")
}

fn p_line(out: &mut String, p: &PStats) -> fmt::Result {
    writeln!(
        out,
        "{:>3} {:>9} {:>9} {:>5} {:>9} {:>7} {:>7} {:>7} {:>9} {:>9}",
        p.id,
        p.schedtick,
        p.switches,
        p.runq,
        p.steals,
        p.preempt_asked,
        p.preempt_taken,
        p.preempt_async,
        p.created,
        p.ended,
    )
}

fn m_line(out: &mut String, m: &MStats) -> fmt::Result {
    match m.p {
        Some(p) => write!(out, "{:>3} {p:>3}", m.id)?,
        None => write!(out, "{:>3}   -", m.id)?,
    }
    let seconds = |ns| Duration::from_nanos(ns).as_secs_f32();
    writeln!(
        out,
        " {:>9.3}s {:>9.3}s {:>9} {:>9} {:>9}",
        seconds(m.idle_ns),
        seconds(m.spinning_ns),
        m.ipis_sent,
        m.ipis_got,
        m.ticks,
    )
}

//! Profiles as text, as Go's `debug=1` prints them: pprof opens them together with the kernel's
//! ELF, people read the lines that begin with `#`.
//!
//! The CPU profile has no text form in Go. Here it has that of the goroutine profile, with samples
//! for goroutines. pprof takes all addresses of a text for return addresses; so the interrupted
//! one stands there plus 1.

use alloc::string::String;
use core::fmt::{self, Write};

use super::profile::{Kind, Lookup, Profile, Sample};
use crate::sched::contention;

/// The text.
pub fn text(profile: &Profile, lookup: &mut dyn Lookup) -> String {
    let mut out = String::new();
    // A String takes what it is given.
    let _ = write_text(&mut out, profile, lookup);
    out
}

fn write_text(out: &mut String, profile: &Profile, lookup: &mut dyn Lookup) -> fmt::Result {
    let kind = profile.kind;
    match kind {
        Kind::Cpu | Kind::Goroutine => {
            writeln!(out, "{} profile: total {}", kind.name(), profile.total(0))?;
        }
        Kind::Block => out.write_str("--- contention:\ncycles/second=1000000000\n")?,
        Kind::Mutex => writeln!(
            out,
            "--- mutex:\ncycles/second=1000000000\nsampling period={}",
            contention::mutex_fraction().max(1)
        )?,
    }
    for sample in &profile.samples {
        stack(out, kind, sample, lookup)?;
    }
    if profile.dropped != 0 {
        writeln!(out, "# {} found no room and are missing", profile.dropped)?;
    }
    Ok(())
}

fn stack(out: &mut String, kind: Kind, sample: &Sample, lookup: &mut dyn Lookup) -> fmt::Result {
    match kind {
        Kind::Cpu | Kind::Goroutine => write!(out, "{} @", sample.values[0])?,
        // Go: delay, count.
        Kind::Block | Kind::Mutex => write!(out, "{} {} @", sample.values[1], sample.values[0])?,
    }
    for pc in sample.lookup_pcs() {
        write!(out, " {:#x}", pc + 1)?;
    }
    out.write_str("\n")?;
    if !sample.labels.is_empty() {
        out.write_str("# labels: {")?;
        for (i, (key, value)) in sample.labels.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(out, "{comma}{key:?}:{value:?}")?;
        }
        out.write_str("}\n")?;
    }
    for pc in sample.lookup_pcs() {
        let lines = lookup.lines(pc);
        for line in &lines {
            write!(out, "#\t{pc:#x}\t{}", line.function)?;
            match line.file.as_str() {
                "" => out.write_str("\n")?,
                file => writeln!(out, "\t{file}:{}", line.line)?,
            }
        }
        if lines.is_empty() {
            writeln!(out, "#\t{pc:#x}")?;
        }
    }
    out.write_str("\n")
}

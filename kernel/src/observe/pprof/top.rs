//! The functions that lead a profile, as `go tool pprof -top` lists them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::profile::{Kind, Lookup, Profile, visible_calls};

/// What a function is charged with.
#[derive(Clone, Default)]
struct Sums {
    /// Itself, or what was inlined in it if that has no name of its own.
    flat: u64,
    /// With all that it calls.
    cum: u64,
    /// Where the most of it is.
    at: BTreeMap<(String, u32), u64>,
}

/// A table of the first `n` functions: by the last value of the profile, their own share first in
/// a CPU profile, with all they call in the others, where what waits is always the runtime.
pub fn top(profile: &Profile, n: usize, lookup: &mut dyn Lookup) -> String {
    let value = profile.kind.values().len() - 1;
    let mut functions: BTreeMap<String, Sums> = BTreeMap::new();
    for sample in &profile.samples {
        let amount = sample.values[value];
        let mut seen = BTreeSet::new();
        let calls = visible_calls(profile.kind, sample, lookup);
        let mut first = true;
        for (pc, lines) in calls {
            let unnamed = lines.is_empty();
            let names = lines
                .into_iter()
                .map(|line| (line.function, line.file, line.line))
                .chain(unnamed.then(|| (alloc::format!("{pc:#x}"), String::new(), 0)));
            for (name, file, line) in names {
                let sums = functions.entry(name.clone()).or_default();
                if core::mem::take(&mut first) {
                    sums.flat += amount;
                }
                if seen.insert(name) {
                    sums.cum += amount;
                    *sums.at.entry((file, line)).or_default() += amount;
                }
            }
        }
    }
    let mut rows: Vec<(String, Sums)> = functions.into_iter().collect();
    rows.sort_by_key(|(_, sums)| {
        core::cmp::Reverse(match profile.kind {
            Kind::Cpu => (sums.flat, sums.cum),
            _ => (sums.cum, sums.flat),
        })
    });
    let mut out = String::new();
    // A String takes what it is given.
    let _ = table(&mut out, profile, &rows, n);
    out
}

fn table(out: &mut String, profile: &Profile, rows: &[(String, Sums)], n: usize) -> fmt::Result {
    let value = profile.kind.values().len() - 1;
    let total = profile.total(value);
    let unit = profile.kind.values()[value].unit;
    write!(out, "{}: {}", profile.kind.name(), Amount(total, unit))?;
    if value == 1 {
        write!(
            out,
            ", {} {}",
            profile.total(0),
            profile.kind.values()[0].name
        )?;
    }
    if profile.duration_ns != 0 {
        write!(out, ", in {}", Amount(profile.duration_ns, "nanoseconds"))?;
    }
    if profile.dropped != 0 {
        write!(out, "; {} found no room", profile.dropped)?;
    }
    writeln!(out, "; {} of {} functions", n.min(rows.len()), rows.len())?;
    writeln!(
        out,
        "{:>9} {:>6} {:>9} {:>6}  function",
        "flat", "", "cum", ""
    )?;
    for (name, sums) in rows.iter().take(n) {
        let percent = |part: u64| part as f64 * 100.0 / total.max(1) as f64;
        write!(
            out,
            "{:>9} {:>5.1}% {:>9} {:>5.1}%  {name}",
            alloc::format!("{}", Amount(sums.flat, unit)),
            percent(sums.flat),
            alloc::format!("{}", Amount(sums.cum, unit)),
            percent(sums.cum),
        )?;
        let at = sums.at.iter().max_by_key(|(_, amount)| **amount);
        match at {
            Some(((file, line), _)) if !file.is_empty() => writeln!(out, " {file}:{line}")?,
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

/// A count, or a time in the unit that suits it.
struct Amount(u64, &'static str);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(amount, unit) = *self;
        match amount {
            _ if unit != "nanoseconds" => write!(f, "{amount}"),
            0 => f.write_str("0"),
            1..1_000_000 => write!(f, "{:.2}us", amount as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.2}ms", amount as f64 / 1e6),
            _ => write!(f, "{:.2}s", amount as f64 / 1e9),
        }
    }
}

//! `top`: who uses the CPUs, redrawn as time goes on.
//!
//! What ran how long is read from the flight recorder, so it costs nothing while nobody looks. On a
//! CPU that switches very often the ring may hold less than a frame; its part is then of what it
//! holds.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::observe::trace::show::{self, Share};
use crate::shell::{Command, Misuse, interrupted, ps};
use crate::{print, println, time};

pub(super) const COMMAND: Command = Command {
    name: "top",
    usage: "[SECONDS [FRAMES]]",
    about: "who uses the CPUs, redrawn each second until Ctrl-C",
    run,
};

/// Goroutines that are shown.
const LINES: usize = 16;
/// ECMA-48: the cursor to the first place; what is behind it on a line, and on the page, is erased.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K\n";
const ERASE_PAGE: &str = "\x1b[J";

fn run(args: &[&str]) -> Result<(), Misuse> {
    let number = |word: &&str| word.parse::<u64>().ok().filter(|n| *n > 0).ok_or(Misuse);
    let (seconds, frames) = match args {
        [] => (1, u64::MAX),
        [seconds] => (number(seconds)?, u64::MAX),
        [seconds, frames] => (number(seconds)?, number(frames)?),
        _ => return Err(Misuse),
    };
    if seconds > 60 {
        return Err(Misuse);
    }
    if !crate::sched::trace::is_on() {
        println!("top: the flight recorder is off (trace=off)");
        return Ok(());
    }
    for _ in 0..frames {
        for _ in 0..seconds * 20 {
            time::sleep(Duration::from_millis(50));
            if interrupted() {
                return Ok(());
            }
        }
        // In one piece, or the lines of others would come in between.
        print!("{}", frame(seconds * 1_000_000_000));
    }
    Ok(())
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

fn frame(window_ns: u64) -> String {
    let shares = show::shares(window_ns);
    let mut text = String::from(HOME);
    let mut of_each: BTreeMap<u64, f64> = BTreeMap::new();
    for Share {
        cpu,
        known_ticks,
        ran_ticks,
    } in &shares
    {
        let busy = percent(ran_ticks.values().sum(), *known_ticks);
        let bar: String = core::iter::repeat_n('#', (busy / 2.5) as usize).collect();
        text += &format!("CPU {cpu:>2} {busy:>6.1}% |{bar:<40}|{ERASE_LINE}");
        for (g, ticks) in ran_ticks {
            *of_each.entry(*g).or_default() += percent(*ticks, *known_ticks);
        }
    }
    let mut all: Vec<_> = of_each.into_iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    text += &format!("{:>8} {:>7}  NAME, CREATED BY{ERASE_LINE}", "ID", "CPU");
    let whos = ps::whos(all.iter().take(LINES).map(|(g, _)| *g));
    for (g, use_percent) in all.iter().take(LINES) {
        let who = whos.get(g).map_or("(ended)", String::as_str);
        text += &format!("{g:>8} {use_percent:>6.1}%  {who}{ERASE_LINE}");
    }
    // Before the last newline, so that a prompt stands at the beginning of a line.
    text.insert_str(text.len() - 1, ERASE_PAGE);
    text
}

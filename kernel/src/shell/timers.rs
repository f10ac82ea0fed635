//! `timers`: what is armed.

use alloc::format;
use alloc::string::String;

use crate::sched::SCHED;
use crate::sched::timers::NEVER;
use crate::shell::Command;
use crate::shell::commands::no_arguments;
use crate::{arch, print};

/// Goroutines whose timers are listed.
const MAX_LINES: usize = 1000;

pub(super) const COMMAND: Command = Command {
    name: "timers",
    usage: "",
    about: "timers of each P, and the goroutines that wait for one",
    run: |args| {
        no_arguments(args)?;
        let now_ns = arch::nanotime();
        let mut text = String::new();
        for p in SCHED.allp() {
            let first = match p.timers.min_when() {
                NEVER => String::from("none is due"),
                when_ns => format!("the first {}", due(when_ns, now_ns)),
            };
            text += &format!("P {:>2}: {} timers, {first}\n", p.index(), p.timers.len());
        }
        let mut lines = 0;
        SCHED.for_each_g(|gp| {
            if let Some(when_ns) = gp.timer.armed_until_ns() {
                lines += 1;
                if lines <= MAX_LINES {
                    text += &format!(
                        "goroutine {:>6} [{}] {}\n",
                        gp.goid.load(core::sync::atomic::Ordering::Relaxed),
                        gp.waitreason().text(),
                        due(when_ns, now_ns)
                    );
                }
            }
        });
        if lines > MAX_LINES {
            text += &format!("and {} more\n", lines - MAX_LINES);
        }
        print!("{text}");
        Ok(())
    },
};

fn due(when_ns: u64, now_ns: u64) -> String {
    match when_ns.checked_sub(now_ns) {
        Some(in_ns) => format!("in {:.3}s", in_ns as f64 / 1e9),
        None => String::from("is due"),
    }
}

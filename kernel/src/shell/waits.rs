//! `waits`: who waits for what, and the deadlocks among them. What it says is made by
//! `observe::waits`.

use alloc::string::String;
use core::fmt::Write;

use crate::observe::waits::{self, Deadlock, Waiter, Waits};
use crate::shell::{Command, Misuse, print_lines};

pub(super) const COMMAND: Command = Command {
    name: "waits",
    usage: "[-d | ID]",
    about: "shows who waits for what; -d: deadlocks alone; ID: one goroutine",
    run,
};

fn run(args: &[&str]) -> Result<(), Misuse> {
    let mut text = String::new();
    match args {
        [] => all(&mut text, &waits::waits()),
        ["-d"] => deadlocks(&mut text, &waits::deadlocks()),
        [id] => {
            let goid = id.parse().map_err(|_| Misuse)?;
            one(&mut text, goid, &waits::waits());
        }
        _ => return Err(Misuse),
    }
    print_lines(&text);
    Ok(())
}

fn all(text: &mut String, waits: &Waits) {
    if waits.waiters.is_empty() {
        text.push_str("no goroutine waits\n");
        return;
    }
    waits::deadlock_lines(text, &waits.deadlocks);
    waits::table(text, &waits.waiters);
}

fn deadlocks(text: &mut String, deadlocks: &[Deadlock]) {
    if deadlocks.is_empty() {
        text.push_str("no deadlock is found\n");
    }
    waits::deadlock_lines(text, deadlocks);
}

fn one(text: &mut String, goid: u64, waits: &Waits) {
    let it = |waiter: &&Waiter| waiter.goid == goid;
    // A String takes what it is given.
    let _ = match waits.waiters.iter().find(it) {
        Some(waiter) => {
            waits::table(text, core::slice::from_ref(waiter));
            Ok(())
        }
        None => writeln!(text, "goroutine {goid} does not wait, or is not there"),
    };
    for deadlock in &waits.deadlocks {
        if deadlock
            .cycle
            .iter()
            .chain(&deadlock.others)
            .any(|w| w.goid == goid)
        {
            let _ = write!(text, "{deadlock}");
        }
    }
}

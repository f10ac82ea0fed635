//! `locks`: the locks that goroutines wait for, with their holders; and which of the kernel's own
//! locks are held now.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering;

use crate::base::lock::RANKS;
use crate::observe::waits::{self, Address, EndedBy, Waiter, Waits};
use crate::sched::SCHED;
use crate::shell::{Command, Misuse, print_lines};

pub(super) const COMMAND: Command = Command {
    name: "locks",
    usage: "",
    about: "shows locks that are waited for, who holds them, and the kernel's own",
    run,
};

/// How many waiters a row names.
const MAX_NUMBERS: usize = 8;

fn run(args: &[&str]) -> Result<(), Misuse> {
    if !args.is_empty() {
        return Err(Misuse);
    }
    let mut text = String::new();
    goroutines_locks(&mut text, &waits::waits());
    kernel_locks(&mut text);
    print_lines(&text);
    Ok(())
}

fn goroutines_locks(text: &mut String, waits: &Waits) {
    let mut locks: BTreeMap<Address, Vec<&Waiter>> = BTreeMap::new();
    for waiter in &waits.waiters {
        if let (
            "sync.Mutex.Lock" | "sync.RWMutex.Lock" | "sync.RWMutex.RLock" | "sync.Once.Do",
            [at],
        ) = (waiter.reason, waiter.objects.as_slice())
        {
            locks.entry(*at).or_default().push(waiter);
        }
    }
    if locks.is_empty() {
        text.push_str("no goroutine waits for a lock\n");
        return;
    }
    // A String takes what it is given.
    let _ = writeln!(
        text,
        "{:<18} {:<19} {:>7} {:>9}  {:<24} HOLDER",
        "LOCK", "KIND", "WAITERS", "LONGEST", "WHO"
    );
    for (at, waiters) in &locks {
        let longest = waiters.iter().map(|waiter| waiter.since).max();
        let mut who: Vec<String> = waiters
            .iter()
            .take(MAX_NUMBERS)
            .map(|waiter| waiter.goid.to_string())
            .collect();
        if waiters.len() > MAX_NUMBERS {
            who.push(format!("and {} more", waiters.len() - MAX_NUMBERS));
        }
        let _ = writeln!(
            text,
            "{:<18} {:<19} {:>7} {:>8.3}s  {:<24} {}",
            format!("{at:?}"),
            waiters[0].reason,
            waiters.len(),
            longest.unwrap_or_default().as_secs_f32(),
            who.join(", "),
            holder(waiters, waits)
        );
    }
}

/// Who holds it, and where that one is.
fn holder(waiters: &[&Waiter], waits: &Waits) -> String {
    let known = waiters.iter().find_map(|waiter| match waiter.ended_by {
        EndedBy::Holder { goid, ended } => Some((goid, ended)),
        _ => None,
    });
    let Some((goid, ended)) = known else {
        return String::from("readers, or just changing hands");
    };
    if ended {
        return format!("{goid}, which has ended");
    }
    match waits.waiters.iter().find(|waiter| waiter.goid == goid) {
        Some(waiter) => format!("{goid} [{}] at {}", waiter.reason, waiter.place),
        None => format!("{goid}, which does not wait"),
    }
}

/// The ranks that each M holds. Builds without debug assertions do not keep them.
fn kernel_locks(text: &mut String) {
    if !cfg!(debug_assertions) {
        return;
    }
    for m in SCHED.allm() {
        let held = m.head.held_ranks.load(Ordering::Relaxed);
        let names: Vec<&str> = RANKS
            .iter()
            .filter(|(rank, _)| held & 1 << (*rank as u32) != 0)
            .map(|(_, name)| *name)
            .collect();
        if !names.is_empty() {
            let _ = writeln!(
                text,
                "M {} holds the kernel's: {}",
                m.id(),
                names.join(", ")
            );
        }
    }
}

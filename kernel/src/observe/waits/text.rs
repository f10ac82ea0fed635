//! Waits and deadlocks in words.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;

use super::{Address, Deadlock, EndedBy, Waiter};
use crate::observe::printable::Printable;

/// How many numbers of goroutines one line names.
const MAX_NUMBERS: usize = 6;

/// What a goroutine with this reason waits for.
fn kind(reason: &str) -> &'static str {
    match reason {
        "chan receive" | "chan send" | "select" => "channel",
        "sync.Mutex.Lock" => "mutex",
        "sync.RWMutex.Lock" | "sync.RWMutex.RLock" => "rwlock",
        "sync.Cond.Wait" => "condvar",
        "sync.WaitGroup.Wait" => "wait group",
        "sync.Semaphore.Acquire" => "semaphore",
        "sync.Once.Do" => "once",
        "sync.Barrier.Wait" => "barrier",
        "goroutine join" => "the end behind handle",
        "park" => "the token at",
        "coroutine" => "coroutine",
        _ => "object",
    }
}

/// `channel 0x…`, or several.
fn objects(waiter: &Waiter) -> String {
    let kind = kind(waiter.reason);
    match waiter.objects.as_slice() {
        [] => String::from("nothing that there is"),
        [one] => format!("{kind} {one:?}"),
        [first, rest @ ..] => format!("{kind}s {first:?} and {} more", rest.len()),
    }
}

/// `1, 2, 3 and 4 more`.
fn numbers(of: &[u64]) -> String {
    let shown: Vec<String> = of.iter().take(MAX_NUMBERS).map(u64::to_string).collect();
    let mut text = shown.join(", ");
    if of.len() > MAX_NUMBERS {
        // A String takes what it is given.
        let _ = write!(text, " and {} more", of.len() - MAX_NUMBERS);
    }
    text
}

fn seconds(d: Duration) -> String {
    format!("{:.3}s", d.as_secs_f32())
}

/// The last column of a table.
fn ended_by(waiter: &Waiter) -> String {
    match &waiter.ended_by {
        _ if waiter.hopeless => String::from("nobody: deadlock"),
        EndedBy::Time(left) => format!("timer in {}", seconds(*left)),
        EndedBy::Outside => String::from("outside"),
        EndedBy::Woken => String::from("is woken"),
        EndedBy::Holder { goid, .. } => format!("{goid}, the holder"),
        EndedBy::Some(goids) if goids.is_empty() => String::from("anybody"),
        EndedBy::Some(goids) => numbers(goids),
        EndedBy::Nobody => String::from("nobody: deadlock"),
    }
}

/// Who would have to act, in a deadlock.
fn by_whom(waiter: &Waiter) -> String {
    match &waiter.ended_by {
        EndedBy::Holder { goid, ended: true } => {
            format!(" held by goroutine {goid}, which has ended")
        }
        EndedBy::Holder { goid, .. } if waiter.objects.is_empty() => {
            format!(" from goroutine {goid}")
        }
        EndedBy::Holder { goid, .. } => format!(" held by goroutine {goid}"),
        EndedBy::Some(goids) if !goids.is_empty() => {
            let plural = if goids.len() == 1 { "" } else { "s" };
            format!(
                " within reach of goroutine{plural} {} alone",
                numbers(goids)
            )
        }
        _ if waiter.objects.is_empty() => String::new(),
        _ => String::from(" that nobody else can reach"),
    }
}

fn called(waiter: &Waiter) -> String {
    match &waiter.name {
        Some(name) => format!("{} ({})", waiter.goid, Printable(name)),
        None => waiter.goid.to_string(),
    }
}

impl fmt::Display for Waiter {
    /// `goroutine 12 [sync.Mutex.Lock] at a::b a.rs:5 waits for mutex 0x… held by goroutine 15`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "goroutine {} [{}, {}] at {} waits for {}{}",
            called(self),
            self.reason,
            seconds(self.since),
            self.place,
            objects(self),
            by_whom(self)
        )
    }
}

impl fmt::Display for Deadlock {
    /// A line for what it is, and one for each goroutine, or for many that wait alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cycle, others) = (self.cycle.len(), self.others.len());
        let goroutines = |n: usize| match n {
            1 => String::from("1 goroutine"),
            n => format!("{n} goroutines"),
        };
        match (cycle, others) {
            (0, n) => writeln!(f, "leaked: {} for ever", waits(n))?,
            (1, 0) => writeln!(f, "deadlock: 1 goroutine waits for itself")?,
            (n, 0) => writeln!(f, "deadlock: {n} goroutines wait for each other")?,
            (n, more) => writeln!(
                f,
                "deadlock: {} wait{} for {}, and {} more for them",
                goroutines(n),
                if n == 1 { "s" } else { "" },
                if n == 1 { "itself" } else { "each other" },
                goroutines(more)
            )?,
        }
        for waiter in &self.cycle {
            writeln!(f, "    {waiter}")?;
        }
        for alike in alike(self.others.iter()) {
            writeln!(f, "    {}", line(&alike))?;
        }
        Ok(())
    }
}

fn waits(n: usize) -> String {
    match n {
        1 => String::from("1 goroutine waits"),
        n => format!("{n} goroutines wait"),
    }
}

/// Those who wait at one place, for one reason, for the same things or, of many, for such things.
fn alike<'a>(waiters: impl Iterator<Item = &'a Waiter>) -> Vec<Vec<&'a Waiter>> {
    let mut groups: Vec<Vec<&Waiter>> = Vec::new();
    let mut known: BTreeMap<(&str, &str, bool), usize> = BTreeMap::new();
    for waiter in waiters {
        let key = (waiter.reason, &*waiter.place, waiter.hopeless);
        let at = *known.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(waiter);
    }
    groups
}

/// One line for goroutines that wait alike in a deadlock.
fn line(alike: &[&Waiter]) -> String {
    match alike {
        [one] => one.to_string(),
        [first, ..] => {
            let goids: Vec<u64> = alike.iter().map(|waiter| waiter.goid).collect();
            let same = alike.iter().all(|waiter| waiter.objects == first.objects);
            let what = match same {
                true => format!("{}{}", objects(first), by_whom(first)),
                false => format!("a {} each", kind(first.reason)),
            };
            format!(
                "{} goroutines [{}] at {} wait for {what}: {}",
                alike.len(),
                first.reason,
                first.place,
                numbers(&goids)
            )
        }
        [] => String::new(),
    }
}

/// Adds the lines of all deadlocks.
pub fn deadlock_lines(out: &mut String, deadlocks: &[Deadlock]) {
    for deadlock in deadlocks {
        // A String takes what it is given.
        let _ = write!(out, "{deadlock}");
    }
}

/// Groups from this size on are one row of a table.
const MANY: usize = 4;

/// The table of waiting goroutines: a row each, or one for many that wait alike.
pub fn table(out: &mut String, waiters: &[Waiter]) {
    let _ = writeln!(
        out,
        "{:<22} {:<20} {:>9} {:<18} {:<18} AT",
        "GOROUTINE", "WAITS", "SINCE", "FOR", "COULD BE ENDED BY"
    );
    for group in alike(waiters.iter()) {
        if group.len() < MANY {
            group.iter().for_each(|waiter| row(out, waiter));
        } else {
            row_of_many(out, &group);
        }
    }
}

fn row(out: &mut String, waiter: &Waiter) {
    let what = match waiter.objects.as_slice() {
        [] => String::from("-"),
        [one] => format!("{one:?}"),
        [first, rest @ ..] => format!("{first:?} +{}", rest.len()),
    };
    let _ = writeln!(
        out,
        "{:<22} {:<20} {:>9} {what:<18} {:<18} {}",
        called(waiter),
        waiter.reason,
        seconds(waiter.since),
        ended_by(waiter),
        waiter.place
    );
}

fn row_of_many(out: &mut String, group: &[&Waiter]) {
    let Some(first) = group.first() else { return };
    let longest = group.iter().map(|waiter| waiter.since).max();
    let mut objects: Vec<Address> = group
        .iter()
        .flat_map(|waiter| waiter.objects.iter().copied())
        .collect();
    objects.sort_unstable();
    objects.dedup();
    let what = match objects.as_slice() {
        [] => String::from("-"),
        [one] => format!("{one:?}"),
        many => format!("{} objects", many.len()),
    };
    let mut enders: Vec<u64> = group.iter().flat_map(|waiter| goids(waiter)).collect();
    enders.sort_unstable();
    enders.dedup();
    let by = match enders.len() {
        0 => ended_by(first),
        _ if first.hopeless => ended_by(first),
        1..=MAX_NUMBERS => numbers(&enders),
        n => format!("{n} others"),
    };
    let _ = writeln!(
        out,
        "{:<22} {:<20} {:>9} {what:<18} {by:<18} {}",
        format!("{} of them", group.len()),
        first.reason,
        seconds(longest.unwrap_or_default()),
        first.place
    );
}

fn goids(waiter: &Waiter) -> Vec<u64> {
    match &waiter.ended_by {
        EndedBy::Some(goids) => goids.clone(),
        EndedBy::Holder { goid, .. } => Vec::from([*goid]),
        _ => Vec::new(),
    }
}

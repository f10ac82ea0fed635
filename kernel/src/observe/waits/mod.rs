//! The wait-for graph: who waits for what, whose goroutine could end the wait, and which waits
//! nobody can end any more although other goroutines run.
//!
//! | module | idea |
//! | --- | --- |
//! | `snapshot` | all goroutines at one instant, and what each waits for |
//! | `memory` | what a word of memory points to |
//! | [`reach`] | who can still go on: the rule, and why what it says is certain |
//! | `groups` | which of the others belong together, and the cycles among them |
//! | `text` | all of it in words |
//!
//! Go finds leaked goroutines in its garbage collector. Here is none, so the same question is
//! answered when it is asked, by one look at what live goroutines can reach.

mod groups;
mod memory;
pub mod reach;
mod snapshot;
mod text;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;

use crate::observe::symbols::Symbolizer;
use crate::observe::visible::{self, Kind};
use groups::Edges;
use snapshot::{Ender, Found};

pub use text::{deadlock_lines, table};

/// Where something lies. It is kept in such a way that it does not count as a pointer there: what
/// is known of a deadlock must not keep it from being found again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(usize);

impl Address {
    /// The address.
    pub fn get(self) -> usize {
        !self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.get())
    }
}

/// Who could end a wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// Its own limit, or its sleep, so long after the look at the latest.
    Time(Duration),
    /// Something outside the program: the console, the scheduler.
    Outside,
    /// It has been ended; the goroutine is about to run.
    Woken,
    /// Only the goroutine that holds the lock, or owes the value. `ended`: it is gone, and never
    /// will.
    Holder {
        /// Its number.
        goid: u64,
        /// Whether it has ended.
        ended: bool,
    },
    /// Goroutines that are near to what is waited for, by number: at most some, and there may be
    /// others that reach it from further away.
    Some(Vec<u64>),
    /// Nobody, ever.
    Nobody,
}

/// A goroutine that waits.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Its number.
    pub goid: u64,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Why, in the words of a dump: `chan receive`.
    pub reason: &'static str,
    /// For how long.
    pub since: Duration,
    /// The program's function that waits, with file and line.
    pub place: Arc<str>,
    /// What for: where its lock is. Of a select, the cases' channels.
    pub objects: Vec<Address>,
    /// Who could end it.
    pub ended_by: EndedBy,
    /// Whether anybody ever can.
    pub hopeless: bool,
}

/// Goroutines that wait for ever.
#[derive(Clone, Debug)]
pub struct Deadlock {
    /// Each waits for the next one, and the last for the first. Empty if there is no cycle: what
    /// the others wait for is out of everybody's reach.
    pub cycle: Vec<Waiter>,
    /// Those who wait for them, or for ever without a cycle.
    pub others: Vec<Waiter>,
}

/// All that wait, and the deadlocks among them.
pub struct Waits {
    /// In the order of numbers; the runtime's own goroutines are not shown.
    pub waiters: Vec<Waiter>,
    /// Those with a cycle first.
    pub deadlocks: Vec<Deadlock>,
}

/// Looks at all goroutines. Stops the world meanwhile (see `snapshot` for how long); then looks up
/// names, while others run.
pub fn waits() -> Waits {
    let found = snapshot::take();
    let mut places = Places::new();
    let waiters: Vec<Waiter> = found
        .iter()
        .map(|one| waiter(one, &found, &mut places))
        .collect();
    let shown = |i: usize| found[i].ender != Ender::NotWaiting && !found[i].system;
    Waits {
        deadlocks: deadlocks_among(&found, &|i| waiters[i].clone()),
        waiters: (0..found.len())
            .filter(|&i| shown(i))
            .map(|i| waiters[i].clone())
            .collect(),
    }
}

/// As [`waits()`], the deadlocks alone: names are looked up for their goroutines only.
pub fn deadlocks() -> Vec<Deadlock> {
    let found = snapshot::take();
    let places = RefCell::new(Places::new());
    deadlocks_among(&found, &|i| {
        waiter(&found[i], &found, &mut places.borrow_mut())
    })
}

fn deadlocks_among(found: &[Found], waiter: &dyn Fn(usize) -> Waiter) -> Vec<Deadlock> {
    let dead: Vec<usize> = (0..found.len()).filter(|&i| !found[i].live).collect();
    let dead_index = |i: usize| dead.binary_search(&i).ok();
    let edges: Vec<Edges> = dead
        .iter()
        .map(|&i| match found[i].ender {
            Ender::Holder(goid) => match index_of(found, goid).and_then(dead_index) {
                Some(holder) => Edges::Precise(holder),
                None => Edges::Hints(Vec::new()),
            },
            _ => {
                let near = found[i].near.iter().map(|&to| to as usize);
                Edges::Hints(near.filter_map(dead_index).collect())
            }
        })
        .collect();
    let all = |of: &[usize]| of.iter().map(|&d| waiter(dead[d])).collect();
    let mut deadlocks: Vec<Deadlock> = groups::groups(&edges)
        .iter()
        .map(|group| Deadlock {
            cycle: all(&group.cycle),
            others: all(&group.others),
        })
        .collect();
    deadlocks.sort_by_key(|deadlock| deadlock.cycle.is_empty());
    merge_leaks(deadlocks)
}

/// Those who wait without a cycle for the same objects are one leak, not one each.
fn merge_leaks(deadlocks: Vec<Deadlock>) -> Vec<Deadlock> {
    let mut merged: Vec<Deadlock> = Vec::with_capacity(deadlocks.len());
    let mut by_objects: BTreeMap<Vec<Address>, usize> = BTreeMap::new();
    for deadlock in deadlocks {
        if deadlock.cycle.is_empty()
            && let [single] = deadlock.others.as_slice()
            && !single.objects.is_empty()
        {
            let objects = single.objects.clone();
            if let Some(&at) = by_objects.get(&objects) {
                merged[at].others.extend(deadlock.others);
                continue;
            }
            by_objects.insert(objects, merged.len());
        }
        merged.push(deadlock);
    }
    merged
}

fn index_of(found: &[Found], goid: u64) -> Option<usize> {
    found.binary_search_by_key(&goid, |one| one.goid).ok()
}

fn waiter(one: &Found, found: &[Found], places: &mut Places) -> Waiter {
    let near = || one.near.iter().map(|&i| found[i as usize].goid).collect();
    let ended_by = match one.ender {
        Ender::Time(due_ns) => EndedBy::Time(Duration::from_nanos(snapshot::until_ns(due_ns))),
        Ender::Outside | Ender::NotWaiting => EndedBy::Outside,
        Ender::Woken => EndedBy::Woken,
        Ender::Holder(goid) => EndedBy::Holder {
            goid,
            ended: index_of(found, goid).is_none(),
        },
        Ender::Reach if !one.live && one.near.is_empty() => EndedBy::Nobody,
        Ender::Reach => EndedBy::Some(near()),
    };
    let mut objects: Vec<Address> = one.objects.iter().map(|&turned| Address(turned)).collect();
    objects.sort_unstable();
    objects.dedup();
    Waiter {
        goid: one.goid,
        name: one.name.clone(),
        reason: one.reason.text(),
        since: Duration::from_nanos(one.since_ns),
        place: match one.ender {
            Ender::NotWaiting => Arc::from(""),
            _ => places.of(&one.pcs),
        },
        objects,
        ended_by,
        hopeless: !one.live,
    }
}

/// The program's place of each stack; equal stacks are looked up once.
struct Places {
    symbols: Symbolizer,
    known: BTreeMap<Vec<u64>, Arc<str>>,
}

impl Places {
    fn new() -> Self {
        Self {
            symbols: Symbolizer::new(),
            known: BTreeMap::new(),
        }
    }

    /// The innermost function of the program, with its place: `sieve::filter sieve.rs:21`.
    fn of(&mut self, pcs: &[u64]) -> Arc<str> {
        if let Some(place) = self.known.get(pcs) {
            return place.clone();
        }
        let mut text = String::from("-");
        for &pc in pcs {
            let frames = self.symbols.frames(pc);
            let program = |frame: &&_| visible::kind(frame) == Kind::Program;
            if let Some(frame) = frames.iter().find(program) {
                text = match frame.file {
                    Some(file) => alloc::format!("{} {file}:{}", frame.function, frame.line),
                    None => alloc::format!("{}", frame.function),
                };
                break;
            }
        }
        let place: Arc<str> = text.into();
        self.known.insert(pcs.to_vec(), place.clone());
        place
    }
}

//! The goroutine profile: all stacks, equal ones together.
//!
//! The world goes on. A goroutine that is parked or runnable is claimed by its scan bit while its
//! stack is walked, some microseconds. One that runs is asked to yield, and claimed when it has.
//! If some always run when they are looked at, the world is stopped for them, which asynchronous
//! preemption makes sure that it can be; in the other modes they are shown with the function that
//! they began in.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

use super::profile::{Kind, Profile, Sample};
use crate::arch::switch::{preempt_off, preempt_on};
use crate::sched::SCHED;
use crate::sched::callers::{self, MAX_CALLS};
use crate::sched::g::{G, Status, getg};
use crate::sched::labels::{self, Labels};
use crate::sched::preempt::{self, Mode};
use crate::sched::stop;
use crate::time;

/// How often those that run are looked at again, and how long the pause between two looks is.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(1);

type Stacks = BTreeMap<(Vec<usize>, Labels), u64>;

/// All goroutines but the runtime's own. A goroutine that begins meanwhile may be missing.
pub fn goroutines() -> Profile {
    let mut stacks = Stacks::new();
    let mut left = Vec::new();
    let me = getg();
    SCHED.for_each_g(|gp| {
        if !gp.system.load(Ordering::Relaxed) && !core::ptr::eq(gp, me) {
            left.push((gp, gp.goid.load(Ordering::Relaxed)));
        }
    });
    // SAFETY: the caller's own.
    let (name, labels) = unsafe { (me.shared_name(), labels::of(me)) };
    let mut pcs = [0; MAX_CALLS];
    let n = own(&mut pcs);
    count(&mut stacks, &pcs[..n], name, labels);
    for _ in 0..LOOKS {
        left.retain(|&(gp, goid)| !take(&mut stacks, gp, goid));
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|&(gp, _)| ask_to_yield(gp));
        time::sleep(PAUSE);
    }
    if !left.is_empty() && preempt::mode() == Mode::Async {
        stop::with_the_world_stopped(|| {
            left.retain(|&(gp, goid)| !take(&mut stacks, gp, goid));
        });
    }
    left.iter()
        .for_each(|&(gp, goid)| give_up(&mut stacks, gp, goid));
    let sample = |((pcs, labels), count): ((Vec<usize>, Labels), u64)| Sample {
        pcs,
        exact: false,
        values: [count, 0],
        labels,
        numbers: Vec::new(),
    };
    let mut profile = Profile {
        kind: Kind::Goroutine,
        samples: stacks.into_iter().map(sample).collect(),
        duration_ns: 0,
        period: 1,
        dropped: 0,
    };
    profile.sort();
    profile
}

/// A frame of its own, from which the caller's stack is walked.
#[inline(never)]
fn own(pcs: &mut [usize]) -> usize {
    callers::own(pcs)
}

/// Counts a goroutine if it does not run now. Whether it is done with.
fn take(stacks: &mut Stacks, gp: &'static G, goid: u64) -> bool {
    let status = gp.status();
    if gp.goid.load(Ordering::Relaxed) != goid || matches!(status, Status::Dead | Status::Idle) {
        return true;
    }
    let still = matches!(status, Status::Waiting | Status::Runnable);
    let mut pcs = [0; MAX_CALLS];
    // Nobody may be kept waiting by this goroutine being preempted while it holds the scan bit.
    preempt_off();
    let claimed = still && gp.try_claim(status);
    let found = claimed.then(|| {
        // SAFETY: claimed.
        let found = unsafe {
            (
                callers::parked(gp, &mut pcs),
                gp.shared_name(),
                labels::of(gp),
            )
        };
        let same = gp.goid.load(Ordering::Relaxed) == goid;
        gp.unclaim();
        (found, same)
    });
    preempt_on();
    if let Some(((n, name, labels), true)) = found {
        count(stacks, &pcs[..n], name, labels);
    }
    claimed
}

fn ask_to_yield(gp: &'static G) {
    preempt_off();
    if let Some(m) = gp.m.load(Ordering::Relaxed) {
        preempt::preemptone(m);
    }
    preempt_on();
}

/// Counts one that still runs.
fn give_up(stacks: &mut Stacks, gp: &'static G, goid: u64) {
    if gp.status() != Status::Dead && gp.goid.load(Ordering::Relaxed) == goid {
        // As a return address.
        let entry = gp.startpc.load(Ordering::Relaxed) + 1;
        count(stacks, &[entry], None, None);
    }
}

fn count(stacks: &mut Stacks, pcs: &[usize], name: Option<Arc<str>>, labels: Option<Arc<Labels>>) {
    let mut labels = labels.as_deref().cloned().unwrap_or_default();
    if let Some(name) = name
        && labels.get("name").is_none()
    {
        labels.insert("name", &name);
    }
    *stacks.entry((pcs.to_vec(), labels)).or_default() += 1;
}

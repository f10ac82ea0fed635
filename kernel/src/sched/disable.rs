//! Holding goroutines back: all of the program's for a while, or those of one job for good
//! (Go: `sched.disable`, `schedEnableUser`).
//!
//! # Protocol
//!
//! A goroutine is held back where it would begin to run: [`may_run`], on g0, between finding it and
//! executing it. It is then runnable and on [`Inner::disabled`](crate::sched::Inner), or, if its
//! job was stopped, runnable and on no queue at all: nobody finds it again. Nothing of it is
//! unwound or freed, so what it borrows stays, which makes stopping sound at any point.
//!
//! - Whoever freezes or stops sets the words first and then asks all running goroutines to yield,
//!   again and again until none of those concerned runs. A goroutine that an M has found, and is
//!   about to run, is seen as runnable by that look, and may run on until its next yield: so the
//!   look is a moment's, and what was asked for holds from then on by [`may_run`] alone.
//! - *Urgent* goroutines ([`G::urgent`](crate::sched::g::G)) are never held back: the shell, and
//!   what the runtime does itself. They also go before others: see `park::requeue`.
//! - What holds something that all need (the second serial port, the right to stop the world) must
//!   not be held back with it: [`begin_unstoppable`]. It goes on until it lets go, and is held back
//!   then.
//! - Parked goroutines stay parked; who readies them puts them into a queue as ever.
//! - Goroutines that are held back are runnable, so a machine whose others all sleep is not
//!   deadlocked (`fatal::checkdead` asks [`is_on`]).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arch;
use crate::arch::switch::{preempt_off, preempt_on};
use crate::sched::agenda::Item;
use crate::sched::g::{G, Status, getg};
use crate::sched::{SCHED, idle, lockedm, preempt};

/// Jobs are numbered below this.
pub const MAX_JOBS: u32 = 1024;

/// For so long running goroutines are asked to yield.
const LIMIT_NS: u64 = 1_000_000_000;
/// How often.
const RETRY_NS: u64 = 200_000;

/// The program's goroutines are. Written under `SCHED`'s lock.
static FROZEN: AtomicBool = AtomicBool::new(false);
/// Jobs that were stopped, by their numbers. Written under `SCHED`'s lock.
static STOPPED: [AtomicU64; MAX_JOBS as usize / 64] =
    [const { AtomicU64::new(0) }; MAX_JOBS as usize / 64];

/// Whether any goroutine may be held back: written under `SCHED`'s lock. One load.
#[inline(always)]
pub fn is_on() -> bool {
    SCHED.agenda.has(Item::HeldBack)
}

/// Whether the program's goroutines are frozen.
pub fn is_frozen() -> bool {
    FROZEN.load(Ordering::Relaxed)
}

/// Whether this job was stopped.
pub fn is_stopped(job: u32) -> bool {
    let word = STOPPED.get(job as usize / 64);
    job != 0 && word.is_some_and(|word| word.load(Ordering::Relaxed) >> (job % 64) & 1 != 0)
}

fn is_held_back(gp: &G) -> bool {
    let free = gp.urgent.load(Ordering::Relaxed)
        || gp.system.load(Ordering::Relaxed)
        || gp.unstoppable.load(Ordering::Relaxed) != 0;
    !free && (is_frozen() || is_stopped(gp.job.load(Ordering::Relaxed)))
}

/// On g0, for a runnable goroutine that this M has taken from its queue: whether it may run. If
/// not, it is put aside.
#[inline(always)]
pub fn may_run(gp: &'static G) -> bool {
    !is_on() || may_run_slow(gp)
}

#[cold]
fn may_run_slow(gp: &'static G) -> bool {
    let mut inner = SCHED.lock.lock();
    let held_back = is_held_back(gp);
    if held_back && is_stopped(gp.job.load(Ordering::Relaxed)) {
        // An M that it has locked would wait for it for ever.
        lockedm::unlock(gp);
    } else if held_back {
        inner.disabled.push_back(gp);
    }
    !held_back
}

/// Asks goroutines to yield until none of those runs that are held back. False if some go on.
fn settle() -> bool {
    let start_ns = arch::nanotime();
    loop {
        let mut running = false;
        SCHED.for_each_g(|gp| running |= gp.status() == Status::Running && is_held_back(gp));
        if !running {
            return true;
        }
        if arch::nanotime() - start_ns > LIMIT_NS {
            return false;
        }
        preempt_off();
        preempt::preemptall();
        preempt_on();
        let until_ns = arch::nanotime() + RETRY_NS;
        while arch::nanotime() < until_ns {
            arch::pause();
        }
    }
}

/// Holds all of the program's goroutines back, until [`thaw`]. The caller is urgent. Returns
/// whether all stand still: with `preempt=coop` or `off` one may run on.
pub fn freeze() -> bool {
    let inner = SCHED.lock.lock();
    FROZEN.store(true, Ordering::Relaxed);
    SCHED.agenda.add(Item::HeldBack);
    drop(inner);
    settle()
}

/// Lets the program's goroutines go on. Returns how many were runnable.
pub fn thaw() -> usize {
    let mut inner = SCHED.lock.lock();
    FROZEN.store(false, Ordering::Relaxed);
    let jobs = STOPPED.iter().any(|word| word.load(Ordering::Relaxed) != 0);
    SCHED.agenda.set(Item::HeldBack, jobs);
    let mut n = 0;
    while let Some(gp) = inner.disabled.pop_front() {
        inner.runq.push_back(gp);
        n += 1;
    }
    inner.publish_runqsize();
    drop(inner);
    // One spinner wakes the next as long as there is work.
    idle::wakep();
    n
}

/// Stops a job: none of its goroutines runs again. The caller is of another one. Returns how many
/// there are, and whether all stand still.
pub fn stop_job(job: u32) -> (usize, bool) {
    let inner = SCHED.lock.lock();
    STOPPED[job as usize / 64].fetch_or(1 << (job % 64), Ordering::Relaxed);
    SCHED.agenda.add(Item::HeldBack);
    drop(inner);
    let still = settle();
    (members(job), still)
}

/// How many goroutines a job has.
pub fn members(job: u32) -> usize {
    let mut n = 0;
    SCHED.for_each_g(|gp| n += usize::from(gp.job.load(Ordering::Relaxed) == job));
    n
}

/// From here to [`end_unstoppable`] the running goroutine is not held back. Nests. Begin before
/// waiting for what all need: whoever hands it over does not know that the waiter is held back.
pub fn begin_unstoppable() {
    getg().unstoppable.fetch_add(1, Ordering::Relaxed);
}

/// Ends one [`begin_unstoppable`].
pub fn end_unstoppable() {
    getg().unstoppable.fetch_sub(1, Ordering::Relaxed);
}

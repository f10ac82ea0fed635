//! Waits in a queue that time may end, and sleeping.
//!
//! A wait with a limit can be ended by two: whoever takes its sudog out of the queue, and the timer
//! of the goroutine. Both need the wait's ticket ([`Ticket`](crate::sched::ticket::Ticket)), which
//! only one gets. The loser leaves the goroutine alone: a late timer finds an old ticket; a waker
//! drops the sudog from the queue and takes the next. The goroutine itself, when time won, takes
//! the sudog out under the lock before it returns, so no queue ever leads to a stack that is gone.
//!
//! Models: those of `sema` and of `chan::select`, whose waits are these.

use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::arch;
use crate::base::instant::Instant;
use crate::base::lock::{LockGuard, LockHead};
use crate::sched::g::{G, getg};
use crate::sched::idle;
use crate::sched::m::getm;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::timers::{NEVER, Timer, TimerFn};

/// How long an operation may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// Not at all.
    Now,
    /// Until this `nanotime`.
    Until(u64),
    /// For ever.
    Forever,
}

impl Limit {
    /// At most `d` from now. What lies beyond the end of time (584 years) is for ever.
    pub fn after(d: Duration) -> Self {
        match u64::try_from(d.as_nanos()) {
            Ok(0) => Limit::Now,
            Ok(ns) => match arch::nanotime().checked_add(ns) {
                Some(until_ns) if until_ns != NEVER => Limit::Until(until_ns),
                _ => Limit::Forever,
            },
            Err(_) => Limit::Forever,
        }
    }

    /// Until that instant.
    pub fn until(deadline: Instant) -> Self {
        Limit::Until(deadline.as_nanos())
    }

    /// Whether the time is up before the wait begins.
    #[inline(always)]
    pub fn is_over(self) -> bool {
        match self {
            Limit::Now => true,
            Limit::Until(until_ns) => arch::nanotime() >= until_ns,
            Limit::Forever => false,
        }
    }
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "time may have ended the wait"]
pub enum Waited {
    /// Somebody took the sudog out of the queue.
    Woken,
    /// The limit.
    TimedOut,
}

/// Where in the queue a waiter goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Behind all who wait.
    Back,
    /// Before them: it waited already and was woken in vain.
    Front,
}

/// Parks in the queue that `queue` finds behind the lock, until a waker or the limit ends the wait.
/// Releases the lock when the goroutine is parked, and does not take it again unless time won.
///
/// `sudog` is this goroutine's, new, and in no queue. A `limit` of [`Limit::Now`] is for the caller
/// to answer; here it would wait for an instant that has passed, and time out.
#[inline(always)]
pub fn wait<T>(
    mut guard: LockGuard<'_, T>,
    queue: impl Fn(&mut T) -> &mut WaitQueue,
    sudog: &Sudog,
    place: Place,
    limit: Limit,
    reason: WaitReason,
) -> Waited {
    // SAFETY: whoever ends this goroutine's wait takes the sudog out, or `wait_queued` does.
    unsafe {
        match place {
            Place::Back => queue(&mut guard).enqueue(sudog),
            Place::Front => queue(&mut guard).enqueue_front(sudog),
        }
    }
    wait_queued(guard, queue, sudog, limit, reason)
}

/// As [`wait`], for a sudog that this goroutine put into the queue before; nobody has taken it out
/// since.
#[inline(always)]
pub fn wait_queued<T>(
    guard: LockGuard<'_, T>,
    queue: impl Fn(&mut T) -> &mut WaitQueue,
    sudog: &Sudog,
    limit: Limit,
    reason: WaitReason,
) -> Waited {
    let gp = sudog.g;
    gp.waiting
        .store(core::ptr::from_ref(sudog) as usize, Ordering::Relaxed);
    let until_ns = match limit {
        Limit::Now => 0,
        Limit::Until(until_ns) => until_ns,
        Limit::Forever => NEVER,
    };
    if until_ns != NEVER {
        sudog.ticket.set(Some(gp.wait.begin()));
    }
    if until_ns == NEVER {
        park::gopark_unlock(guard, reason);
        return Waited::Woken;
    }
    gp.sleep_until_ns.store(until_ns, Ordering::Relaxed);
    let lock = guard.leak();
    park::gopark(
        arm_and_unlock,
        core::ptr::from_ref(lock.head()) as usize,
        reason,
    );
    gp.timer.stop();
    if sudog.taken.get() {
        return Waited::Woken;
    }
    // Time won. A waker that came too late may have unlinked the sudog already.
    queue(&mut lock.lock()).remove(sudog);
    Waited::TimedOut
}

fn arm_and_unlock(gp: &'static G, lock: usize) -> bool {
    // The timer first: after the unlock a waker may run `gp`.
    arm_wait(gp);
    // SAFETY: `wait_queued` left the lock held on this M, and what somebody waits for with a place
    // in it is alive.
    unsafe { (*(lock as *const LockHead)).unlock_leaked() };
    true
}

/// On g0, for a G that is parked in a wait with a ticket, before the locks of its queues are
/// released: arms its timer, for its `sleep_until_ns`.
pub fn arm_wait(gp: &'static G) {
    arm_own(gp, end_wait, gp.wait.current());
}

fn end_wait(gp: usize, ticket: u32) {
    // SAFETY: `arm_own` passed a G, and Gs are never freed.
    let gp = unsafe { &*(gp as *const G) };
    if gp.wait.win(ticket) {
        park::goready(gp);
    }
}

/// Parks the running goroutine until this `nanotime`; [`NEVER`] is for ever.
pub fn sleep_until(until_ns: u64) {
    getg().sleep_until_ns.store(until_ns, Ordering::Relaxed);
    // The timer is armed when the goroutine is parked: else it could fire before.
    park::gopark(
        |gp, _| {
            arm_own(gp, end_sleep, 0);
            true
        },
        0,
        WaitReason::Sleep,
    );
}

fn end_sleep(gp: usize, _: u32) {
    // SAFETY: as in `end_wait`. Nothing else ends a sleep.
    park::goready(unsafe { &*(gp as *const G) });
}

fn arm_own(gp: &'static G, f: TimerFn, ticket: u32) {
    let when_ns = gp.sleep_until_ns.load(Ordering::Relaxed);
    // SAFETY: Gs are never freed, and the timer is stopped before it is armed again.
    unsafe {
        arm(
            &gp.timer,
            when_ns,
            f,
            core::ptr::from_ref(gp) as usize,
            ticket,
        )
    };
}

/// Arms a timer that is in no heap on this M's P, and sees to it that nobody sleeps past it.
/// Preemption is off (a lock is held, or this is g0). `f(arg, ticket)` runs on some M's g0, with no
/// lock held, and must not park.
///
/// # Safety
/// As for [`Timers::add`](crate::sched::timers::Timers::add).
pub unsafe fn arm(timer: &Timer, when_ns: u64, f: TimerFn, arg: usize, ticket: u32) {
    let m = getm();
    let p =
        m.p.load(Ordering::Relaxed)
            .expect("a timer is armed by an M with a P");
    // SAFETY: the caller's promise.
    unsafe { p.timers.add(timer, when_ns, f, arg, ticket) };
    m.arm(when_ns);
    idle::wake_for_timer(when_ns);
}

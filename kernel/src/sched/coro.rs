//! Coroutines: a switch from goroutine to goroutine without a run queue (Go: `coro.go`).
//!
//! A [`Coro`] ties two sides together: the goroutine that was made for it, and whoever resumes it.
//! Exactly one of them is *active*: running, runnable, or parked for reasons of its own. The other
//! one is *suspended*: waiting, with reason "coroutine", and named by the coro's one word.
//!
//! ```text
//!             active                          suspended, in `coro.suspended`
//! start       the creator                     the new goroutine, which never ran
//! switch      running ──▶ waiting, into the word; what was in the word ──▶ running, on this M
//! exit        running ──▶ dead;            ·   what was in the word ──▶ running; the word is empty
//! ```
//!
//! # Who owns what
//!
//! - The word belongs to the active side: it alone switches. So the exchange has no rival; it is
//!   one instruction because the other side may have been on another CPU the last time, and
//!   acquire-release because what it left in the word is its whole saved self. An empty word is a
//!   switch on a coroutine that has ended, which is a fatal error.
//! - On g0, between the exchange and `execute`, both goroutines are waiting and known to nobody
//!   else, so both are this M's.
//! - The statuses change by `casgstatus`, so a dump that holds the scan bit of either is waited
//!   for.
//!
//! # What a switch takes along
//!
//! A resume is a call that happens to run on another stack, so it goes on in the same slice, and
//! what binds the caller to a CPU (`lock_os_thread`, `pin`) binds the callee instead until the
//! switch back, and must be the same by then: `coro::Coroutine` sees to that, as Go does. That is
//! why the next one may always run on this M.
//!
//! It does not take the CPU along where the scheduler wants it back: if preemption was asked for,
//! the world is to stop, or chaos strikes, the next goroutine goes to the run queue as if it had
//! been preempted at its first instruction. Two goroutines that do nothing but switch thus yield
//! like any other.

use core::ptr;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch::{self, GHead};
use crate::base::aref::AtomicRef;
use crate::sched::agenda::Item;
use crate::sched::g::{G, Status, getg};
use crate::sched::m::getm;
use crate::sched::newproc::{self, Attributes, Created, OutOfMemory};
use crate::sched::p::P;
use crate::sched::park::{self, WaitReason};
use crate::sched::trace::{self, Stop};
use crate::sched::{SCHED, disable, fatal, lockedm, schedule};

/// Two goroutines that hand over to each other.
pub struct Coro {
    suspended: AtomicRef<G>,
}

impl Coro {
    /// A coro that has no goroutine yet.
    pub const fn new() -> Self {
        Self {
            suspended: AtomicRef::none(),
        }
    }

    /// Makes the goroutine that the first [`Coro::switch`] runs `f` in (Go: `newcoro`).
    ///
    /// # Errors
    /// No memory; `f` is dropped without having run.
    ///
    /// # Safety
    /// What `f` borrows lives for as long as the coro is switched, and `f` ends in [`Coro::exit`].
    pub unsafe fn start<F>(&self, f: F, attributes: Attributes) -> Result<Created, OutOfMemory>
    where
        F: FnOnce() + Send,
    {
        let publish = |created: Created| {
            let gp = created.gp;
            gp.set_waitreason(WaitReason::Coroutine);
            gp.park_lock
                .store(ptr::from_ref(self) as usize, Ordering::Relaxed);
            gp.waitsince.store(arch::cputicks(), Ordering::Relaxed);
            gp.casgstatus(Status::Dead, Status::Waiting);
            self.suspended.store(Some(gp), Ordering::Release);
        };
        // SAFETY: the caller's promise.
        unsafe { newproc::create(f, attributes, publish) }
    }

    /// Suspends the running goroutine and runs the other one (Go: `coroswitch`). Returns when that
    /// switches back or ends.
    ///
    /// # Safety
    /// The caller is the active side, and the coro stays in place until the other side has ended.
    #[inline(always)]
    pub unsafe fn switch(&self) {
        self.call(coroswitch_m);
    }

    /// Ends the running goroutine and runs the other one (Go: `coroexit`). It has nothing deferred
    /// any more.
    ///
    /// # Safety
    /// As for [`Coro::switch`].
    pub unsafe fn exit(&self) -> ! {
        self.call(coroexit_m);
        unreachable!("a dead goroutine is never continued")
    }

    #[inline(always)]
    fn call(&self, f: unsafe extern "C" fn(*mut GHead) -> !) {
        let gp = getg();
        gp.set_waitreason(WaitReason::Coroutine);
        gp.park_lock
            .store(ptr::from_ref(self) as usize, Ordering::Relaxed);
        // SAFETY: on a goroutine's stack; the functions below keep the G in the coro, or end it.
        unsafe { switch::mcall(f) };
    }
}

unsafe extern "C" fn coroswitch_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    let yields = must_yield(gp);
    gp.waitsince.store(arch::cputicks(), Ordering::Relaxed);
    trace::stop(getm(), gp, || Stop::Blocked(WaitReason::Coroutine as u8));
    gp.casgstatus(Status::Running, Status::Waiting);
    park::dropg(gp);
    let next = exchange(gp, Some(gp));
    lockedm::hand_binding(gp, next);
    run(next, yields)
}

unsafe extern "C" fn coroexit_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    let yields = must_yield(gp);
    let next = exchange(gp, None);
    lockedm::hand_binding(gp, next);
    newproc::gdestroy(gp);
    run(next, yields)
}

/// Takes the suspended side of the coro that `gp` called with, and leaves `new` in its place.
#[inline(always)]
fn exchange(gp: &'static G, new: Option<&'static G>) -> &'static G {
    let coro = gp.park_lock.load(Ordering::Relaxed) as *const Coro;
    // SAFETY: `call` stored it, and it stays until the side that is suspended has ended or gone on.
    let suspended = unsafe { &(*coro).suspended };
    match suspended.swap(new, Ordering::AcqRel) {
        Some(next) => next,
        None => fatal::throw("coroswitch on exited coro"),
    }
}

/// Whether the CPU is wanted back.
#[inline(always)]
fn must_yield(gp: &'static G) -> bool {
    let m = getm();
    schedule::assert_may_switch(m);
    // The P's flag, since the goroutine's own may have been set for the other side.
    let asked = |p: &P| p.asked.load(Ordering::Relaxed);
    gp.preempt_requested()
        || m.p.load(Ordering::Relaxed).is_some_and(asked)
        || SCHED.agenda.has(Item::GcWaiting)
        || disable::is_on()
        || SCHED.chaos_strikes()
}

/// On g0: the side that was suspended goes on, in the rest of the slice.
#[inline(always)]
fn run(next: &'static G, yields: bool) -> ! {
    trace::unblock(next);
    next.casgstatus(Status::Waiting, Status::Runnable);
    if yields {
        park::requeue(next, true);
    }
    schedule::execute(getm(), next, true, false)
}

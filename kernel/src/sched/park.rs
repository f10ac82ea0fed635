//! Parking a goroutine and readying it.
//!
//! # Protocol
//!
//! 1. The goroutine puts itself into a queue under that queue's lock and calls [`gopark`] with the
//!    lock still held and a function that releases it.
//! 2. On g0, when the goroutine is saved whole: running → waiting, the M lets go of it, and only
//!    then is the lock released. From that instant a waker on another CPU may run the goroutine to
//!    its end; neither its stack nor anything on it may be touched any more.
//! 3. A waker takes the goroutine out of the queue under the lock, which makes it the only one, and
//!    calls [`goready`] after releasing the lock.
//!
//! Releasing the lock before parking loses wake-ups; parking before releasing it deadlocks; hence
//! the detour over g0. The function may also refuse (return false): then nobody may have been able
//! to ready the goroutine, and it goes on at once.
//!
//! What gopark wants done travels in the G, not in the M (Go: `m.waitunlockf`): so an asynchronous
//! preemption between filling it in and the switch moves it along and does no harm.

use core::ptr;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch::{self, GHead, preempt_off, preempt_on};
use crate::base::lock::{LockGuard, LockHead};
use crate::sched::agenda::Item;
use crate::sched::contention;
use crate::sched::g::{G, Status, UnlockFn, getg};
use crate::sched::gqueue::GQueue;
use crate::sched::m::getm;
use crate::sched::trace::{self, Stop};
use crate::sched::{SCHED, idle, lockedm, model, schedule};

macro_rules! wait_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a goroutine waits, as its dump says (Go: `waitReason`, with Go's words).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the text is the documentation")]
        pub enum WaitReason { $($(#[$doc])* $name,)* }

        impl WaitReason {
            /// All of them, by number.
            pub const ALL: &[WaitReason] = &[$(WaitReason::$name,)*];

            /// Go's words for it.
            pub const fn text(self) -> &'static str {
                match self { $(WaitReason::$name => $text,)* }
            }
        }
    };
}

wait_reasons! {
    Zero = "",
    ChanReceive = "chan receive",
    ChanReceiveNil = "chan receive (nil chan)",
    ChanSend = "chan send",
    Coroutine = "coroutine",
    GoroutineJoin = "goroutine join",
    IoWait = "IO wait",
    Park = "park",
    Preempted = "preempted",
    Select = "select",
    SelectNoCases = "select (no cases)",
    Semacquire = "semacquire",
    Sleep = "sleep",
    SyncBarrierWait = "sync.Barrier.Wait",
    SyncCondWait = "sync.Cond.Wait",
    SyncMutexLock = "sync.Mutex.Lock",
    SyncOnce = "sync.Once.Do",
    SyncRwMutexLock = "sync.RWMutex.Lock",
    SyncRwMutexRLock = "sync.RWMutex.RLock",
    SyncSemaphoreAcquire = "sync.Semaphore.Acquire",
    SyncWaitGroupWait = "sync.WaitGroup.Wait",
}

impl WaitReason {
    /// The reason with this number.
    pub fn of(number: u8) -> Self {
        Self::ALL
            .get(number as usize)
            .copied()
            .unwrap_or(WaitReason::Zero)
    }
}

/// Parks the running goroutine until [`goready`] (Go: `gopark`).
///
/// `unlock(g, arg)` runs on g0 after the goroutine is parked. The caller may hold the one lock that
/// `unlock` releases, and no other.
#[inline(always)]
pub fn gopark(unlock: UnlockFn, arg: usize, reason: WaitReason) {
    let gp = getg();
    gp.set_waitreason(reason);
    gp.park_unlock.store(unlock as usize, Ordering::Relaxed);
    gp.park_lock.store(arg, Ordering::Relaxed);
    // SAFETY: goroutines alone park, and the queue that `unlock` opens leads back to this one.
    unsafe { switch::mcall(park_m) };
    contention::waited();
}

/// Parks with a lock held, which is released when the goroutine is parked (Go: `goparkunlock`).
#[inline(always)]
pub fn gopark_unlock<T>(guard: LockGuard<'_, T>, reason: WaitReason) {
    let gp = getg();
    gp.set_waitreason(reason);
    let lock = ptr::from_ref(guard.leak().head()) as usize;
    gp.park_lock.store(lock, Ordering::Relaxed);
    // SAFETY: goroutines alone park, and the queue under the lock leads back to this one.
    unsafe { switch::mcall(park_unlock_m) };
    contention::waited();
}

/// Parks for ever: nobody knows of it (Go: `block`, and operations on a nil channel).
pub fn park_forever(reason: WaitReason) -> ! {
    gopark(|_, _| true, 0, reason);
    unreachable!("nobody readies a goroutine that waits for nothing")
}

/// On g0: the second half of [`gopark`].
unsafe extern "C" fn park_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    let unlock = gp.park_unlock.load(Ordering::Relaxed);
    let arg = gp.park_lock.load(Ordering::Relaxed);
    now_waits(gp);
    // SAFETY: gopark stored an UnlockFn.
    let unlock = unsafe { core::mem::transmute::<usize, UnlockFn>(unlock) };
    if !unlock(gp, arg) {
        gp.casgstatus(Status::Waiting, Status::Runnable);
        schedule::execute(getm(), gp, true, false);
    }
    schedule::schedule()
}

/// On g0: the second half of [`gopark_unlock`], which has no function to call.
unsafe extern "C" fn park_unlock_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    let lock = gp.park_lock.load(Ordering::Relaxed);
    now_waits(gp);
    // SAFETY: gopark_unlock left the lock held on this M, and what somebody waits for with a place
    // in it is alive.
    unsafe { (*(lock as *const LockHead)).unlock_leaked() };
    schedule::schedule()
}

/// On g0: the goroutine is parked, and whatever protects its place in a queue is still held.
#[inline(always)]
fn now_waits(gp: &'static G) {
    gp.waitsince.store(arch::cputicks(), Ordering::Relaxed);
    trace::stop(getm(), gp, || Stop::Blocked(gp.waitreason_number()));
    gp.casgstatus(Status::Running, Status::Waiting);
    dropg(gp);
}

/// On g0: the M lets go of its goroutine (Go: `dropg`).
#[inline(always)]
pub fn dropg(gp: &'static G) {
    gp.m.store(None, Ordering::Relaxed);
    getm()
        .head
        .curg
        .store(core::ptr::null_mut(), Ordering::Relaxed);
}

/// Makes a parked goroutine runnable: it runs next on this P (Go: `goready`). Exactly one caller
/// for each park.
pub fn goready(gp: &'static G) {
    preempt_off();
    ready(gp);
    preempt_on();
}

/// Releases the lock under which a goroutine was taken out of its queue, and readies it.
#[inline(always)]
pub fn goready_unlock<T>(guard: LockGuard<'_, T>, gp: &'static G) {
    guard.unlock_and_stay();
    ready(gp);
    preempt_on();
}

/// [`goready`], preemption is off (Go: `ready`).
#[inline(always)]
fn ready(gp: &'static G) {
    trace::unblock(gp);
    gp.casgstatus(Status::Waiting, Status::Runnable);
    let p = getm()
        .p
        .load(Ordering::Relaxed)
        .expect("a goroutine is readied by an M with a P");
    model::runqput(p, gp, true);
    idle::wakep();
}

/// Readies all of a queue, in order. No lock that they would run into is held.
pub fn goready_all(mut ready: GQueue) {
    while let Some(gp) = ready.pop_front() {
        goready(gp);
    }
}

/// Goes to the end of the global queue (Go: `runtime.Gosched`). Returns at once if nobody else
/// could run here: there would be no other to switch to.
pub fn gosched() {
    if is_alone() {
        return;
    }
    // SAFETY: gosched_m puts the goroutine on a queue.
    unsafe { switch::mcall(gosched_m) };
}

/// Whether `schedule` would find the caller again, and nothing to do before.
///
/// All looks are hints, of the M that the caller was on a moment ago: what comes up behind them
/// asks for the CPU by a preemption request (a tick at the end of the slice or with a timer due,
/// input, a stop of the world), which the next call sees. Where no request ever comes
/// (`preempt=off`, which the agenda has as unusual), every call switches. One that may run on one M
/// alone may be on its way there. With a lock held, which is an error, `schedule` sees to it.
#[inline(always)]
fn is_alone() -> bool {
    let (gp, m) = (getg(), getm());
    let Some(p) = m.p.load(Ordering::Relaxed) else {
        return false;
    };
    SCHED.agenda.is_empty()
        && SCHED.runqsize.load(Ordering::Relaxed) == 0
        && !gp.preempt_requested()
        && lockedm::home(gp).is_none()
        && p.runq.seems_empty()
        && m.inbox_len.load(Ordering::Relaxed) == 0
        && m.head.locks.load(Ordering::Relaxed) == 0
}

unsafe extern "C" fn gosched_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    gosched_impl(gp, false)
}

/// On g0: the running goroutine becomes runnable again, behind all others.
#[inline(always)]
pub fn gosched_impl(gp: &'static G, preempted: bool) -> ! {
    trace::stop(getm(), gp, || match preempted {
        true => Stop::Preempted,
        false => Stop::Gosched,
    });
    gp.casgstatus(Status::Running, Status::Runnable);
    dropg(gp);
    if let Some(next) = swap_with_first(gp) {
        schedule::execute(getm(), next, false, true);
    }
    requeue(gp, preempted)
}

/// Puts a goroutine that yields behind all others and takes the first of them, in one hold of the
/// lock, if `schedule` would look into the global queue first: there is nothing else to see to, and
/// this P has no others. The queue is as long as before, so nobody has to be woken.
#[inline(always)]
fn swap_with_first(gp: &'static G) -> Option<&'static G> {
    let m = getm();
    let p = m.p.load(Ordering::Relaxed)?;
    schedule::assert_may_switch(m);
    if !schedule::has_nothing_to_see_to(m, p)
        || !p.runq.seems_empty()
        || gp.urgent.load(Ordering::Relaxed)
    {
        return None;
    }
    let mut inner = SCHED.lock.lock();
    // Once more, under the lock under which a stop, a freeze and an urgent one are added: who comes
    // out of the queue from here on would not be seen by whoever added them.
    if !SCHED.agenda.is_empty() {
        return None;
    }
    inner.runq.push_back(gp);
    let next = inner.runq.pop_front()?;
    inner.publish_runqsize();
    drop(inner);
    if lockedm::runs_elsewhere(m, next) {
        schedule::schedule();
    }
    Some(next)
}

/// On g0: puts a runnable goroutine that no M runs behind all others, or an urgent one before them,
/// and schedules.
#[inline(always)]
pub(super) fn requeue(gp: &'static G, preempted: bool) -> ! {
    let m = getm();
    if gp.urgent.load(Ordering::Relaxed) {
        model::globrunqput_urgent(gp);
        idle::wakep();
        schedule::schedule();
    }
    match m.p.load(Ordering::Relaxed) {
        // It was not its fault: when the world goes on, so does it.
        Some(p) if preempted && SCHED.agenda.has(Item::GcWaiting) => {
            model::runqput(p, gp, true);
        }
        _ => model::globrunqput(gp),
    }
    idle::wakep();
    schedule::schedule()
}

/// Goes to the end of this P's queue and wakes nobody (Go: `goyield`).
pub fn goyield() {
    unsafe extern "C" fn goyield_m(head: *mut GHead) -> ! {
        // SAFETY: mcall passes the goroutine that it saved.
        let gp = unsafe { G::of(head) };
        trace::stop(getm(), gp, || Stop::Gosched);
        gp.casgstatus(Status::Running, Status::Runnable);
        dropg(gp);
        let p = getm()
            .p
            .load(Ordering::Relaxed)
            .expect("a goroutine ran here, so there is a P");
        model::runqput(p, gp, false);
        schedule::schedule()
    }
    // SAFETY: goyield_m puts the goroutine on a queue.
    unsafe { switch::mcall(goyield_m) };
}

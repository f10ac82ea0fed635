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
use crate::base::lock::{Lock, LockGuard};
use crate::sched::g::{G, Status, UnlockFn, getg};
use crate::sched::gqueue::GQueue;
use crate::sched::m::getm;
use crate::sched::{SCHED, idle, model, schedule};

macro_rules! wait_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a goroutine waits, as its dump says (Go: `waitReason`, with Go's words).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the text is the documentation")]
        pub enum WaitReason { $($(#[$doc])* $name,)* }

        impl WaitReason {
            const ALL: &[WaitReason] = &[$(WaitReason::$name,)*];

            /// Go's words for it.
            pub fn text(self) -> &'static str {
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
pub fn gopark(unlock: UnlockFn, arg: usize, reason: WaitReason) {
    let gp = getg();
    gp.set_waitreason(reason);
    gp.park_unlock.store(unlock as usize, Ordering::Relaxed);
    gp.park_lock.store(arg, Ordering::Relaxed);
    // SAFETY: goroutines alone park, and the queue that `unlock` opens leads back to this one.
    unsafe { switch::mcall(park_m) };
}

/// Parks with a lock held, which is released when the goroutine is parked (Go: `goparkunlock`).
pub fn gopark_unlock<T>(guard: LockGuard<'_, T>, reason: WaitReason) {
    gopark(
        unlock_leaked::<T>,
        ptr::from_ref(guard.leak()) as usize,
        reason,
    );
}

/// The [`UnlockFn`] that ends a leaked hold of the `Lock<T>` at `lock`.
pub(super) fn unlock_leaked<T>(_: &'static G, lock: usize) -> bool {
    // SAFETY: gopark_unlock passed the lock that it left held on this M, and what somebody waits
    // for with a place in it is alive.
    unsafe { (*(lock as *const Lock<T>)).unlock_leaked() };
    true
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
    gp.waitsince.store(arch::cputicks(), Ordering::Relaxed);
    gp.casgstatus(Status::Running, Status::Waiting);
    dropg(gp);
    // SAFETY: gopark stored an UnlockFn.
    let unlock = unsafe { core::mem::transmute::<usize, UnlockFn>(unlock) };
    if !unlock(gp, arg) {
        gp.casgstatus(Status::Waiting, Status::Runnable);
        schedule::execute(getm(), gp, true);
    }
    schedule::schedule()
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
    gp.casgstatus(Status::Waiting, Status::Runnable);
    let p = getm()
        .p
        .load(Ordering::Relaxed)
        .expect("a goroutine is readied by an M with a P");
    model::runqput(p, gp, true);
    idle::wakep();
    preempt_on();
}

/// Readies all of a queue, in order. No lock that they would run into is held.
pub fn goready_all(mut ready: GQueue) {
    while let Some(gp) = ready.pop_front() {
        goready(gp);
    }
}

/// Goes to the end of the global queue (Go: `runtime.Gosched`).
pub fn gosched() {
    // SAFETY: gosched_m puts the goroutine on a queue.
    unsafe { switch::mcall(gosched_m) };
}

unsafe extern "C" fn gosched_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    let gp = unsafe { G::of(head) };
    gosched_impl(gp, false)
}

/// On g0: the running goroutine becomes runnable again, behind all others.
pub fn gosched_impl(gp: &'static G, preempted: bool) -> ! {
    gp.casgstatus(Status::Running, Status::Runnable);
    dropg(gp);
    requeue(gp, preempted)
}

/// On g0: puts a runnable goroutine that no M runs behind all others, and schedules.
pub(super) fn requeue(gp: &'static G, preempted: bool) -> ! {
    let m = getm();
    match m.p.load(Ordering::Relaxed) {
        // It was not its fault: when the world goes on, so does it.
        Some(p) if preempted && SCHED.gcwaiting.load(Ordering::Relaxed) => {
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

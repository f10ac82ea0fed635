//! `sched::park`: the goroutine's thread plays g0, so it is parked when the lock is gone. That it
//! is saved whole by then is the matter of the models of `sched::status`.

use crate::base::lock::LockGuard;
use crate::sched::g::{G, UnlockFn, getg};
use crate::sched::gqueue::GQueue;

#[derive(Clone, Copy)]
pub enum WaitReason {
    ChanReceive,
    ChanSend,
    Select,
    SelectNoCases,
    Semacquire,
    Sleep,
}

pub fn gopark(unlock: UnlockFn, arg: usize, _: WaitReason) {
    let gp = getg();
    if unlock(gp, arg) {
        gp.parking.park();
    }
}

pub fn gopark_unlock<T>(guard: LockGuard<'_, T>, _: WaitReason) {
    let lock = guard.leak();
    // SAFETY: leaked just now.
    unsafe { lock.unlock_leaked() };
    getg().parking.park();
}

pub fn park_forever(_: WaitReason) -> ! {
    unreachable!("no model waits for nothing")
}

pub fn goready(gp: &'static G) {
    gp.parking.ready();
}

pub fn goready_unlock<T>(guard: LockGuard<'_, T>, gp: &'static G) {
    guard.unlock_and_stay();
    goready(gp);
}

pub fn goready_all(mut ready: GQueue) {
    while let Some(gp) = ready.pop_front() {
        goready(gp);
    }
}

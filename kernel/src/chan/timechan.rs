//! A channel whose values come from the clock (Go: the channel of a `time.Timer`).
//!
//! Nothing is sent. The channel knows when its next value is due, `when_ns`, and a receiver that
//! finds that time passed takes the value: so a channel that nobody waits for costs nothing, not
//! even when its time comes, and setting another time leaves no stale value behind.
//!
//! # Protocol, under the channel's lock
//!
//! - The alarm is set, to `when_ns`, while somebody is queued, and only then (but for the way
//!   between the queue and the call of [`TimeChan::settle`]). So a blocked receiver costs what a
//!   sleep costs.
//! - When it goes off, the receiver that waits longest gets the value. If none does (all have given
//!   up meanwhile), the value stays for the next who looks.
//! - While somebody is queued, others find the channel empty and queue behind.
//! - One time, one value. A periodic channel whose value is taken late skips what it has missed:
//!   its next time is the first multiple of the period that lies in the future.
//! - An alarm that goes off with an old number was set for another time, and does nothing.

use alloc::sync::{Arc, Weak};
use core::cell::Cell;
use core::mem;

use crate::arch;
use crate::base::lock::{Lock, Rank};
use crate::chan::error::RecvTimeoutError;
use crate::chan::raw::{Op, Slot, elem_of, slot};
use crate::chan::receiver::{Flavor, Receiver};
use crate::chan::select::{Poll, SelectChan};
use crate::sched::g::getg;
use crate::sched::gqueue::GQueue;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::timers::NEVER;
use crate::sched::wait::{self, Limit, Place, Waited};
use crate::time::alarm::{Alarm, Alarmed};

struct State {
    /// When the next value is due, or [`NEVER`].
    when_ns: u64,
    /// From one value to the next; 0: there is only one.
    period_ns: u64,
    recvq: WaitQueue,
    /// Who waits for a change of readiness (`Select::ready`).
    watchers: WaitQueue,
    /// What the alarm is set to, or [`NEVER`].
    alarm_ns: u64,
    /// The number of its latest setting.
    seq: u32,
}

impl State {
    /// Whether a receive would not wait.
    fn can_recv(&self) -> bool {
        self.recvq.is_empty() && self.is_due()
    }

    fn is_due(&self) -> bool {
        self.when_ns != NEVER && self.when_ns <= arch::nanotime()
    }

    /// The value is due: takes it.
    fn take(&mut self) -> u64 {
        let next_ns = next_tick(self.when_ns, self.period_ns, arch::nanotime());
        mem::replace(&mut self.when_ns, next_ns)
    }

    fn queue(&mut self, op: Op) -> &mut WaitQueue {
        match op {
            Op::Recv => &mut self.recvq,
            _ => &mut self.watchers,
        }
    }
}

/// The first time after `now_ns` that lies a multiple of the period after `when_ns`.
fn next_tick(when_ns: u64, period_ns: u64, now_ns: u64) -> u64 {
    let late_ns = now_ns.saturating_sub(when_ns);
    match late_ns.checked_div(period_ns) {
        // Beyond the end of time there are no more.
        Some(missed) => period_ns
            .checked_mul(missed + 1)
            .and_then(|ns| when_ns.checked_add(ns))
            .unwrap_or(NEVER),
        None => NEVER,
    }
}

/// A channel of values that the clock makes.
pub(crate) struct TimeChan<T> {
    state: Lock<State>,
    /// Used under the lock.
    alarm: Alarm<TimeChan<T>>,
    /// The value of the time at which it was due.
    value_at: fn(u64) -> T,
    this: Weak<TimeChan<T>>,
}

impl<T> TimeChan<T> {
    /// A channel whose first value is due at `when_ns`, and then each `period_ns`; 0: never again.
    pub(crate) fn new(when_ns: u64, period_ns: u64, value_at: fn(u64) -> T) -> Arc<Self> {
        let state = State {
            when_ns,
            period_ns,
            recvq: WaitQueue::new(),
            watchers: WaitQueue::new(),
            alarm_ns: NEVER,
            seq: 0,
        };
        Arc::new_cyclic(|this| Self {
            state: Lock::new(Rank::Chan, state),
            alarm: Alarm::new(),
            value_at,
            this: this.clone(),
        })
    }

    /// Replaces the next value, if there is one, due or not, by one at `when_ns` ([`NEVER`]: none).
    /// Whether there was one.
    pub(crate) fn set(&self, when_ns: u64, period_ns: u64) -> bool {
        let mut state = self.state.lock();
        let before_ns = mem::replace(&mut state.when_ns, when_ns);
        state.period_ns = period_ns;
        self.settle(&mut state, false);
        before_ns != NEVER
    }

    /// With the lock held: sets the alarm if somebody is queued, or about to be, else stops it.
    fn settle(&self, state: &mut State, queues: bool) {
        let waited_for = queues || !state.recvq.is_empty() || !state.watchers.is_empty();
        let alarm_ns = if waited_for { state.when_ns } else { NEVER };
        if alarm_ns == state.alarm_ns {
            return;
        }
        state.alarm_ns = alarm_ns;
        // SAFETY: under the lock.
        let owned = unsafe { self.alarm.stop() };
        if alarm_ns != NEVER {
            state.seq = state.seq.wrapping_add(1);
            let this = self.this.upgrade().expect("whoever calls this owns it");
            // SAFETY: under the lock, and just stopped.
            unsafe { self.alarm.set(this, alarm_ns, state.seq) };
        }
        drop(owned); // not the last: the caller owns this as well
    }

    pub(super) fn recv(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        let mut state = self.state.lock();
        if state.can_recv() {
            let when_ns = state.take();
            drop(state);
            return Ok((self.value_at)(when_ns));
        }
        if limit.is_over() {
            return Err(RecvTimeoutError::Timeout);
        }
        self.settle(&mut state, true);
        let slot: Slot<T> = Cell::new(None);
        let sudog = Sudog::new(getg(), elem_of(&slot));
        let reason = WaitReason::ChanReceive;
        match wait::wait(state, |s| &mut s.recvq, &sudog, Place::Back, limit, reason) {
            Waited::Woken => Ok(slot.take().expect("who wakes a receiver gives a value")),
            Waited::TimedOut => {
                self.settle(&mut self.state.lock(), false);
                Err(RecvTimeoutError::Timeout)
            }
        }
    }

    /// Whether a value is there.
    pub(super) fn is_ready(&self) -> bool {
        self.state.lock().can_recv()
    }

    /// # Safety
    /// This M holds the lock, by `SelectChan::lock`, and has no other reference to the state.
    #[allow(
        clippy::mut_from_ref,
        reason = "the lock is held: the caller's promise"
    )]
    unsafe fn locked(&self) -> &mut State {
        // SAFETY: the caller's promise.
        unsafe { self.state.leaked() }
    }
}

impl<T> Alarmed for TimeChan<T> {
    fn due(self: Arc<Self>, seq: u32) {
        let mut state = self.state.lock();
        if state.alarm_ns == NEVER || state.seq != seq {
            return;
        }
        state.alarm_ns = NEVER;
        let mut ready = GQueue::new();
        if state.is_due() {
            match state
                .recvq
                .dequeue()
                .map(|receiver| (receiver.g, receiver.elem.get()))
            {
                Some((gp, elem)) => {
                    let value = (self.value_at)(state.take());
                    // SAFETY: a parked receiver of this channel, which is readied below.
                    unsafe { slot(elem) }.set(Some(value));
                    ready.push_back(gp);
                }
                None => ready = state.watchers.drain(),
            }
        }
        self.settle(&mut state, false);
        drop(state);
        park::goready_all(ready);
    }
}

impl<T> SelectChan for TimeChan<T> {
    fn key(&self) -> usize {
        (&raw const self.state) as usize
    }

    fn lock(&self, is_first: bool) {
        let guard = if is_first {
            self.state.lock()
        } else {
            self.state.lock_same_rank()
        };
        guard.leak();
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.state.unlock_leaked() };
    }

    fn seems_to_wait(&self, _op: Op) -> bool {
        false // the clock would have to be asked
    }

    unsafe fn poll(&self, op: Op, sudog: &Sudog) -> Poll {
        // SAFETY: the caller's promise.
        let state = unsafe { self.locked() };
        if !state.can_recv() {
            return Poll::NotReady;
        }
        if op == Op::Recv {
            let value = (self.value_at)(state.take());
            // SAFETY: the caller's promise: a slot for values of this channel.
            unsafe { slot(sudog.elem.get()) }.set(Some(value));
        }
        Poll::Ready(None)
    }

    unsafe fn enqueue(&self, op: Op, sudog: &Sudog) {
        // SAFETY: the caller's promise.
        let state = unsafe { self.locked() };
        // SAFETY: the caller's promise.
        unsafe { state.queue(op).enqueue(sudog) };
        self.settle(state, false);
    }

    unsafe fn dequeue(&self, op: Op, sudog: &Sudog) {
        // SAFETY: the caller's promise.
        let state = unsafe { self.locked() };
        state.queue(op).remove(sudog);
        self.settle(state, false);
    }
}

impl<T> Receiver<T> {
    /// Receives what this channel's clock makes. With `shows_len` a value that is due counts in
    /// [`Receiver::len`], as in crossbeam; without, the channel seems to be one without room, as in
    /// Go.
    pub(crate) fn of_clock(chan: Arc<TimeChan<T>>, shows_len: bool) -> Self {
        Self {
            flavor: Flavor::Clock(chan, shows_len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tick that is late by whole periods, or by none, has its successor after now, on the grid.
    #[test]
    fn late_ticks_skip_what_was_missed() {
        assert_eq!(next_tick(100, 10, 100), 110);
        assert_eq!(next_tick(100, 10, 109), 110);
        assert_eq!(next_tick(100, 10, 110), 120);
        assert_eq!(next_tick(100, 10, 155), 160);
        assert_eq!(next_tick(100, 0, 155), NEVER);
        assert_eq!(next_tick(100, u64::MAX - 50, 155), NEVER);
        assert_eq!(next_tick(NEVER - 5, 3, NEVER - 1), NEVER);
    }
}

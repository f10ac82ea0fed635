//! Choosing one of several channel operations (Go: `selectgo`).
//!
//! # Protocol
//!
//! 0. **Try**, in random order: a case that seems ready is done with its channel's lock alone. That
//!    it could be done is all that is asked of a case that is chosen at random, whatever the
//!    others could. A biased select tries its first case only: one behind it must not be done if
//!    one before it could be at the same instant.
//! 1. All channels are locked, each once, in the order of their addresses: so what follows looks at
//!    all of them at one instant, and two selects never wait for each other's locks.
//! 2. **Look**, in random order (or as written): the first case that can proceed does, and is it.
//!    This comes before anything is queued, so a select never meets itself.
//! 3. **Queue**: else one sudog for each case goes into its channel's queue, all with the ticket of
//!    this wait, and the goroutine parks. On g0 the locks are released, the first in order last.
//!    From the first release on a peer may win the ticket and ready the goroutine; it then waits in
//!    step 4 for the lock that is released last, so nothing here is used after it is gone.
//! 4. **Leave**: woken, it locks all again and takes the losers' sudogs out. Which case it is, the
//!    winner has noted in the sudog (`taken`); if none, time has won.
//!
//! A peer that finds a sudog whose ticket is lost drops it from the queue and takes the next.
//!
//! Models: `loom_tests.rs`: two channels, a close and the limit at once, and selects against each
//! other.

use crate::arch::switch::{preempt_off, preempt_on};
use crate::chan::lazy::await_owed;
use crate::chan::raw::Op;
use crate::primitive::{Ordering, fence};
use crate::sched::g::{G, getg};
use crate::sched::m::getm;
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::Sudog;
use crate::sched::wait::{self, Limit};

/// What a look at a case found.
pub(super) enum Poll {
    /// It would wait.
    NotReady,
    /// It is done: a receive has its value, or found the channel disconnected; a send has its grant
    /// (`raw`). The goroutine is to be readied when the locks are gone.
    Ready(Option<&'static G>),
    /// A receive met a lazy sender, which this is: it gives its value when the receiver is parked.
    Owed(&'static G),
}

/// A channel, as a select sees it.
pub(super) trait SelectChan {
    /// Where its lock is: the order of locks, and what tells channels apart.
    fn key(&self) -> usize;

    /// Locks it, and leaves it locked.
    fn lock(&self, is_first: bool);

    /// # Safety
    /// This M holds the lock.
    unsafe fn unlock(&self);

    /// Without the lock: whether the operation would certainly wait, as far as one look tells.
    fn seems_to_wait(&self, op: Op) -> bool;

    /// As [`SelectChan::poll`], for one who holds no lock.
    ///
    /// # Safety
    /// As for [`SelectChan::poll`], but for the lock.
    unsafe fn poll_alone(&self, op: Op, sudog: &Sudog) -> Poll {
        if self.seems_to_wait(op) {
            return Poll::NotReady;
        }
        self.lock(true);
        // SAFETY: locked, and the caller's promise.
        let found = unsafe { self.poll(op, sudog) };
        // SAFETY: locked above.
        unsafe { self.unlock() };
        found
    }

    /// Does the operation, if it need not wait. `sudog` has the slot of a receive in `elem`, and
    /// gets the grant of a send there.
    ///
    /// # Safety
    /// This M holds the lock, `op` is one that the channel knows, and the sudog's slot is that of a
    /// receiver of this channel.
    unsafe fn poll(&self, op: Op, sudog: &Sudog) -> Poll;

    /// Queues the sudog.
    ///
    /// # Safety
    /// As for [`SelectChan::poll`]; and the sudog stays in place until it is out of the queue.
    unsafe fn enqueue(&self, op: Op, sudog: &Sudog);

    /// Takes the sudog out of the queue, if nobody has.
    ///
    /// # Safety
    /// This M holds the lock, and the sudog was queued here.
    unsafe fn dequeue(&self, op: Op, sudog: &Sudog);
}

/// One operation of one select.
pub struct Case<'a> {
    /// None never is ready.
    chan: Option<&'a dyn SelectChan>,
    /// The channel's, or 0.
    key: usize,
    op: Op,
    sudog: Sudog,
}

impl<'a> Case<'a> {
    /// `elem`: the slot of a receive, null for a send.
    ///
    /// # Safety
    /// The slot is that of a receiver of this channel, and outlives `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(chan: Option<&'a dyn SelectChan>, op: Op, elem: *mut ()) -> Self {
        Self {
            chan,
            key: chan.map_or(0, |chan| chan.key()),
            op,
            sudog: Sudog::new(getg(), elem),
        }
    }

    /// After it was chosen: the grant of a send; a receive has none.
    pub(super) fn grant(&self) -> Option<*mut ()> {
        (self.op == Op::Send).then(|| self.sudog.elem.get())
    }

    /// Which channel.
    pub(super) fn key(&self) -> usize {
        self.key
    }

    #[inline(always)]
    fn channel(&self) -> &'a dyn SelectChan {
        self.chan.expect("a case without a channel takes no part")
    }
}

/// Waits until one of the cases can proceed, and does it: its index, or None when the time is up.
/// `order` is as long as `cases`, twice.
pub(super) fn select(
    cases: &mut [Case<'_>],
    order: &mut [u32],
    biased: bool,
    limit: Limit,
) -> Option<usize> {
    let gp = getg();
    let (look, locks) = order.split_at_mut(cases.len());
    let mut n = 0;
    for (i, case) in cases.iter_mut().enumerate() {
        if case.chan.is_some() {
            (look[n], locks[n]) = (i as u32, i as u32);
            n += 1;
        }
    }
    if n == 0 {
        wait_for_nothing(limit);
        return None;
    }
    let (look, locks) = (&mut look[..n], &mut locks[..n]);
    if n == 1 && limit == Limit::Now {
        // What follows from the answer stands behind the fence that its channel's changes have.
        fence(Ordering::SeqCst);
        let case = &cases[look[0] as usize];
        if case.channel().seems_to_wait(case.op) {
            return None;
        }
    }
    if n > 1 && !biased {
        shuffle(look);
    }
    let tried = if biased { &look[..1] } else { &look[..] };
    if let Some((index, found)) = try_alone(cases, tried) {
        finish(found);
        return Some(index);
    }
    sort_by_key(locks, cases);
    loop {
        let locked = Locked::lock(cases, locks);
        if let Some((index, found)) = locked.poll(look) {
            drop(locked);
            finish(found);
            return Some(index);
        }
        if limit.is_over() {
            return None;
        }
        let index = locked.wait(gp, look, limit)?;
        if !cases[index].op.is_watch() {
            return Some(index);
        }
        // Only told that something has changed: it may be somebody else's already.
    }
}

fn wait_for_nothing(limit: Limit) {
    match limit {
        Limit::Now => {}
        Limit::Until(until_ns) => wait::sleep_until(until_ns),
        Limit::Forever => park::park_forever(WaitReason::SelectNoCases),
    }
}

/// Does the first of these cases that can be done, each by itself.
fn try_alone(cases: &[Case<'_>], tried: &[u32]) -> Option<(usize, Poll)> {
    tried.iter().find_map(|&i| {
        let case = &cases[i as usize];
        // SAFETY: the case was made for its channel.
        match unsafe { case.channel().poll_alone(case.op, &case.sudog) } {
            Poll::NotReady => None,
            found => Some((i as usize, found)),
        }
    })
}

/// Puts the cases into the order in which their channels are locked.
fn sort_by_key(locks: &mut [u32], cases: &[Case<'_>]) {
    let key = |i: u32| cases[i as usize].key;
    // Most selects have two cases, for which the general sort is a long way.
    match locks {
        [_] => {}
        [first, second] => {
            if key(*first) > key(*second) {
                core::mem::swap(first, second);
            }
        }
        _ => locks.sort_unstable_by_key(|&i| key(i)),
    }
}

/// Fisher and Yates.
fn shuffle(order: &mut [u32]) {
    preempt_off();
    for i in (1..order.len()).rev() {
        order.swap(i, getm().cheaprandn(i as u32 + 1) as usize);
    }
    preempt_on();
}

/// No lock held: what is left to do for the case that was chosen.
fn finish(found: Poll) {
    match found {
        Poll::Ready(Some(gp)) => park::goready(gp),
        Poll::Ready(None) | Poll::NotReady => {}
        Poll::Owed(sender) => await_owed(sender, WaitReason::Select),
    }
}

/// The channels of all cases, locked.
struct Locked<'c, 'a> {
    cases: &'c [Case<'a>],
    locks: &'c [u32],
}

impl<'c, 'a> Locked<'c, 'a> {
    fn lock(cases: &'c [Case<'a>], locks: &'c [u32]) -> Self {
        let locked = Self { cases, locks };
        for k in 0..locks.len() {
            if locked.is_first_of_its_channel(k) {
                locked.case(k).channel().lock(k == 0);
            }
        }
        locked
    }

    /// The case that is number `k` in the order of locks.
    #[inline(always)]
    fn case(&self, k: usize) -> &'c Case<'a> {
        &self.cases[self.locks[k] as usize]
    }

    #[inline(always)]
    fn is_first_of_its_channel(&self, k: usize) -> bool {
        k == 0 || self.case(k).key != self.case(k - 1).key
    }

    /// Looks at the cases in this order, until one can proceed.
    fn poll(&self, look: &[u32]) -> Option<(usize, Poll)> {
        look.iter().find_map(|&i| {
            let case = &self.cases[i as usize];
            // SAFETY: all channels are locked, and the case was made for its channel.
            match unsafe { case.channel().poll(case.op, &case.sudog) } {
                Poll::NotReady => None,
                found => Some((i as usize, found)),
            }
        })
    }

    /// Queues all cases and parks, until a peer or the limit ends the wait. The case, or None. Of
    /// two cases of one channel the first in `look` is first in the queue too.
    fn wait(self, gp: &'static G, look: &[u32], limit: Limit) -> Option<usize> {
        let ticket = gp.wait.begin();
        let first = &self.cases[look[0] as usize].sudog;
        gp.waiting
            .store(core::ptr::from_ref(first) as usize, Ordering::Relaxed);
        for &i in look {
            let case = &self.cases[i as usize];
            case.sudog.ticket.set(Some(ticket));
            case.sudog.taken.set(false);
            // SAFETY: as in `poll`; the sudogs stay in place until `leave` has taken them out.
            unsafe { case.channel().enqueue(case.op, &case.sudog) };
        }
        let unlock: crate::sched::g::UnlockFn = match limit {
            Limit::Until(until_ns) => {
                gp.sleep_until_ns.store(until_ns, Ordering::Relaxed);
                |gp, locked| {
                    wait::arm_wait(gp); // first: after the unlock a peer may run `gp`
                    unlock_parked(locked)
                }
            }
            Limit::Now | Limit::Forever => |_, locked| unlock_parked(locked),
        };
        let this = core::mem::ManuallyDrop::new(self);
        park::gopark(
            unlock,
            core::ptr::from_ref(&*this) as usize,
            WaitReason::Select,
        );
        if matches!(limit, Limit::Until(_)) {
            gp.timer.stop();
        }
        Locked::lock(this.cases, this.locks).leave()
    }

    /// Takes all sudogs out of their queues, and finds the one that was chosen.
    fn leave(self) -> Option<usize> {
        let mut chosen = None;
        for &i in self.locks {
            let case = &self.cases[i as usize];
            if case.sudog.taken.get() {
                chosen = Some(i as usize);
            } else {
                // SAFETY: all channels are locked, and `wait` queued it.
                unsafe { case.channel().dequeue(case.op, &case.sudog) };
            }
        }
        chosen
    }

    /// Releases the locks, the first in order last.
    fn unlock(&self) {
        for k in (0..self.locks.len()).rev() {
            if self.is_first_of_its_channel(k) {
                // SAFETY: locked by `lock`. Before the last release nothing of this is gone (step
                // 3), and after it nothing of this is used.
                unsafe { self.case(k).channel().unlock() };
            }
        }
    }
}

impl Drop for Locked<'_, '_> {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// On g0: releases the locks of a select that is parked.
fn unlock_parked(locked: usize) -> bool {
    // SAFETY: `wait` passed it; it stays until the goroutine has gone through the last lock.
    unsafe { &*(locked as *const Locked<'_, '_>) }.unlock();
    true
}

/// For those who look at a goroutine that is parked in a select: calls `each` with the address of
/// each case's lock, and its sudog. `locked` is the goroutine's `park_lock`.
///
/// # Safety
/// The goroutine waits with reason "select" and a `G::waiting` that is not 0, and cannot go on
/// meanwhile.
pub(crate) unsafe fn parked_cases(locked: usize, each: &mut dyn FnMut(usize, &Sudog)) {
    // SAFETY: `wait` passed it; it stays until the goroutine goes on.
    let locked = unsafe { &*(locked as *const Locked<'_, '_>) };
    for k in 0..locked.locks.len() {
        let case = locked.case(k);
        each(case.key, &case.sudog);
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

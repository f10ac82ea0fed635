//! A P's timers: a 4-ary heap by deadline.
//!
//! - Every heap has its own lock; `min_when` mirrors the root for those who only want to know
//!   whether it is time. It is written under the lock and may be read a moment late, never with a
//!   deadline that was not there; whoever arms a timer looks afterwards who sleeps past it
//!   (`idle::wake_for_timer`).
//! - A timer knows its heap and its place in it, so stopping it takes O(log n) and leaves nothing
//!   behind. Go marks timers and cleans up later, to spare the lock of another P; here the lock is
//!   a spin lock held for a few instructions and cleaning up would cost every pass.
//! - Callbacks run on g0 with the lock dropped, and must not park.
//! - The heap is run by the M that holds the P, by an M that steals (last pass), or by the M that
//!   takes the P from the idle list: whoever comes first, under the lock.
//!
//! Models: `loom_tests.rs`: stops and resets against those who run what is due.

use alloc::vec::Vec;
use core::ptr::NonNull;

use crate::arch;
use crate::base::aref::AtomicRef;
use crate::base::lock::{Lock, Rank};
use crate::primitive::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// No deadline.
pub const NEVER: u64 = u64::MAX;

/// What a timer calls: its argument, and the ticket of the wait that it was armed for.
pub type TimerFn = fn(usize, u32);

/// A one-shot timer. It stays where it is from [`Timers::add`] until it fired or was stopped.
pub struct Timer {
    /// The heap that holds it, if any.
    heap: AtomicRef<Timers>,
    // Below: under the heap's lock while in a heap, else the owner's.
    index: AtomicUsize,
    when_ns: AtomicU64,
    f: AtomicUsize,
    arg: AtomicUsize,
    ticket: AtomicU32,
}

impl Timer {
    /// A timer that is in no heap.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            heap: AtomicRef::none(),
            index: AtomicUsize::new(0),
            when_ns: AtomicU64::new(0),
            f: AtomicUsize::new(0),
            arg: AtomicUsize::new(0),
            ticket: AtomicU32::new(0),
        }
    }

    /// A timer that is in no heap.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            heap: AtomicRef::none(),
            index: AtomicUsize::new(0),
            when_ns: AtomicU64::new(0),
            f: AtomicUsize::new(0),
            arg: AtomicUsize::new(0),
            ticket: AtomicU32::new(0),
        }
    }

    /// When it is to fire, if it is in a heap. A hint.
    pub fn armed_until_ns(&self) -> Option<u64> {
        self.heap
            .load(Ordering::Relaxed)
            .map(|_| self.when_ns.load(Ordering::Relaxed))
    }

    /// Takes the timer out of its heap. True if it will not fire any more, false if it fired, is
    /// about to, or was never armed.
    pub fn stop(&self) -> bool {
        // The heap changes only when gomaxprocs retires a P: look again under the lock.
        while let Some(heap) = self.heap.load(Ordering::Acquire) {
            let mut entries = heap.entries.lock();
            if self
                .heap
                .load(Ordering::Relaxed)
                .is_some_and(|h| core::ptr::eq(h, heap))
            {
                remove(&mut entries, self.index.load(Ordering::Relaxed));
                self.heap.store(None, Ordering::Relaxed);
                heap.publish_min(&entries);
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Copy)]
struct Entry {
    when_ns: u64,
    timer: NonNull<Timer>,
}

impl Entry {
    fn timer(&self) -> &Timer {
        // SAFETY: a timer in a heap stays in place (the contract of `Timers::add`).
        unsafe { self.timer.as_ref() }
    }
}

// SAFETY: the pointer is followed under the heap's lock only.
unsafe impl Send for Entry {}

/// The timers of one P.
pub struct Timers {
    entries: Lock<Vec<Entry>>,
    min_when: AtomicU64,
}

impl Timers {
    /// No timers.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            entries: Lock::new(Rank::Timers, Vec::new()),
            min_when: AtomicU64::new(NEVER),
        }
    }

    /// No timers.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            entries: Lock::new(Rank::Timers, Vec::new()),
            min_when: AtomicU64::new(NEVER),
        }
    }

    /// When the first timer is due, or [`NEVER`].
    #[inline(always)]
    pub fn min_when(&self) -> u64 {
        // SeqCst: one half of the store-load pairs of `idle` (armed timer against sleeping M).
        self.min_when.load(Ordering::SeqCst)
    }

    /// How many timers there are.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Calls `each` with the address and the argument of every timer. It must not touch timers.
    pub fn each(&self, each: &mut dyn FnMut(usize, usize)) {
        for entry in &*self.entries.lock() {
            let arg = entry.timer().arg.load(Ordering::Relaxed);
            each(entry.timer.addr().get(), arg);
        }
    }

    /// Arms a timer that is in no heap. The caller then sees to it that nobody sleeps past it.
    ///
    /// # Safety
    /// The timer stays in place until it fired or was stopped, and `f` may be called with `arg` on
    /// any M.
    pub unsafe fn add(
        &'static self,
        timer: &Timer,
        when_ns: u64,
        f: TimerFn,
        arg: usize,
        ticket: u32,
    ) {
        debug_assert!(
            timer.heap.load(Ordering::Relaxed).is_none(),
            "timer armed twice"
        );
        timer.when_ns.store(when_ns, Ordering::Relaxed);
        timer.f.store(f as usize, Ordering::Relaxed);
        timer.arg.store(arg, Ordering::Relaxed);
        timer.ticket.store(ticket, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        timer.heap.store(Some(self), Ordering::Release);
        let index = entries.len();
        entries.push(Entry {
            when_ns,
            timer: NonNull::from(timer),
        });
        sift_up(&mut entries, index);
        self.publish_min(&entries);
    }

    fn publish_min(&self, entries: &[Entry]) {
        self.min_when.store(
            entries.first().map_or(NEVER, |e| e.when_ns),
            Ordering::SeqCst,
        );
    }

    /// On g0: runs all timers that are due now. Without timers it costs a load and a compare.
    #[inline(always)]
    pub fn run_due(&self) -> usize {
        let first_ns = self.min_when();
        if first_ns == NEVER {
            return 0;
        }
        let now_ns = arch::nanotime();
        match first_ns <= now_ns {
            true => self.run(now_ns),
            false => 0,
        }
    }

    /// On g0: runs all timers that are due at `now_ns`. Returns how many.
    pub fn run(&self, now_ns: u64) -> usize {
        let mut ran = 0;
        while self.min_when() <= now_ns {
            let mut entries = self.entries.lock();
            let Some(first) = entries.first().copied().filter(|e| e.when_ns <= now_ns) else {
                break;
            };
            remove(&mut entries, 0);
            self.publish_min(&entries);
            let timer = first.timer();
            let (f, arg) = (
                timer.f.load(Ordering::Relaxed),
                timer.arg.load(Ordering::Relaxed),
            );
            let ticket = timer.ticket.load(Ordering::Relaxed);
            // From here on its owner may arm it again, or free it.
            timer.heap.store(None, Ordering::Release);
            drop(entries);
            // SAFETY: `add` stored a TimerFn.
            let f = unsafe { core::mem::transmute::<usize, TimerFn>(f) };
            f(arg, ticket);
            ran += 1;
        }
        ran
    }

    /// World stopped: takes all timers of a P that is retired.
    pub fn take(&'static self, from: &Timers) {
        let moved = core::mem::take(&mut *from.entries.lock());
        from.min_when.store(NEVER, Ordering::SeqCst);
        let mut entries = self.entries.lock();
        for entry in moved {
            entry.timer().heap.store(Some(self), Ordering::Release);
            let index = entries.len();
            entries.push(entry);
            sift_up(&mut entries, index);
        }
        self.publish_min(&entries);
    }
}

/// Four children a node: half the depth of a binary heap, and the four keys of a level share a
/// cache line.
const ARITY: usize = 4;

fn place(entries: &mut [Entry], index: usize, entry: Entry) {
    entries[index] = entry;
    entry.timer().index.store(index, Ordering::Relaxed);
}

fn sift_up(entries: &mut [Entry], mut index: usize) {
    let entry = entries[index];
    while index > 0 {
        let parent = (index - 1) / ARITY;
        if entries[parent].when_ns <= entry.when_ns {
            break;
        }
        place(entries, index, entries[parent]);
        index = parent;
    }
    place(entries, index, entry);
}

fn sift_down(entries: &mut [Entry], mut index: usize) {
    let entry = entries[index];
    loop {
        let first = index * ARITY + 1;
        let last = (first + ARITY).min(entries.len());
        let Some(child) = (first..last).min_by_key(|&i| entries[i].when_ns) else {
            break;
        };
        if entry.when_ns <= entries[child].when_ns {
            break;
        }
        place(entries, index, entries[child]);
        index = child;
    }
    place(entries, index, entry);
}

fn remove(entries: &mut Vec<Entry>, index: usize) {
    entries.swap_remove(index);
    if index < entries.len() {
        sift_down(entries, index);
        sift_up(entries, index);
    }
}

#[cfg(all(test, not(loom)))]
mod properties;

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;

//! One goroutine of a system that goes on, as it was at one instant.
//!
//! # Protocol
//!
//! A goroutine stands still while it is copied, and is printed later, from the copy: printing takes
//! locks and memory, and a serial line takes its time.
//!
//! | status | what keeps it still |
//! | --- | --- |
//! | waiting, runnable | its scan bit: whoever would run it waits for that |
//! | running, here | it is the caller |
//! | running elsewhere | its CPU is held by NMI (`arch::hold`), which may hold any lock |
//!
//! So what is copied while a CPU is held goes into room that was there before, and what is read is
//! atomic, or belongs to the CPU that stands. Where that CPU stands decides where the goroutine
//! does:
//!
//! | `gs:[g]` of the CPU | the goroutine |
//! | --- | --- |
//! | the goroutine | stands at the interrupted registers |
//! | g0 | gave up its CPU, or called `systemstack`: its Gobuf says where |
//!
//! In an interrupt and in the switch they would tell nothing: the CPU goes on to where they do
//! (`Place::Settled`). What changed between looking at the goroutine and standing still is asked
//! again. After [`TRIES`], some 80 ms, the goroutine is said to be unavailable, in Go's words.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::arch::switch::{self, preempt_off, preempt_on};
use crate::arch::{self, Held, Place};
use crate::mem::{FRAME_SIZE, space};
use crate::observe::dump::{self, interrupted, parked};
use crate::observe::report::{GoroutineHeader, Machine};
use crate::observe::unwind::{Bounds, Call, Calls, Start};
use crate::sched::g::{G, Status, getg};
use crate::sched::labels::{self, Labels};
use crate::sched::m::M;

/// How often a goroutine that does not stand still is tried again.
const TRIES: u32 = 13;
/// How long the first try waits for the second, if the goroutine was between two states.
/// Each further wait is twice as long: on a host with more CPUs of guests than of its own, a CPU
/// that was let go may not have done a single instruction for milliseconds.
const PAUSE_NS: u64 = 10_000;
/// How long a CPU may take to stand, and how often it may not. The caller has interrupts off for
/// that long, so it stays well below what the watchdog takes for deaf.
const PATIENCE_NS: u64 = 100_000_000;
const MAX_SILENCES: usize = 3;

/// How many calls of a stack are kept; of deeper ones the first and the last half.
const MAX_CALLS: usize = 1024;

/// The calls of one stack, in room that is there before any is copied.
pub(super) struct CallBuffer {
    calls: Vec<Call>,
    left_out: usize,
}

impl CallBuffer {
    pub(super) fn new() -> Self {
        Self {
            calls: Vec::with_capacity(MAX_CALLS),
            left_out: 0,
        }
    }

    /// The calls, innermost first, and how many are missing in their middle.
    pub(super) fn get(&self) -> (&[Call], usize) {
        (&self.calls, self.left_out)
    }

    /// Copies a stack. Allocates nothing.
    ///
    /// # Safety
    /// As for [`Calls::new`].
    unsafe fn fill(&mut self, start: Start, bounds: Bounds) {
        const HALF: usize = MAX_CALLS / 2;
        let stop_at = [switch::goexit as *const () as usize + 1];
        self.calls.clear();
        let mut seen = 0;
        // SAFETY: the caller's promise.
        for call in unsafe { Calls::new(start, bounds, &stop_at) } {
            if seen < MAX_CALLS {
                self.calls.push(call);
            } else {
                self.calls[HALF + (seen - HALF) % HALF] = call;
            }
            seen += 1;
        }
        self.left_out = seen.saturating_sub(MAX_CALLS);
        if self.left_out > 0 {
            self.calls[HALF..].rotate_left(self.left_out % HALF);
        }
    }
}

/// What a goroutine was; its calls are in a [`CallBuffer`].
pub(super) struct Snapshot {
    goid: u64,
    status: &'static str,
    wait_ns: u64,
    locked: bool,
    name: Option<Arc<str>>,
    labels: Option<Arc<Labels>>,
    gp: usize,
    m: Option<(u64, usize)>,
    pub(super) gopc: usize,
    pub(super) parent_goid: u64,
    /// The buffer holds its calls.
    pub(super) has_calls: bool,
}

impl Snapshot {
    /// Copies a goroutine and its stack. None if it is dead. Preemption is on, or the caller is on
    /// g0.
    pub(super) fn take(gp: &'static G, calls: &mut CallBuffer) -> Option<Self> {
        let mut silences = 0;
        for attempt in 0..TRIES {
            // The scan bit must not be kept by a goroutine that was preempted.
            preempt_off();
            let tried = Self::try_take(gp, calls);
            preempt_on();
            match tried {
                Tried::Taken(snapshot) => return Some(snapshot),
                Tried::Dead => return None,
                Tried::Silent if silences + 1 == MAX_SILENCES => break,
                Tried::Silent => silences += 1,
                Tried::Moving => pause_before_retry(attempt),
            }
        }
        // A hint, without what may be gone any moment.
        Some(Self::facts(gp, None, None, false))
    }

    fn try_take(gp: &'static G, calls: &mut CallBuffer) -> Tried {
        let status = gp.status();
        match status {
            Status::Dead | Status::Idle => Tried::Dead,
            Status::Waiting | Status::Runnable => {
                if !gp.try_claim(status) {
                    return Tried::Moving;
                }
                // SAFETY: the scan bit keeps it from running.
                let snapshot = unsafe { Self::still(gp, Some(parked(gp)), calls) };
                gp.unclaim();
                Tried::Taken(snapshot)
            }
            Status::Running if core::ptr::eq(gp, getg()) => {
                // SAFETY: the caller's own, from this frame on.
                Tried::Taken(unsafe { Self::still(gp, Some(dump::here()), calls) })
            }
            Status::Running => Self::of_running(gp, calls),
        }
    }

    /// A goroutine that runs on another CPU, or for which its M is on g0.
    fn of_running(gp: &'static G, calls: &mut CallBuffer) -> Tried {
        let Some(m) = gp.m.load(Ordering::Relaxed) else {
            return Tried::Moving;
        };
        if m.id() == switch::cpu_index() {
            // The caller is this M's g0.
            // SAFETY: it does not run while the caller does.
            return Tried::Taken(unsafe { Self::still(gp, Some(parked(gp)), calls) });
        }
        arch::hold(1 << m.id(), Place::Settled, PATIENCE_NS, |held| {
            Self::of_held(gp, m, held, calls)
        })
    }

    /// While the goroutine's CPU stands: no lock, no memory.
    fn of_held(gp: &'static G, m: &'static M, held: &Held, calls: &mut CallBuffer) -> Tried {
        let Some(frame) = held.frame(m.id()) else {
            return Tried::Silent;
        };
        let runs_there =
            m.head.curg.load(Ordering::Relaxed) == gp.as_head() && gp.status() == Status::Running;
        let start = if !runs_there {
            return Tried::Moving;
        } else if frame.saved_g == gp.as_head() {
            interrupted(frame)
        } else if frame.saved_g == m.g0.as_head() {
            parked(gp)
        } else {
            return Tried::Moving;
        };
        // SAFETY: its CPU stands.
        Tried::Taken(unsafe { Self::still(gp, Some(start), calls) })
    }

    /// # Safety
    /// The goroutine stands still, or is the caller, and `start` is where.
    unsafe fn still(gp: &'static G, start: Option<Start>, calls: &mut CallBuffer) -> Self {
        let start = start.filter(|start| start.pc != 0);
        if let Some(start) = start {
            let bounds = gp.head.stack.get();
            let bounds = Bounds {
                lo: mapped_from(start.sp.max(bounds.lo), bounds.hi),
                hi: bounds.hi,
            };
            // SAFETY: the caller's promise; what lies above the first page that is there is there.
            unsafe { calls.fill(start, bounds) };
        }
        // SAFETY: the caller's promise.
        let (name, labels) = unsafe { (gp.shared_name(), labels::of(gp)) };
        Self::facts(gp, name, labels, start.is_some())
    }

    fn facts(
        gp: &'static G,
        name: Option<Arc<str>>,
        labels: Option<Arc<Labels>>,
        has_calls: bool,
    ) -> Self {
        let m: Option<&M> = gp.m.load(Ordering::Relaxed);
        Self {
            goid: gp.goid.load(Ordering::Relaxed),
            status: dump::status_text(gp),
            wait_ns: dump::wait_ns(gp),
            locked: gp.lockedm.load(Ordering::Relaxed).is_some(),
            name,
            labels,
            gp: gp.as_head() as usize,
            m: m.map(|m| (m.id() as u64, core::ptr::from_ref(m) as usize)),
            gopc: gp.gopc.load(Ordering::Relaxed),
            parent_goid: gp.parent_goid.load(Ordering::Relaxed),
            has_calls,
        }
    }

    pub(super) fn header(&self) -> GoroutineHeader<'_> {
        GoroutineHeader {
            goid: self.goid,
            status: self.status,
            scan: false,
            wait_minutes: self.wait_ns / 60_000_000_000,
            locked: self.locked,
            name: self.name.as_deref(),
            labels: self.labels.as_deref(),
            machine: Machine {
                gp: self.gp,
                m: self.m,
            },
        }
    }
}

enum Tried {
    Taken(Snapshot),
    Dead,
    /// Its CPU did not stand in time.
    Silent,
    /// It was between two states.
    Moving,
}

/// Gives a goroutine that was between two states time to get to one.
fn pause_before_retry(attempt: u32) {
    let end = arch::nanotime() + (PAUSE_NS << attempt);
    while arch::nanotime() < end {
        arch::pause();
    }
}

/// The lowest address from `sp` on that is mapped: a function may have moved rsp to pages that it
/// has not touched.
fn mapped_from(sp: usize, hi: usize) -> usize {
    let mut at = sp;
    while at < hi && space::translate(at).is_none() {
        at = (at / FRAME_SIZE + 1) * FRAME_SIZE;
    }
    at
}

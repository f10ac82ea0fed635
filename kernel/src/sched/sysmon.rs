//! What Go's `sysmon` thread does, without a thread.
//!
//! Go needs one because its threads cannot interrupt themselves. Here each CPU's own timer ends
//! slices exactly ([`preempt`](crate::sched::preempt)) and idle CPUs sleep until the next timer, so
//! what is left is periodic work, which the tick of a busy CPU makes due and the next M in
//! `find_runnable` does: `schedtrace` lines, and giving back the memory of stacks that were deep
//! once and are parked now. While all CPUs are idle nothing is due: an idle machine stays idle.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::arch;
use crate::arch::switch::STACK_GUARD;
use crate::mem::stack;
use crate::sched::SCHED;
use crate::sched::g::{G, Status};
use crate::sched::stop::flush_all_tlbs;

/// How often parked stacks are looked at.
const SHRINK_PERIOD_NS: u64 = 1_000_000_000;
/// A goroutine that has been parked this long gives back what its stack does not use.
const SHRINK_AFTER_NS: u64 = 1_000_000_000;

static DUE: AtomicBool = AtomicBool::new(false);
static SCHEDTRACE_NS: AtomicU64 = AtomicU64::new(0);
static NEXT_TRACE_NS: AtomicU64 = AtomicU64::new(0);
static NEXT_SHRINK_NS: AtomicU64 = AtomicU64::new(SHRINK_PERIOD_NS);
static TRACE: AtomicUsize = AtomicUsize::new(0);

/// Prints Go's `SCHED` line every `period_ns`, by `print`; 0: never.
pub fn set_schedtrace(period_ns: u64, print: fn()) {
    TRACE.store(print as usize, Ordering::Relaxed);
    // Release: who sees the period sees the function.
    SCHEDTRACE_NS.store(period_ns, Ordering::Release);
    let next = if period_ns == 0 {
        u64::MAX
    } else {
        arch::nanotime() + period_ns
    };
    NEXT_TRACE_NS.store(next, Ordering::Relaxed);
}

/// Interrupt: says whether periodic work is due.
pub fn tick(now_ns: u64) {
    let trace = SCHEDTRACE_NS.load(Ordering::Relaxed) != 0
        && now_ns >= NEXT_TRACE_NS.load(Ordering::Relaxed);
    if trace || now_ns >= NEXT_SHRINK_NS.load(Ordering::Relaxed) {
        DUE.store(true, Ordering::Relaxed);
    }
}

/// On g0, no lock held: does what is due.
#[inline]
pub fn poll() {
    if DUE.load(Ordering::Relaxed) && DUE.swap(false, Ordering::Acquire) {
        run();
    }
}

#[cold]
fn run() {
    let now = arch::nanotime();
    let period = SCHEDTRACE_NS.load(Ordering::Acquire);
    if period != 0 && now >= NEXT_TRACE_NS.load(Ordering::Relaxed) {
        NEXT_TRACE_NS.store(now + period, Ordering::Relaxed);
        // SAFETY: `set_schedtrace` stored a `fn()` before it set the period.
        let print = unsafe { core::mem::transmute::<usize, fn()>(TRACE.load(Ordering::Relaxed)) };
        print();
    }
    if now >= NEXT_SHRINK_NS.load(Ordering::Relaxed) {
        NEXT_SHRINK_NS.store(now + SHRINK_PERIOD_NS, Ordering::Relaxed);
        shrink_parked();
    }
}

/// Takes the pages below the stack pointers of goroutines that have been parked for long
/// (Go: `shrinkstack`). The scan bit keeps each from running until no TLB knows the pages.
fn shrink_parked() {
    let long = arch::ns_to_cputicks(SHRINK_AFTER_NS);
    let now = arch::cputicks();
    SCHED.for_each_g(|gp| {
        let since = gp.waitsince.load(Ordering::Relaxed);
        if gp.status() != Status::Waiting || now.saturating_sub(since) < long {
            return;
        }
        if unused_pages(gp) && gp.try_claim(Status::Waiting) {
            // Again, now that it stands still.
            let frames = stack::shrink(stack::whole(gp.head.stack.get()), keep_from(gp));
            if frames.count() > 0 {
                flush_all_tlbs();
            }
            frames.release();
            gp.unclaim();
        }
    });
}

/// What a parked goroutine will need at once when it goes on is kept.
fn keep_from(gp: &G) -> usize {
    gp.gobuf().sp.get().saturating_sub(STACK_GUARD)
}

fn unused_pages(gp: &G) -> bool {
    stack::has_grown(stack::whole(gp.head.stack.get())) && keep_from(gp) > gp.head.stack.get().lo
}

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
use crate::mem::space::Unmapped;
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
        shrink_stacks();
    }
}

/// Takes the pages that goroutines do not use which have been parked or dead for long
/// (Go: `shrinkstack`).
fn shrink_stacks() {
    let long = arch::ns_to_cputicks(SHRINK_AFTER_NS);
    let now = arch::cputicks();
    shrink_where(|gp, status| {
        let since = gp.waitsince.load(Ordering::Relaxed);
        matches!(status, Status::Waiting | Status::Dead) && now.saturating_sub(since) >= long
    });
}

/// Takes all but the first page from all dead goroutines: memory is short. Returns how many frames
/// came free.
pub fn shrink_dead() -> usize {
    shrink_where(|_, status| status == Status::Dead)
}

/// So many stacks share one flush of the TLBs.
const BATCH: usize = 32;

/// Shrinks the stacks that `want` chooses. The scan bit keeps each goroutine from running (a dead
/// one: from being used again) until no TLB knows its pages.
fn shrink_where(want: impl Fn(&G, Status) -> bool) -> usize {
    let mut batch = [const { None }; BATCH];
    let mut n = 0;
    let mut freed = 0;
    SCHED.for_each_g_ever(|gp| {
        let status = gp.status();
        if !want(gp, status) || !has_unused_pages(gp, status) || !gp.try_claim(status) {
            return;
        }
        // Looked at again, now that it stands still.
        let frames = stack::shrink(stack::whole(gp.head.stack.get()), keep_from(gp, status));
        batch[n] = Some((gp, frames));
        n += 1;
        if n == BATCH {
            freed += finish(&mut batch);
            n = 0;
        }
    });
    freed + finish(&mut batch)
}

fn finish(batch: &mut [Option<(&'static G, Unmapped)>]) -> usize {
    if batch.iter().flatten().any(|(_, frames)| frames.count() > 0) {
        flush_all_tlbs();
    }
    let mut freed = 0;
    for (gp, frames) in batch.iter_mut().filter_map(Option::take) {
        freed += frames.release();
        gp.unclaim();
    }
    freed
}

/// What a parked goroutine will need at once when it goes on is kept; of a dead one the first page,
/// where its G is.
fn keep_from(gp: &G, status: Status) -> usize {
    match status {
        Status::Dead => gp.head.stack.get().hi,
        _ => gp.gobuf().sp.get().saturating_sub(STACK_GUARD),
    }
}

fn has_unused_pages(gp: &G, status: Status) -> bool {
    let bounds = gp.head.stack.get();
    stack::has_grown(stack::whole(bounds)) && keep_from(gp, status) > bounds.lo
}

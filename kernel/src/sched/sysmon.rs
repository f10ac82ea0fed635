//! What Go's `sysmon` thread does, without a thread.
//!
//! Go needs one because its threads cannot interrupt themselves. Here each CPU's own timer ends
//! slices exactly ([`preempt`](crate::sched::preempt)) and idle CPUs sleep until the next timer, so
//! what is left is periodic work, which the tick of a busy CPU makes due and the next M in
//! `find_runnable` does: `schedtrace` lines, and giving back the memory of stacks that were deep
//! once and are parked now. While all CPUs are idle nothing is due: an idle machine stays idle.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::arch;
use crate::arch::switch::{STACK_GUARD, preempt_off, preempt_on};
use crate::base::aref::AtomicRef;
use crate::mem::space::Unmapped;
use crate::mem::stack;
use crate::sched::SCHED;
use crate::sched::agenda::Item;
use crate::sched::attention;
use crate::sched::g::{G, Status};
use crate::sched::park::{self, WaitReason};
use crate::sched::stop::flush_all_tlbs;
use crate::sched::watchdog;

/// How often parked stacks are looked at.
const SHRINK_PERIOD_NS: u64 = 1_000_000_000;
/// A goroutine that has been parked this long gives back what its stack does not use.
const SHRINK_AFTER_NS: u64 = 1_000_000_000;

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

/// The goroutine that reads the trace, parked until it is to read.
static TRACE_READER: AtomicRef<G> = AtomicRef::none();
static NEXT_READ_NS: AtomicU64 = AtomicU64::new(0);

/// The reader of the trace: parks until `period_ns` have passed while something ran. An idle
/// machine makes no events, and a timer would keep a deadlock from being seen.
pub fn await_trace(period_ns: u64) {
    NEXT_READ_NS.store(arch::nanotime() + period_ns, Ordering::Relaxed);
    park::gopark(
        |gp, _| {
            // SeqCst: whoever swaps it out readies it, and nobody else.
            TRACE_READER.store(Some(gp), Ordering::SeqCst);
            true
        },
        0,
        WaitReason::Sleep,
    );
}

/// Readies the reader of the trace, if it is parked.
pub fn wake_trace_reader() {
    if let Some(gp) = TRACE_READER.swap(None, Ordering::SeqCst) {
        park::goready(gp);
    }
}

fn trace_is_due(now_ns: u64) -> bool {
    now_ns >= NEXT_READ_NS.load(Ordering::Relaxed) && TRACE_READER.load(Ordering::Relaxed).is_some()
}

/// Interrupt: says whether periodic work is due.
pub fn tick(now_ns: u64) {
    let trace = SCHEDTRACE_NS.load(Ordering::Relaxed) != 0
        && now_ns >= NEXT_TRACE_NS.load(Ordering::Relaxed);
    if trace
        || trace_is_due(now_ns)
        || attention::is_asked()
        || now_ns >= NEXT_SHRINK_NS.load(Ordering::Relaxed)
    {
        make_due();
    }
}

/// Any context: has the next M in `find_runnable` look for what is due.
pub fn make_due() {
    SCHED.agenda.add(Item::Sysmon);
}

/// On g0, no lock held: does what is due.
#[inline]
pub fn poll() {
    if SCHED.agenda.has(Item::Sysmon) && SCHED.agenda.take(Item::Sysmon) {
        run();
    }
}

#[cold]
fn run() {
    attention::poll();
    watchdog::poll();
    let now = arch::nanotime();
    let period = SCHEDTRACE_NS.load(Ordering::Acquire);
    if period != 0 && now >= NEXT_TRACE_NS.load(Ordering::Relaxed) {
        NEXT_TRACE_NS.store(now + period, Ordering::Relaxed);
        // SAFETY: `set_schedtrace` stored a `fn()` before it set the period.
        let print = unsafe { core::mem::transmute::<usize, fn()>(TRACE.load(Ordering::Relaxed)) };
        print();
    }
    if trace_is_due(now) {
        wake_trace_reader();
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
/// one: from being used again) until no TLB knows its pages. No preemption while it is set: who
/// waits for it does so with preemption off, and cannot be waited for to stop the world.
fn shrink_where(want: impl Fn(&G, Status) -> bool) -> usize {
    let mut batch = [const { None }; BATCH];
    let mut n = 0;
    let mut freed = 0;
    SCHED.for_each_g_ever(|gp| {
        let status = gp.status();
        if !want(gp, status) || !has_unused_pages(gp, status) {
            return;
        }
        preempt_off();
        if !gp.try_claim(status) {
            preempt_on();
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

/// Lets go of a batch, and turns preemption on as often as it was turned off.
fn finish(batch: &mut [Option<(&'static G, Unmapped)>]) -> usize {
    if batch.iter().flatten().any(|(_, frames)| frames.count() > 0) {
        flush_all_tlbs();
    }
    let mut freed = 0;
    for (gp, frames) in batch.iter_mut().filter_map(Option::take) {
        freed += frames.release();
        gp.unclaim();
        preempt_on();
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

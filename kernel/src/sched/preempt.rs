//! Preemption: who asks for it, where it is taken, and how it is forced.
//!
//! 1. **Request.** The tick finds that the slice is over or a timer is due, or another CPU wants
//!    the M to look at something: `g.preempt` is set and `stackguard0` poisoned.
//! 2. **Safe point.** The next function that is entered compares `rsp` with `stackguard0` and lands
//!    in `newstack`, which yields, unless preemption is off; then the request stays in `g.preempt`,
//!    and the last `preempt_on` poisons again.
//! 3. **Asynchronous.** A loop without calls has no safe point. If the flag is still there at the
//!    next tick, the interrupt rewrites where it returns to: `switch::async_preempt`. Possible at
//!    every instruction of a goroutine on its own stack with preemption on. All runtime state that
//!    a goroutine touches is touched with preemption off, so no list of forbidden functions is
//!    needed, but for the switch itself, which has a section of its own.
//!
//! Everything here is a hint that may hit the wrong goroutine (the P may have switched meanwhile):
//! then that one yields once too often. A request may be lost (`execute` clears the flag): whoever
//! depends on it asks again.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::arch;
use crate::arch::TrapFrame;
use crate::arch::switch::{self, GHead, preempt_off, preempt_on};
use crate::sched::g::{G, getg};
use crate::sched::m::{M, getm};
use crate::sched::p::P;
use crate::sched::{SCHED, attention, fatal, park, sampling, sysmon, watchdog};

/// How much of preemption runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mode {
    /// None: a goroutine runs until it parks or yields.
    Off = 0,
    /// Requests, taken at safe points.
    Coop = 1,
    /// Also by the interrupt itself.
    Async = 2,
}

static MODE: AtomicU8 = AtomicU8::new(Mode::Async as u8);

/// Chooses how much of preemption runs; at boot.
pub fn set_mode(mode: Mode) {
    MODE.store(mode as u8, Ordering::Relaxed);
    SCHED.note_unusual();
}

/// How much of preemption runs.
pub fn mode() -> Mode {
    match MODE.load(Ordering::Relaxed) {
        0 => Mode::Off,
        1 => Mode::Coop,
        _ => Mode::Async,
    }
}

/// How long a goroutine has for reaching a safe point before the interrupt preempts it itself.
const GRACE_NS: i64 = 100_000;

/// So many short slices make a whole one.
const SHORT_SLICES: u64 = 64;

/// Asks the goroutine that runs on `m` to yield (Go: `preemptone`). False if none runs there.
pub fn preemptone(m: &'static M) -> bool {
    let Some(gp) = m.curg() else { return false };
    if mode() == Mode::Off {
        return false;
    }
    gp.request_preempt();
    if mode() == Mode::Async && !core::ptr::eq(m, getm()) {
        getm().stats.ipis_sent.add(1);
        arch::send_ipi(m.id(), arch::Ipi::Preempt);
    }
    true
}

/// Asks all running goroutines to yield. Preemption is off.
pub fn preemptall() {
    for p in SCHED.allp() {
        if let Some(m) = p.m.load(Ordering::Relaxed)
            && !core::ptr::eq(m, getm())
        {
            preemptone(m);
        }
    }
}

/// On g0 or in the tick: sets the timer for the goroutine that runs, or is about to, in the slice
/// that the P has begun.
pub fn arm_slice(m: &'static M, p: &'static P) {
    let left_ns = slice_left_ns(p).max(1_000) as u64;
    let end = arch::nanotime() + left_ns.min(SCHED.slice_ns.load(Ordering::Relaxed));
    m.rearm(end.min(p.timers.min_when()));
}

/// On g0: begins a slice.
#[inline(always)]
pub(super) fn begin_slice(p: &'static P) {
    let end = arch::cputicks().wrapping_add(SCHED.slice_ticks.load(Ordering::Relaxed));
    p.slice_end.store(end, Ordering::Relaxed);
}

/// On g0: begins a short slice, for a goroutine that others are not to wait for. It is then run as
/// one that inherits its time.
pub(super) fn begin_short_slice(m: &'static M, p: &'static P) {
    let short_ns = SCHED.slice_ns.load(Ordering::Relaxed) / SHORT_SLICES;
    let short_ticks = SCHED.slice_ticks.load(Ordering::Relaxed) / SHORT_SLICES;
    p.schedtick.add(1);
    p.short_slice.store(true, Ordering::Relaxed);
    p.asked.store(true, Ordering::Relaxed); // the next round is to see that, whatever ends this
    let end = arch::cputicks().wrapping_add(short_ticks);
    p.slice_end.store(end, Ordering::Relaxed);
    let end_ns = arch::nanotime() + short_ns;
    m.rearm(end_ns.min(p.timers.min_when()).min(m.armed_until_ns()));
}

/// Interrupt: this CPU's timer fired.
pub fn tick(frame: &mut TrapFrame) {
    let m = getm();
    m.stats.ticks.add(1);
    let halted = m.park.is_halted();
    if sampling::is_on() && !halted && !sampling::on_tick(m, frame) {
        return; // it was for a sample alone
    }
    m.disarmed();
    if halted {
        return; // the sleeper looks at the clock itself
    }
    let now_ns = arch::nanotime();
    sysmon::tick(now_ns);
    attention::tick(frame, now_ns);
    watchdog::tick(now_ns);
    let Some(p) = m.p.load(Ordering::Relaxed) else {
        return m.rearm_for_samples();
    };
    let left_ns = slice_left_ns(p);
    let due = p.timers.min_when() <= now_ns;
    if due || (left_ns <= 0 && mode() != Mode::Off) {
        // Also on g0, where no goroutine can be asked, and for the switches that would throw a
        // goroutine's request away.
        p.asked.store(true, Ordering::Relaxed);
    }
    let Some(gp) = m.curg() else {
        return m.rearm_for_samples(); // on g0: `execute` arms the timer
    };
    if mode() == Mode::Off {
        return arm_for_next(m, p, now_ns);
    }
    if !(left_ns <= 0 || due || gp.preempt_requested()) {
        // The slice began after the timer was armed.
        return arm_slice(m, p);
    }
    let forced = gp.preempt_requested() && mode() == Mode::Async && preempt_now(p, frame);
    let first = !gp.preempt_requested();
    if first {
        p.stats.preempt_asked.add(1);
    }
    if !forced {
        // Also a second time: the first may have been lost to a switch.
        gp.request_preempt();
    }
    let slice_ns = SCHED.slice_ns.load(Ordering::Relaxed) as i64;
    let again_ns = match mode() {
        Mode::Async if first => GRACE_NS,
        // Whoever has had preemption off for long is asked less and less often: to set a timer is
        // dear in a virtual machine, and the last `preempt_on` asks by itself.
        Mode::Async => (-left_ns).clamp(GRACE_NS, slice_ns.max(GRACE_NS)),
        _ => slice_ns,
    };
    m.rearm(or_timer(p, now_ns + again_ns as u64, now_ns));
}

/// With preemption off nobody is asked: what is due already waits until the goroutine gives up the
/// CPU, and has the timer fire no more.
fn arm_for_next(m: &'static M, p: &'static P, now_ns: u64) {
    let next = now_ns + SCHED.slice_ns.load(Ordering::Relaxed);
    m.rearm(or_timer(p, next, now_ns));
}

/// When to look again: at the P's first timer, if that is sooner and not due already.
fn or_timer(p: &'static P, next_ns: u64, now_ns: u64) -> u64 {
    match p.timers.min_when() {
        timer if timer > now_ns => next_ns.min(timer),
        _ => next_ns,
    }
}

/// Interrupt: it left work for the scheduler, which the goroutine here, if any, is to let look.
pub fn let_scheduler_look() {
    let m = getm();
    if let Some(gp) = m
        .curg()
        .filter(|_| mode() != Mode::Off && !m.park.is_halted())
    {
        gp.request_preempt();
        m.arm(arch::nanotime() + GRACE_NS as u64);
    }
}

/// What is left of the slice; negative: for how long it has been over.
fn slice_left_ns(p: &'static P) -> i64 {
    let slice_ticks = SCHED.slice_ticks.load(Ordering::Relaxed).max(1);
    let slice_ns = SCHED.slice_ns.load(Ordering::Relaxed);
    let left = i128::from(slice_left_ticks(p));
    (i128::from(slice_ns) * left / i128::from(slice_ticks)) as i64
}

/// On g0: whether so little is left of the slice that nobody should inherit it.
pub(super) fn slice_is_nearly_over(p: &'static P) -> bool {
    let slice_ticks = SCHED.slice_ticks.load(Ordering::Relaxed);
    slice_left_ticks(p) <= (slice_ticks / SHORT_SLICES) as i64
}

fn slice_left_ticks(p: &'static P) -> i64 {
    let end = p.slice_end.load(Ordering::Relaxed);
    end.wrapping_sub(arch::cputicks()) as i64
}

/// Interrupt: another CPU asked the goroutine here to yield.
pub fn preempt_ipi(frame: &mut TrapFrame) {
    let m = getm();
    m.stats.ipis_got.add(1);
    if let (Some(p), Some(gp)) = (m.p.load(Ordering::Relaxed), m.curg())
        && gp.preempt_requested()
    {
        let _ = preempt_now(p, frame); // if not: the asker asks again
    }
}

/// Interrupt: preempts the interrupted goroutine if this is possible here.
fn preempt_now(p: &'static P, frame: &mut TrapFrame) -> bool {
    let m = getm();
    let curg = m.head.curg.load(Ordering::Relaxed);
    if frame.saved_g != curg
        || m.head.locks.load(Ordering::Relaxed) != 0
        || switch::in_switch(frame.rip as usize)
    {
        return false;
    }
    // SAFETY: the goroutine that runs here; curg always names a G.
    let gp = unsafe { G::of(curg) };
    let stack = gp.head.stack.get();
    let rsp = frame.rsp as usize;
    if rsp > stack.hi || rsp < stack.lo + switch::ASYNC_PREEMPT_ROOM {
        return false;
    }
    p.stats.preempt_async.add(1);
    // The way to the switch leads through safe points, which shall not yield as well.
    gp.head
        .stackguard0
        .store(gp.stack_guard(), Ordering::Relaxed);
    // SAFETY: a goroutine on its own stack with room, outside the switch.
    unsafe { switch::inject_async_preempt(&mut frame.rip, &mut frame.rsp) };
    true
}

/// From `switch::async_preempt`, on the goroutine's stack: all registers are saved.
#[unsafe(no_mangle)]
extern "Rust" fn gosched_async_preempt() {
    // SAFETY: gopreempt_m puts the goroutine on a queue.
    unsafe { switch::mcall(gopreempt_m) };
}

unsafe extern "C" fn gopreempt_m(head: *mut GHead) -> ! {
    // SAFETY: mcall passes the goroutine that it saved.
    park::gosched_impl(unsafe { G::of(head) }, true)
}

/// From the safe point, with stackguard0 = 0: preemption was asked for, or the stack is nearly used
/// up (Go: `newstack`). `sp` is that of the function that was entered.
#[unsafe(no_mangle)]
extern "Rust" fn gosched_newstack(sp: usize) {
    let gp = getg();
    let guard = gp.stack_guard();
    if sp <= guard {
        fatal::stack_overflow(sp);
    }
    gp.head.stackguard0.store(guard, Ordering::Relaxed);
    let chaos = SCHED.chaos.load(Ordering::Relaxed) != 0;
    if switch::preempt_depth() == 0 && is_goroutine(gp) {
        if gp.preempt_requested() {
            count_taken();
            // SAFETY: gopreempt_m puts the goroutine on a queue.
            unsafe { switch::mcall(gopreempt_m) };
        } else if chaos && strikes() {
            park::gosched();
        }
    }
    if chaos {
        chaos_poison(gp);
    }
}

fn is_goroutine(gp: &'static G) -> bool {
    gp.goid.load(Ordering::Relaxed) != 0
}

fn strikes() -> bool {
    preempt_off();
    let strikes = SCHED.chaos_strikes();
    preempt_on();
    strikes
}

fn count_taken() {
    preempt_off();
    if let Some(p) = getm().p.load(Ordering::Relaxed) {
        p.stats.preempt_taken.add(1);
    }
    preempt_on();
}

/// With chaos every safe point takes the slow path, to throw its dice there.
pub fn chaos_poison(gp: &'static G) {
    if is_goroutine(gp) {
        gp.head
            .stackguard0
            .store(switch::STACK_PREEMPT, Ordering::Relaxed);
    }
}

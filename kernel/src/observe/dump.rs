//! The report of an end, and dumps of goroutines: who is printed, from where, in which order.
//!
//! Frozen CPUs stand where the NMI met them, so a goroutine that ran there is unwound from its
//! interrupted registers: a fatal report shows all stacks, those of running goroutines included
//! (Go: `stack unavailable`). Dumps of a system that goes on are the matter of `living`.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use crate::arch::switch::{self, in_switch};
use crate::arch::{self, TrapFrame, exceptions};
use crate::base::console::Raw;
use crate::mem::{self, FRAME_SIZE, stack};
use crate::observe::hostfile;
use crate::observe::outermost;
use crate::observe::report::{self, GoroutineHeader, Machine, Recovered, Registers};
use crate::observe::symbols::{Symbolizer, Symbols};
use crate::observe::trace;
use crate::observe::traceback::{CreatedBy, Level, Stack, Traceback};
use crate::observe::unwind::{Bounds, Call, Calls, Start};
use crate::sched::SCHED;
use crate::sched::fatal::{self, Cause};
use crate::sched::g::{G, SCAN, Status, getg};
use crate::sched::labels::{self, Labels};
use crate::sched::m::{M, getm};
use conquer_once::spin::OnceCell;

/// Bytes of memory that names with files and lines want: some ten units of up to 90 KiB.
const LINES_NEED: usize = 1 << 20;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Single as u8);

/// Sets how much reports show.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::None,
        1 => Level::Single,
        2 => Level::All,
        _ => Level::System,
    }
}

/// The report of an end (`fatal::Reporter`): all other CPUs stand still, memory is the reserve.
pub fn report(cause: &Cause<'_>, failed: Option<&'static G>) {
    // The console cannot fail.
    if fatal::is_nested() {
        let _ = write_nested(&mut Raw, cause, failed);
        return;
    }
    hostfile::seize();
    let _ = write_report(&mut Raw, cause, failed);
    trace::stream::last_words();
}

fn write_report(out: &mut dyn Write, cause: &Cause<'_>, failed: Option<&'static G>) -> fmt::Result {
    heading(out, cause, failed)?;
    let symbols = match cause {
        Cause::OutOfMemory { .. } if mem::usage().free < LINES_NEED => Symbolizer::without_lines(),
        _ => Symbolizer::new(),
    };
    let frame = cause_frame(cause);
    let all = match cause {
        Cause::Deadlock(_) => level() >= Level::Single,
        _ => level() >= Level::All,
    };
    let mut traceback = Traceback::new(out, level(), symbols);
    if shows_system_stack(cause) && level() >= Level::Single {
        system_stack(&mut traceback, frame)?;
    }
    if let Some(gp) = failed.filter(|_| level() >= Level::Single) {
        traceback.out().write_str("\n")?;
        let floor = overflow_floor(cause);
        goroutine(
            &mut traceback,
            gp,
            outermost::start_of_failed(gp),
            floor,
            name_of_frozen(gp),
        )?;
    }
    if all {
        for gp in all_goroutines() {
            if failed.is_some_and(|failed| core::ptr::eq(failed, gp)) {
                continue;
            }
            traceback.out().write_str("\n")?;
            let start = start_of_frozen(gp);
            goroutine(&mut traceback, gp, start, 0, name_of_frozen(gp))?;
        }
    }
    if let Some(frame) = frame {
        traceback.out().write_str("\n")?;
        registers(frame).print(traceback.out())?;
    }
    closing_line(traceback.out())
}

/// What failed amid a report: its own heading and stacks, innermost first, without lines, which
/// take more of what may be broken. Other goroutines stay out.
fn write_nested(out: &mut dyn Write, cause: &Cause<'_>, failed: Option<&'static G>) -> fmt::Result {
    out.write_str("\npanic during panic\n")?;
    heading(out, cause, failed)?;
    let mut traceback = Traceback::new(out, level(), Symbolizer::without_lines());
    if level() >= Level::Single {
        system_stack(&mut traceback, cause_frame(cause))?;
    }
    if let Some(gp) = failed.filter(|_| level() >= Level::Single) {
        traceback.out().write_str("\n")?;
        goroutine(&mut traceback, gp, outermost::start_of_failed(gp), 0, None)?;
    }
    closing_line(traceback.out())
}

fn closing_line(out: &mut dyn Write) -> fmt::Result {
    writeln!(
        out,
        "\ngosched: m={} cpus={} seed={}",
        getm().id(),
        arch::num_cpu(),
        SCHED.seed.load(Ordering::Relaxed)
    )
}

fn heading(out: &mut dyn Write, cause: &Cause<'_>, failed: Option<&'static G>) -> fmt::Result {
    match cause {
        Cause::Panic(panic) => {
            report::panic(out, panic.text, Recovered::No, false)?;
            match panic.location {
                // Elsewhere the traceback says it.
                Some(at) if panic.on_system_stack || !has_traceback() => {
                    writeln!(out, "[raised at {at}]")
                }
                _ => Ok(()),
            }
        }
        Cause::PanicInPanic(text) => report::fatal_error(
            out,
            &format_args!("panic while printing panic value: {text}"),
        ),
        Cause::Fatal(text) | Cause::Deadlock(text) => report::fatal_error(out, text),
        Cause::Throw(text) => report::fatal_error(out, text),
        Cause::StackOverflow { sp, .. } => {
            let bounds = failed.unwrap_or_else(getg).head.stack.get();
            writeln!(
                out,
                "runtime: goroutine stack exceeds {}-byte limit",
                bounds.hi - bounds.lo
            )?;
            writeln!(
                out,
                "runtime: sp={sp:#x} stack=[{:#x}, {:#x}]",
                bounds.lo, bounds.hi
            )?;
            report::fatal_error(out, &"stack overflow")
        }
        Cause::SystemStackOverflow { frame, addr } => {
            // Go: `badmorestackg0`, `badmorestackgsignal`.
            let name = match frame.saved_g {
                g if g == getm().g0.as_head() => "g0",
                _ => "gsignal",
            };
            let lo = (addr / FRAME_SIZE + 1) * FRAME_SIZE;
            let hi = stack_around(lo).map_or(lo, |bounds| bounds.hi);
            let sp = frame.rsp;
            writeln!(
                out,
                "runtime: morestack on {name}, stack [{lo:#x} {hi:#x}], sp={sp:#x}"
            )?;
            report::fatal_error(out, &format_args!("morestack on {name}"))
        }
        Cause::Exception { frame, .. } => {
            report::fatal_error(out, &"unexpected exception")?;
            writeln!(out, "[{}]", exceptions::Summary(frame))
        }
        Cause::OutOfMemory { size } => {
            writeln!(
                out,
                "runtime: cannot allocate {size} bytes\n{}",
                mem::usage()
            )?;
            report::fatal_error(out, &"out of memory")
        }
    }
}

/// Whether the report will have frames with names.
fn has_traceback() -> bool {
    level() >= Level::Single && Symbols::kernel().is_some()
}

fn cause_frame<'a>(cause: &'a Cause<'_>) -> Option<&'a TrapFrame> {
    match cause {
        Cause::Exception { frame, .. } | Cause::SystemStackOverflow { frame, .. } => Some(frame),
        Cause::StackOverflow { frame, .. } => *frame,
        _ => None,
    }
}

/// Below this a stack that overflowed is not mapped.
fn overflow_floor(cause: &Cause<'_>) -> usize {
    match cause {
        Cause::StackOverflow {
            sp,
            frame: Some(frame),
        } => ((*sp).max(frame.cr2 as usize) / FRAME_SIZE + 1) * FRAME_SIZE,
        _ => 0,
    }
}

/// Whether the failure is the scheduler's own, or happened in it.
fn shows_system_stack(cause: &Cause<'_>) -> bool {
    let in_scheduler = cause_frame(cause).is_some_and(|frame| {
        // SAFETY: the interrupted G of a frame is a G.
        fatal::is_system(unsafe { G::of(frame.saved_g) })
    });
    let by_scheduler = match cause {
        Cause::Throw(_) => true,
        Cause::Panic(panic) => panic.on_system_stack,
        _ => false,
    };
    in_scheduler || by_scheduler || level() >= Level::System
}

/// The stack of g0 or of an interrupt, up to here or to where the exception was raised.
fn system_stack(traceback: &mut Traceback<'_>, frame: Option<&TrapFrame>) -> fmt::Result {
    let start = frame.map_or_else(here, interrupted);
    let bounds = match stack_around(start.sp) {
        Some(bounds) => bounds,
        None => return Ok(()),
    };
    traceback.out().write_str("\n")?;
    // SAFETY: system stacks are mapped whole, and nothing runs on this one above us.
    unsafe {
        traceback.runtime_stack(&Stack {
            start,
            bounds,
            stop_at: &[],
        })
    }
}

/// The mapped stretch that an address of a system stack lies in, or, if it is in the page below
/// one, that stack.
pub(super) fn stack_around(sp: usize) -> Option<Bounds> {
    if mem::region_of(sp) != mem::Region::SystemStacks {
        return None;
    }
    let page = sp & !(FRAME_SIZE - 1);
    let is_mapped = |page| mem::space::translate(page).is_some();
    let (lo, mut hi) = if is_mapped(page) {
        (sp, page)
    } else {
        (page + FRAME_SIZE, page + FRAME_SIZE)
    };
    while is_mapped(hi) {
        hi += FRAME_SIZE;
    }
    Some(Bounds { lo, hi })
}

/// Where this function returns to: the caller's frame, which outlives this one.
#[inline(never)]
pub(super) fn here() -> Start {
    const WORD: usize = size_of::<usize>();
    let frame: usize;
    // SAFETY: only reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) frame,
            options(nomem, nostack, preserves_flags));
    }
    let word = |at: usize| {
        // SAFETY: every function keeps frame pointers, so the caller's one and the return address
        // are at rbp.
        unsafe { core::ptr::with_exposed_provenance::<usize>(frame + at * WORD).read() }
    };
    Start {
        pc: word(1),
        sp: frame + 2 * WORD,
        bp: word(0),
        interrupted: false,
    }
}

pub(super) fn interrupted(frame: &TrapFrame) -> Start {
    Start {
        pc: frame.rip as usize,
        sp: frame.rsp as usize,
        bp: frame.rbp as usize,
        interrupted: true,
    }
}

/// Where a goroutine continues that gave up its CPU, or whose M is on g0 for it.
pub(super) fn parked(gp: &G) -> Start {
    let buf = gp.gobuf();
    Start {
        pc: buf.pc.get(),
        sp: buf.sp.get(),
        bp: buf.bp.get(),
        interrupted: false,
    }
}

/// The calls of a goroutine that is parked, and stands still.
pub(super) fn calls_of_parked(gp: &'static G) -> impl Iterator<Item = Call> {
    static GOEXIT: OnceCell<[usize; 1]> = OnceCell::uninit();
    let stop_at = GOEXIT.get_or_init(|| [switch::goexit as *const () as usize + 1]);
    let bounds = gp.head.stack.get();
    let bounds = Bounds {
        lo: bounds.lo,
        hi: bounds.hi,
    };
    // SAFETY: it stands still, by the caller's word, so its stack is mapped from where it is on.
    unsafe { Calls::new(parked(gp), bounds, stop_at) }
}

/// Where a goroutine stands while all CPUs are frozen; None if that cannot be told.
fn start_of_frozen(gp: &'static G) -> Option<Start> {
    start_by(gp, arch::frozen_frame)
}

/// Where a goroutine stands while all CPUs stand, as their frames say; None if that cannot be told.
pub(super) fn start_by<'a>(
    gp: &'static G,
    frame_of: impl FnOnce(usize) -> Option<&'a TrapFrame>,
) -> Option<Start> {
    if gp.status() != Status::Running {
        return Some(parked(gp));
    }
    let m = gp.m.load(Ordering::Relaxed)?;
    let frame = frame_of(m.id())?;
    if in_switch(frame.rip as usize) {
        return None;
    }
    if frame.saved_g == gp.as_head() {
        Some(interrupted(frame))
    } else if frame.saved_g == m.g0.as_head() {
        Some(parked(gp))
    } else {
        None // in an interrupt: its Gobuf is that of an earlier stop
    }
}

/// The name of a goroutine while all CPUs are frozen.
fn name_of_frozen(gp: &'static G) -> Option<&'static str> {
    // SAFETY: nobody runs who could end it.
    unsafe { gp.name() }
}

/// All goroutines of the program (at level system: the runtime's too), by number.
pub(super) fn all_goroutines() -> Vec<&'static G> {
    let mut all = Vec::new();
    SCHED.for_each_g(|gp| {
        if !gp.system.load(Ordering::Relaxed) || level() >= Level::System {
            all.push(gp);
        }
    });
    all.sort_unstable_by_key(|gp| gp.goid.load(Ordering::Relaxed));
    all
}

pub(super) fn status_text(gp: &G) -> &'static str {
    match gp.status() {
        Status::Idle => "idle",
        Status::Runnable => "runnable",
        Status::Running => "running",
        Status::Waiting => gp.waitreason().text(),
        Status::Dead => "dead",
    }
}

/// One goroutine: header, frames from `start` on, who created it.
pub(super) fn goroutine(
    traceback: &mut Traceback<'_>,
    gp: &'static G,
    start: Option<Start>,
    floor: usize,
    name: Option<&str>,
) -> fmt::Result {
    // Of a goroutine that could not be stopped they may change at any time.
    // SAFETY: with a start it stands still, or is the caller.
    let labels = start.and_then(|_| unsafe { labels::of(gp) });
    header(gp, name, labels.as_deref()).print(traceback.out(), level())?;
    match start.filter(|start| start.pc != 0) {
        Some(start) => {
            let bounds = gp.head.stack.get();
            let lo = bounds.lo.max(floor);
            let stop_at = [switch::goexit as *const () as usize + 1];
            let stack = Stack {
                start,
                bounds: Bounds { lo, hi: bounds.hi },
                stop_at: &stop_at,
            };
            // SAFETY: the goroutine stands still (frozen world, or claimed by its scan bit), or is
            // the caller; from its stack pointer on its stack is mapped.
            unsafe { traceback.goroutine(&stack)? };
        }
        None => traceback.unavailable()?,
    }
    traceback.created_by(CreatedBy {
        pc: gp.gopc.load(Ordering::Relaxed),
        parent_goid: gp.parent_goid.load(Ordering::Relaxed),
    })
}

fn header<'a>(
    gp: &'static G,
    name: Option<&'a str>,
    labels: Option<&'a Labels>,
) -> GoroutineHeader<'a> {
    let m: Option<&M> = gp.m.load(Ordering::Relaxed);
    GoroutineHeader {
        goid: gp.goid.load(Ordering::Relaxed),
        status: status_text(gp),
        // In a living system it is this dump's own.
        scan: fatal::is_dying() && gp.readgstatus() & SCAN != 0,
        wait_minutes: wait_ns(gp) / 60_000_000_000,
        locked: gp.lockedm.load(Ordering::Relaxed).is_some(),
        name,
        labels,
        machine: Machine {
            gp: gp.as_head() as usize,
            m: m.map(|m| (m.id() as u64, core::ptr::from_ref(m) as usize)),
        },
    }
}

/// For how long a goroutine has been waiting.
pub fn wait_ns(gp: &G) -> u64 {
    if gp.status() != Status::Waiting {
        return 0;
    }
    let ticks = arch::cputicks().saturating_sub(gp.waitsince.load(Ordering::Relaxed));
    let per_second = arch::ns_to_cputicks(1_000_000_000).max(1);
    (u128::from(ticks) * 1_000_000_000 / u128::from(per_second)) as u64
}

fn registers(frame: &TrapFrame) -> Registers {
    Registers {
        rax: frame.rax,
        rbx: frame.rbx,
        rcx: frame.rcx,
        rdx: frame.rdx,
        rdi: frame.rdi,
        rsi: frame.rsi,
        rbp: frame.rbp,
        rsp: frame.rsp,
        r8: frame.r8,
        r9: frame.r9,
        r10: frame.r10,
        r11: frame.r11,
        r12: frame.r12,
        r13: frame.r13,
        r14: frame.r14,
        r15: frame.r15,
        rip: frame.rip,
        rflags: frame.rflags,
        cs: frame.cs,
        ..Registers::default()
    }
}

/// Bytes of a goroutine's stack: reserved.
pub fn stack_reserved(gp: &G) -> usize {
    let bounds = gp.head.stack.get();
    bounds.hi - bounds.lo + stack::GUARD_SIZE
}

//! What the watchdog says of a CPU that sits with interrupts off (`sched::watchdog`).
//!
//! One report at a time waits: copied while the CPU stands, printed when the scheduler has time, or
//! by force. `STATE` says whose the copy is.
//!
//! | state | the copy belongs to |
//! | --- | --- |
//! | empty | whoever exchanges it for busy |
//! | busy | that one, copying or printing |
//! | full | whoever exchanges it for busy, to print |

use alloc::string::String;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::arch::TrapFrame;
use crate::arch::switch;
use crate::observe::attend::Unlocked;
use crate::observe::dump::{interrupted, stack_around};
use crate::observe::symbols::{Symbolizer, Symbols};
use crate::observe::traceback::{Level, Traceback};
use crate::observe::unwind::{Bounds, Call, Calls};
use crate::print;
use crate::sched::fatal::is_system;
use crate::sched::g::G;
use crate::sched::m::M;

/// Calls that a report shows.
const MAX_CALLS: usize = 64;

const EMPTY: u32 = 0;
const BUSY: u32 = 1;
const FULL: u32 = 2;

/// What was copied.
struct Report {
    cpu: usize,
    silent_ns: u64,
    /// Of the goroutine that ran there; 0: the scheduler, or an interrupt.
    goid: u64,
    /// Locks, and preemption turned off: the CPU may hold what printing needs.
    locks: u32,
    calls: [Call; MAX_CALLS],
    len: usize,
}

struct Slot {
    state: AtomicU32,
    report: UnsafeCell<Report>,
}

// SAFETY: the report is touched by whoever has exchanged the state for busy alone.
unsafe impl Sync for Slot {}

const NO_CALL: Call = Call {
    pc: 0,
    sp: 0,
    fp: 0,
    returned_to: false,
};

/// The report that is on its way: by its state, of the CPU alone that writes or prints it.
static SLOT: Slot = Slot {
    state: AtomicU32::new(EMPTY),
    report: UnsafeCell::new(Report {
        cpu: 0,
        silent_ns: 0,
        goid: 0,
        locks: 0,
        calls: [NO_CALL; MAX_CALLS],
        len: 0,
    }),
};

impl Slot {
    /// Takes the report, if it is in state `from`, and puts it into state `to` afterwards.
    fn with(&self, from: u32, to: u32, f: impl FnOnce(&mut Report)) -> bool {
        // Acquire: what the last one wrote is seen.
        let taken = self
            .state
            .compare_exchange(from, BUSY, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if taken {
            // SAFETY: busy, by this call.
            f(unsafe { &mut *self.report.get() });
            self.state.store(to, Ordering::Release);
        }
        taken
    }
}

/// While the CPU stands: no lock, no memory.
pub fn copy(m: &'static M, frame: &TrapFrame, silent_ns: u64) -> bool {
    SLOT.with(EMPTY, FULL, |report| {
        // SAFETY: the interrupted G of a frame is a G.
        let gp = unsafe { G::of(frame.saved_g) };
        report.cpu = m.id();
        report.silent_ns = silent_ns;
        report.goid = gp.goid.load(Ordering::Relaxed);
        report.locks = m.head.locks.load(Ordering::Relaxed);
        report.len = 0;
        let start = interrupted(frame);
        let bounds = match is_system(gp) {
            true => stack_around(start.sp),
            false => Some(gp.head.stack.get()).map(|stack| Bounds {
                lo: start.sp.max(stack.lo),
                hi: stack.hi,
            }),
        };
        let Some(bounds) = bounds else { return };
        let stop_at = [switch::goexit as *const () as usize + 1];
        // SAFETY: the CPU stands, and runs on this stack; what it has touched is mapped.
        let calls = unsafe { Calls::new(start, bounds, &stop_at) };
        for (place, call) in report.calls.iter_mut().zip(calls) {
            *place = call;
            report.len += 1;
        }
    })
}

/// Prints what was copied. By force, or if the CPU may hold the locks of heap and console, without
/// both.
pub fn print(by_force: bool) {
    SLOT.with(FULL, EMPTY, |report| {
        // What is written to cannot fail.
        if by_force || report.locks != 0 {
            let mut out = Unlocked::new();
            let _ = write(&mut out, report, Symbolizer::without_lines());
            out.flush();
        } else {
            if let Some(symbols) = Symbols::kernel() {
                symbols.prepare();
            }
            let mut text = String::new();
            let _ = write(&mut text, report, Symbolizer::new());
            print!("{text}");
        }
    });
}

fn write(out: &mut dyn Write, report: &Report, symbols: Symbolizer) -> fmt::Result {
    let Report {
        cpu,
        silent_ns,
        goid,
        locks,
        ..
    } = *report;
    let tenths = silent_ns / 100_000_000;
    writeln!(
        out,
        "\ngosched: CPU {cpu} has had interrupts off for {}.{} s; the image goes on",
        tenths / 10,
        tenths % 10
    )?;
    if locks != 0 {
        out.write_str("gosched: and preemption as well, or it holds locks\n")?;
    }
    match goid {
        0 => out.write_str("runtime stack:\n")?,
        _ => writeln!(out, "goroutine {goid} [running]:")?,
    }
    let level = if goid == 0 { Level::System } else { Level::All };
    let mut traceback = Traceback::new(out, level, symbols);
    traceback.copied(&report.calls[..report.len], 0)?;
    traceback.out().write_str("\n")
}

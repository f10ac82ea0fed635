//! What a person at the serial line asks of any image, whatever its program does: a dump (Ctrl-\
//! or a break), and an end (Ctrl-C, when no shell listens).
//!
//! Go's SIGQUIT dumps all goroutines and ends the program; here the program goes on, as under a
//! JVM: a kernel that is looked at is worth more than one that is gone.
//!
//! # Who dumps
//!
//! The serial interrupt neither may nor can: a dump takes locks and memory. It notes when the dump
//! was asked for, and wakes the scheduler. Then
//!
//! 1. the next M in `find_runnable` starts a goroutine of the runtime's own, which takes the
//!    request and dumps while the others go on ([`poll`]);
//! 2. if nobody has taken the request [`OVERDUE_NS`] later, because every P is kept by a goroutine
//!    that cannot be preempted, the next tick of whatever CPU stops all others by NMI and dumps
//!    where it is, without locks and memory, and so without lines ([`tick`]). Then all go on.
//!
//! If every CPU has its interrupts off, or the boot CPU, to which the line is routed, has, nobody
//! hears.
//!
//! `ASKED_NS` is written by whoever asks and taken by exchange, so each request is answered once;
//! those that come while a dump is on its way are one with it.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crate::arch::{self, TrapFrame};
use crate::sched::newproc::{self, Attributes};
use crate::sched::{SCHED, fatal, preempt, sysmon};

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;
/// Ctrl-\.
const QUIT: u8 = 0x1c;

/// For how long a dump that was asked for may wait for the scheduler.
const OVERDUE_NS: u64 = 200_000_000;
/// For how long a dump by a goroutine may take before another one is made by force.
const STALLED_NS: u64 = 10_000_000_000;

/// No request.
const NEVER: u64 = u64::MAX;

static ASKED_NS: AtomicU64 = AtomicU64::new(NEVER);
/// Since when a goroutine dumps.
static DUMPING_NS: AtomicU64 = AtomicU64::new(NEVER);
static LISTENED_TO: AtomicBool = AtomicBool::new(false);
static DUMP: AtomicUsize = AtomicUsize::new(0);
static DUMP_BY_FORCE: AtomicUsize = AtomicUsize::new(0);

/// Sets who dumps: in a goroutine, and in an interrupt. At boot.
pub fn set_dumps(dump: fn(), by_force: fn(&TrapFrame)) {
    DUMP.store(dump as usize, Ordering::Relaxed);
    // Release: who sees the second sees the first.
    DUMP_BY_FORCE.store(by_force as usize, Ordering::Release);
}

/// Somebody reads what is typed: Ctrl-C is theirs from now on.
pub fn listen() {
    LISTENED_TO.store(true, Ordering::Relaxed);
}

/// Whether somebody reads what is typed.
pub fn is_listened_to() -> bool {
    LISTENED_TO.load(Ordering::Relaxed)
}

/// Interrupt: whether the byte is meant for the system itself. If so it has been seen to.
pub fn takes(byte: u8) -> bool {
    match byte {
        QUIT => ask_for_dump(),
        INTERRUPT if !is_listened_to() => fatal::interrupted(),
        _ => return false,
    }
    true
}

/// Any context: asks for a dump of all goroutines.
pub fn ask_for_dump() {
    if fatal::is_dying() || DUMP_BY_FORCE.load(Ordering::Acquire) == 0 {
        return;
    }
    let now = arch::nanotime();
    let _ = ASKED_NS.compare_exchange(NEVER, now, Ordering::AcqRel, Ordering::Relaxed);
    sysmon::make_due();
    // For an M that sleeps; and one that runs is asked to look.
    SCHED.note_input();
    // Pairs with the fence of `Note::prepare`: an M that goes to sleep sees the item, or is seen.
    fence(Ordering::SeqCst);
    preempt::let_scheduler_look();
    if let Some(m) = SCHED.allm().find(|m| m.park.is_halted()) {
        m.poke();
    }
}

/// Whether a request waits.
pub fn is_asked() -> bool {
    ASKED_NS.load(Ordering::Relaxed) != NEVER
}

/// On g0, no lock held: sees to it that somebody dumps.
pub fn poll() {
    // SeqCst: if a dump is seen here that is about to end, its look at `ASKED_NS` sees the request.
    if ASKED_NS.load(Ordering::SeqCst) == NEVER || DUMPING_NS.load(Ordering::SeqCst) != NEVER {
        return;
    }
    let attributes = Attributes {
        system: true,
        ..Attributes::default()
    };
    // Without memory for it the tick does it.
    let _ = newproc::newproc(dump, attributes);
}

fn dump() {
    let begun =
        DUMPING_NS.compare_exchange(NEVER, arch::nanotime(), Ordering::AcqRel, Ordering::Relaxed);
    if begun.is_err() {
        return;
    }
    if ASKED_NS.swap(NEVER, Ordering::AcqRel) != NEVER {
        // SAFETY: `set_dumps` stored a fn().
        unsafe { core::mem::transmute::<usize, fn()>(DUMP.load(Ordering::Relaxed))() };
        // Those that came meanwhile are one with it.
        ASKED_NS.store(NEVER, Ordering::SeqCst);
    }
    DUMPING_NS.swap(NEVER, Ordering::SeqCst);
    if ASKED_NS.load(Ordering::SeqCst) != NEVER {
        // Whoever polled for it may have seen the dump and left it alone.
        sysmon::make_due();
    }
}

/// Interrupt: makes a dump that is overdue.
pub fn tick(frame: &TrapFrame, now_ns: u64) {
    let asked = ASKED_NS.load(Ordering::Relaxed);
    if asked == NEVER || now_ns.saturating_sub(asked) < OVERDUE_NS {
        return;
    }
    let dumping = DUMPING_NS.load(Ordering::Relaxed);
    if dumping != NEVER && now_ns.saturating_sub(dumping) < STALLED_NS {
        return;
    }
    let taken = ASKED_NS.compare_exchange(asked, NEVER, Ordering::AcqRel, Ordering::Relaxed);
    if taken.is_ok() {
        let dump = DUMP_BY_FORCE.load(Ordering::Acquire);
        // SAFETY: `set_dumps` stored a fn(&TrapFrame), before anybody could ask.
        unsafe { core::mem::transmute::<usize, fn(&TrapFrame)>(dump)(frame) };
    }
}

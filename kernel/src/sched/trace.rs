//! Scheduling events: what each M notes in its ring ([`Ring`]) as it happens. `observe::trace`
//! makes traces of it.
//!
//! A record is two words. The first is the time in `cputicks`, or data; the second has the kind in
//! its lowest byte, a detail in the next, and an argument above:
//!
//! ```text
//!  63                 16 15        8 7        0
//!  | goroutine, P, …    | [`Stop`]  | [`Kind`] |
//! ```
//!
//! - An M writes with preemption off or on g0, never in an interrupt: one writer a ring.
//! - That a goroutine stops is noted in `m.trace.stop` and goes out with the next record of the M,
//!   which mostly is that of the next goroutine's start: one record a switch, not two. Before an M
//!   begins to look elsewhere for work, it writes it by itself ([`flush_stop`]).
//! - Who makes a goroutine runnable writes it *before* it does, so the time of the record is before
//!   that of the start. Times of two CPUs may still differ by a little: the reader puts right what
//!   cannot have been.
//! - Stacks cost a walk, so they are noted only while somebody wants them ([`Tracer::stacks`]): the
//!   record of a stack comes before that of its event.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::arch;
use crate::arch::switch;
use crate::base::counter::Counter;
use crate::base::trace_ring::{Record, Ring};
use crate::sched::SCHED;
use crate::sched::g::G;
use crate::sched::m::{M, getm};
use crate::sched::p::P;

/// What a record says. A record that others belong to comes before them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// This M runs a goroutine now; the one before has stopped.
    Switch = 1,
    /// What ran here has stopped.
    Stopped = 2,
    /// A goroutine was made runnable.
    Unblock = 3,
    /// A goroutine was made; [`Kind::Text`] follows, its function, and [`Kind::Word`], its gopc.
    Create = 4,
    /// This M has a P.
    ProcStart = 5,
    /// This M has given up its P.
    ProcStop = 6,
    /// This M has taken as many goroutines (argument, upper 32 bits) from that P (the lower).
    Steal = 7,
    /// A task began. `Word`, its parent, and `Text` follow.
    TaskBegin = 8,
    /// A task ended.
    TaskEnd = 9,
    /// A region of a task began. `Text` follows.
    RegionBegin = 10,
    /// A region of a task ended. `Text` follows.
    RegionEnd = 11,
    /// A message of a task. `Text`, its category, and the bytes in [`Kind::Bytes`] follow.
    Log = 12,
    /// Of the record before: a number in the first word.
    Word = 13,
    /// Of the record before: a `&'static str`, its address in the first word, its length above.
    Text = 14,
    /// Of the record before: up to 8 bytes in the first word, how many above.
    Bytes = 15,
    /// Return addresses, for the next stop: see [`Kind::Stack`].
    StopStack = 16,
    /// Return addresses, for the next record of another kind: three a record, in 32 bits each, the
    /// first two in the first word; 0 is none.
    Stack = 17,
}

impl Kind {
    const ALL: [Kind; 17] = [
        Kind::Switch,
        Kind::Stopped,
        Kind::Unblock,
        Kind::Create,
        Kind::ProcStart,
        Kind::ProcStop,
        Kind::Steal,
        Kind::TaskBegin,
        Kind::TaskEnd,
        Kind::RegionBegin,
        Kind::RegionEnd,
        Kind::Log,
        Kind::Word,
        Kind::Text,
        Kind::Bytes,
        Kind::StopStack,
        Kind::Stack,
    ];

    /// The kind of a record.
    pub fn of(record: &Record) -> Option<Kind> {
        let number = (record[1] as u8).checked_sub(1)?;
        Self::ALL.get(number as usize).copied()
    }
}

/// Why a goroutine stopped running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It yielded.
    Gosched,
    /// It was preempted.
    Preempted,
    /// It ended.
    Ended,
    /// It waits, for the reason of that number (`WaitReason::of`).
    Blocked(u8),
}

const GOSCHED: u8 = 1;
const PREEMPTED: u8 = 2;
const ENDED: u8 = 3;
const BLOCKED: u8 = 16;

impl Stop {
    #[inline(always)]
    fn detail(self) -> u64 {
        let byte = match self {
            Stop::Gosched => GOSCHED,
            Stop::Preempted => PREEMPTED,
            Stop::Ended => ENDED,
            Stop::Blocked(reason) => BLOCKED + reason,
        };
        u64::from(byte) << 8
    }

    /// The stop that a record brings along.
    pub fn of(record: &Record) -> Option<Stop> {
        match (record[1] >> 8) as u8 {
            GOSCHED => Some(Stop::Gosched),
            PREEMPTED => Some(Stop::Preempted),
            ENDED => Some(Stop::Ended),
            byte => byte.checked_sub(BLOCKED).map(Stop::Blocked),
        }
    }
}

/// What an M has for tracing.
pub struct Tracer {
    /// Its records.
    pub ring: Ring,
    /// Stacks are noted too.
    pub stacks: AtomicBool,
    /// Why the goroutine that ran here last stopped, as it stands in a record, until it is written.
    stop: AtomicU64,
    /// Of all switches here since the ring was first on.
    hash: Counter,
}

impl Tracer {
    /// Off.
    pub const fn new() -> Self {
        Self {
            ring: Ring::new(),
            stacks: AtomicBool::new(false),
            stop: AtomicU64::new(0),
            hash: Counter::new(),
        }
    }

    /// A number that any difference in the switches of this M since boot changes: who ran, and why
    /// the one before stopped. Times are not in it.
    pub fn hash(&self) -> u64 {
        self.hash.get()
    }
}

#[inline(always)]
fn word(kind: Kind, detail: u64, argument: u64) -> u64 {
    argument << 16 | detail | kind as u64
}

#[inline(always)]
fn event(m: &M, kind: Kind, detail: u64, argument: u64) {
    let record = || [arch::cputicks(), word(kind, detail, argument)];
    m.trace.ring.write_with(record);
}

#[inline(always)]
fn goid(gp: &G) -> u64 {
    gp.goid.load(Ordering::Relaxed)
}

/// On g0: the goroutine that ran here has stopped.
#[inline(always)]
pub fn stop(m: &M, gp: &G, stop: impl FnOnce() -> Stop) {
    if m.trace.ring.is_on() {
        m.trace.stop.store(stop().detail(), Ordering::Relaxed);
        if m.trace.stacks.load(Ordering::Relaxed) {
            stop_stack(m, gp);
        }
    }
}

/// On g0: writes the stop, if it is not written yet.
#[inline(always)]
pub fn flush_stop(m: &M) {
    let stop = m.trace.stop.load(Ordering::Relaxed);
    if stop != 0 {
        m.trace.stop.store(0, Ordering::Relaxed);
        event(m, Kind::Stopped, stop, 0);
    }
}

/// On g0: this M runs `gp` from here on.
#[inline(always)]
pub fn switch(m: &M, gp: &G) {
    m.trace.ring.write_with(|| {
        let what = word(Kind::Switch, m.trace.stop.load(Ordering::Relaxed), goid(gp));
        m.trace.stop.store(0, Ordering::Relaxed);
        // Odd, so that each step keeps what came before.
        let mixed = m
            .trace
            .hash
            .get()
            .wrapping_mul(0x5bd1_e995)
            .wrapping_add(what);
        m.trace.hash.set(mixed);
        [arch::cputicks(), what]
    });
}

/// Preemption is off: `gp` is made runnable now.
#[inline(always)]
pub fn unblock(gp: &G) {
    let m = getm();
    m.trace.ring.write_with(|| {
        // A timer's function on g0: what ran here may be the very one.
        flush_stop(m);
        if m.trace.stacks.load(Ordering::Relaxed) {
            own_stack(m);
        }
        [arch::cputicks(), word(Kind::Unblock, 0, goid(gp))]
    });
}

/// Preemption is off: `gp` is made, to run `function`; by the `go` statement before `gopc`.
#[inline(always)]
pub fn create(gp: &G, function: &'static str, gopc: usize) {
    let m = getm();
    if !m.trace.ring.is_on() {
        return;
    }
    flush_stop(m);
    if m.trace.stacks.load(Ordering::Relaxed) {
        own_stack(m);
    }
    m.trace.ring.write_all([
        [arch::cputicks(), word(Kind::Create, 0, goid(gp))],
        text_record(function),
        [gopc as u64, word(Kind::Word, 0, 0)],
    ]);
}

/// This M has taken the P.
#[inline]
pub fn proc_start(m: &M, p: &P) {
    event(m, Kind::ProcStart, 0, p.index() as u64);
}

/// This M gives up the P.
#[inline]
pub fn proc_stop(m: &M, p: &P) {
    let stop = m.trace.stop.load(Ordering::Relaxed);
    m.trace.stop.store(0, Ordering::Relaxed);
    event(m, Kind::ProcStop, stop, p.index() as u64);
}

/// This M has taken `n` goroutines from `victim`.
#[inline]
pub fn stole(m: &M, victim: &P, n: u64) {
    event(m, Kind::Steal, 0, n << 32 | victim.index() as u64);
}

/// Something of a user's task, by the running goroutine; `parent` for one that begins.
#[cold]
pub fn task(kind: Kind, task: u64, name: &'static str, parent: Option<u64>) {
    switch::preempt_off();
    let m = getm();
    if m.trace.ring.is_on() {
        if m.trace.stacks.load(Ordering::Relaxed) {
            own_stack(m);
        }
        event(m, kind, 0, task);
        if let Some(parent) = parent {
            m.trace.ring.write([parent, word(Kind::Word, 0, 0)]);
        }
        text(m, name);
    }
    switch::preempt_on();
}

/// The longest message that is kept; Go's reader takes 1024 bytes.
pub const MAX_LOG: usize = 1024;

/// A message of a user's task, by the running goroutine; cut at [`MAX_LOG`] bytes.
#[cold]
pub fn log(task: u64, category: &'static str, message: &str) {
    switch::preempt_off();
    let m = getm();
    if m.trace.ring.is_on() {
        event(m, Kind::Log, 0, task);
        text(m, category);
        for part in message.as_bytes()[..message.len().min(MAX_LOG)].chunks(8) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            let bytes = u64::from_le_bytes(bytes);
            m.trace
                .ring
                .write([bytes, word(Kind::Bytes, 0, part.len() as u64)]);
        }
    }
    switch::preempt_on();
}

fn text(m: &M, text: &'static str) {
    m.trace.ring.write(text_record(text));
}

#[inline(always)]
fn text_record(text: &'static str) -> Record {
    let address = text.as_ptr() as u64;
    [address, word(Kind::Text, 0, text.len() as u64)]
}

/// Frames of a stack that are noted.
const MAX_FRAMES: usize = 15;

/// The stack of a goroutine that is saved.
#[cold]
fn stop_stack(m: &M, gp: &G) {
    let buf = gp.gobuf();
    write_stack(m, Kind::StopStack, gp, buf.bp.get());
}

/// The stack of the caller, if it is a goroutine.
#[cold]
fn own_stack(m: &M) {
    let Some(gp) = m.curg() else { return };
    let bp: usize;
    // SAFETY: only reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) bp, options(nomem, nostack, preserves_flags));
    }
    write_stack(m, Kind::Stack, gp, bp);
}

/// Walks the frame pointers from `bp` up, as far as they lie on the goroutine's stack: a word in it
/// that is in use is mapped.
fn write_stack(m: &M, kind: Kind, gp: &G, mut bp: usize) {
    let stack = gp.head.stack.get();
    let mut pcs = [0u32; MAX_FRAMES];
    for pc in &mut pcs {
        if bp < stack.lo || bp > stack.hi - 16 || !bp.is_multiple_of(8) {
            break;
        }
        // SAFETY: both words lie on the stack of a goroutine that is the caller or saved, above its
        // stack pointer.
        let (next, back) = unsafe { *(bp as *const (usize, usize)) };
        *pc = back as u32; // the image lies in the last 2 GiB
        if next <= bp {
            break;
        }
        bp = next;
    }
    for three in pcs.chunks(3).take_while(|three| three[0] != 0) {
        let [a, b, c] = [three[0], three[1], three[2]].map(u64::from);
        m.trace.ring.write([a << 32 | b, c << 32 | kind as u64]);
    }
}

/// The three addresses of a stack's record.
pub fn pcs_of(record: &Record) -> [u64; 3] {
    let whole = |low: u64| match low as u32 {
        0 => 0,
        low => 0xffff_ffff_0000_0000 | u64::from(low),
    };
    [record[0] >> 32, record[0], record[1] >> 32].map(whole)
}

/// Turns recording on or off, on all Ms.
pub fn set_on(on: bool) {
    SCHED.allm().for_each(|m| m.trace.ring.set_on(on));
}

/// Whether anything is recorded.
pub fn is_on() -> bool {
    SCHED.allm().any(|m| m.trace.ring.is_on())
}

/// Whether anything was ever recorded.
pub fn was_on() -> bool {
    SCHED.allm().any(|m| m.trace.ring.written() > 0)
}

/// Has stacks noted too, on all Ms.
pub fn set_stacks(stacks: bool) {
    SCHED
        .allm()
        .for_each(|m| m.trace.stacks.store(stacks, Ordering::Relaxed));
}

/// The next task's number.
pub static NEXT_TASK: AtomicU64 = AtomicU64::new(1);

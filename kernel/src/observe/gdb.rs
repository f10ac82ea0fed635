//! What gdb knows of the scheduler: the helper `gdb.py`, inside every image.
//!
//! gdb runs a script that it finds in the section `.debug_gdb_scripts` of a program
//! (SECTION_SCRIPT_ID_PYTHON_TEXT, gdb manual 23.5), so the helper that belongs to an image comes
//! with it. The section is no part of a segment: it is in the file and never in memory.
//!
//! The layout of Gs, Ms and Ps is put before the helper's text by the compiler itself, as numbers,
//! and addresses by their symbols: line tables have no types, in no profile, and so a number in
//! the helper can never be an old one.
//!
//! Rejected: types from the debug information (`debug = "full"` makes images three times as large
//! and is not there in release builds), and a file beside the image (gdb looks for
//! `IMAGE-gdb.py`, which every image of cargo's would need for itself).

use core::arch::global_asm;
use core::mem::offset_of;

use crate::arch::MAX_CPUS;
use crate::arch::switch::{GHead, Gobuf, MHead, Stack};
use crate::sched::g::{G, SCAN, Status};
use crate::sched::m::{ALLM, M};
use crate::sched::p::{ALLP, P, PStatus};
use crate::sched::park::WaitReason;
use crate::sched::runq::RunQueue;
use crate::sched::{SCHED, Sched, fatal};

/// A text as the helper reads it from memory.
#[repr(C)]
struct Text {
    bytes: *const u8,
    len: usize,
}

// SAFETY: the bytes are those of a `&'static str`, which nobody writes.
unsafe impl Sync for Text {}

const REASONS: usize = WaitReason::ALL.len();

/// Go's words for wait reasons, by number; only read.
#[used] // the helper's name for it is not a use
static WAIT_REASONS: [Text; REASONS] = {
    let mut all = [const {
        Text {
            bytes: "".as_ptr(),
            len: 0,
        }
    }; REASONS];
    let mut i = 0;
    while i < REASONS {
        let text = WaitReason::ALL[i].text();
        all[i] = Text {
            bytes: text.as_ptr(),
            len: text.len(),
        };
        i += 1;
    }
    all
};

// The assembler does not tell cargo what it reads.
const _: &[u8] = include_bytes!("gdb.py");

// Layout of the section: the byte 4, the script's name, its text, the byte 0.
global_asm!(
    ".pushsection .debug_gdb_scripts, \"\", @progbits",
    ".global gosched_gdb_helper",
    "gosched_gdb_helper:",
    ".byte 4",
    ".ascii \"gosched\\n\"",
    ".ascii \"class layout:\\n\"",
    ".ascii \" G = dict(status={g_status}, goid={goid}, parent={parent}, startpc={startpc})\\n\"",
    ".ascii \" G.update(m={g_m}, waitreason={waitreason}, system={system}, size={g_size})\\n\"",
    ".ascii \" G.update(name_ptr={name_ptr}, name_len={name_len}, lockedm={lockedm})\\n\"",
    ".ascii \" G.update(alllink={alllink}, lo={lo}, hi={hi}, sp={sp}, pc={pc}, bp={bp})\\n\"",
    ".ascii \" SCAN, STATUS = {scan}, dict(idle={idle}, runnable={runnable})\\n\"",
    ".ascii \" STATUS.update(running={running}, waiting={waiting}, dead={dead})\\n\"",
    ".ascii \" M = dict(size={m_size}, g={m_g}, g0={m_g0}, curg={curg}, locks={locks})\\n\"",
    ".ascii \" M.update(dying={dying}, p={m_p}, spinning={spinning}, lockedg={lockedg})\\n\"",
    ".ascii \" P = dict(size={p_size}, id={p_id}, status={p_status}, m={p_m}, head={head})\\n\"",
    ".ascii \" P.update(tail={tail}, runnext={runnext}, schedtick={schedtick})\\n\"",
    ".ascii \" PSTATUS = dict(idle={p_idle}, running={p_running}, gcstop={p_gcstop})\\n\"",
    ".ascii \" SCHED = dict(allgs={allgs}, ms={ms}, gomaxprocs={gomaxprocs})\\n\"",
    ".ascii \" SCHED.update(npidle={npidle}, runqsize={runqsize}, started={started})\\n\"",
    ".ascii \" sched, allm, allp, cpus = '{sched}', '{allm}', '{allp}', {cpus}\\n\"",
    ".ascii \" reasons, reason_count = '{reasons}', {reason_count}\\n\"",
    ".ascii \" text_len, text_size = {text_len}, {text_size}\\n\"",
    ".ascii \" exit_after_report = '{exit}'\\n\"",
    concat!(".incbin \"", env!("CARGO_MANIFEST_DIR"), "/src/observe/gdb.py\""),
    ".byte 0",
    ".popsection",
    g_status = const G::PRIVATE.status,
    scan = const SCAN,
    idle = const Status::Idle as u32,
    runnable = const Status::Runnable as u32,
    running = const Status::Running as u32,
    waiting = const Status::Waiting as u32,
    dead = const Status::Dead as u32,
    goid = const offset_of!(G, goid),
    parent = const offset_of!(G, parent_goid),
    startpc = const offset_of!(G, startpc),
    g_m = const offset_of!(G, m),
    waitreason = const G::PRIVATE.waitreason,
    system = const offset_of!(G, system),
    name_ptr = const G::PRIVATE.name_ptr,
    name_len = const G::PRIVATE.name_len,
    lockedm = const offset_of!(G, lockedm),
    alllink = const offset_of!(G, alllink),
    lo = const offset_of!(GHead, stack) + offset_of!(Stack, lo),
    hi = const offset_of!(GHead, stack) + offset_of!(Stack, hi),
    sp = const offset_of!(GHead, sched) + offset_of!(Gobuf, sp),
    pc = const offset_of!(GHead, sched) + offset_of!(Gobuf, pc),
    bp = const offset_of!(GHead, sched) + offset_of!(Gobuf, bp),
    g_size = const size_of::<G>(),
    m_size = const size_of::<M>(),
    m_g = const offset_of!(MHead, g),
    m_g0 = const offset_of!(MHead, g0),
    curg = const offset_of!(MHead, curg),
    locks = const offset_of!(MHead, locks),
    dying = const offset_of!(MHead, dying),
    m_p = const offset_of!(M, p),
    spinning = const offset_of!(M, spinning),
    lockedg = const offset_of!(M, lockedg),
    p_size = const size_of::<P>(),
    p_id = const offset_of!(P, id),
    p_status = const P::STATUS,
    p_idle = const PStatus::Idle as u32,
    p_running = const PStatus::Running as u32,
    p_gcstop = const PStatus::GcStop as u32,
    p_m = const offset_of!(P, m),
    head = const offset_of!(P, runq) + RunQueue::<G>::FIELDS[0],
    tail = const offset_of!(P, runq) + RunQueue::<G>::FIELDS[1],
    runnext = const offset_of!(P, runq) + RunQueue::<G>::FIELDS[2],
    schedtick = const offset_of!(P, schedtick),
    sched = sym SCHED,
    allgs = const offset_of!(Sched, allgs),
    ms = const offset_of!(Sched, ms),
    gomaxprocs = const offset_of!(Sched, gomaxprocs),
    npidle = const offset_of!(Sched, npidle),
    started = const offset_of!(Sched, started),
    runqsize = const offset_of!(Sched, runqsize),
    allm = sym ALLM,
    allp = sym ALLP,
    cpus = const MAX_CPUS,
    reasons = sym WAIT_REASONS,
    reason_count = const REASONS,
    text_len = const offset_of!(Text, len),
    text_size = const size_of::<Text>(),
    exit = sym fatal::exit_after_report,
);

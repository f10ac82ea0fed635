//! Finding a CPU that sits with interrupts off: it hears no timer, no wake-up and no flush of TLBs,
//! so sooner or later the others wait for it.
//!
//! # What is looked at, and by whom
//!
//! Each busy CPU's tick, every [`PERIOD_NS`] on whichever comes first, and one idle M, which sleeps
//! no longer than [`WATCH_NS`] while any other M is awake. An idle machine stays idle: the last M
//! to sleep has nobody to watch, and the first to wake calls a watcher only if there is none, so a
//! program that wakes a thousand times a second costs four wake-ups a second, or fifty where a call
//! is under way each time.
//!
//! A CPU is *silent* while its counts of interrupts and its time in `hlt` stand still although its
//! timer was due, or is not set while it does not halt.
//!
//! # What counts as evidence
//!
//! Silence alone does not: under an emulator the CPU's host thread may not have been run. So a CPU
//! that has been silent for [`SILENCE_NS`] is stopped by NMI for a moment (`arch::hold`). It must
//! stand within [`PROMPT_NS`], so it does run, with interrupts off, [`SAMPLES`] times in a row,
//! [`PERIOD_NS`] apart, and still be silent. One look that finds interrupts on ends the suspicion:
//! then the interrupt is on its way. All of it goes by guest time, so a replay stays one.
//!
//! Each silence is reported once. The image goes on.
//!
//! # Calls that nobody hears
//!
//! A CPU that halts and is called (`note`) has an IPI on its way. One that is seen called for
//! [`CALL_NS`] is called again: a machine that loses an interrupt is slow then, not stuck. A CPU
//! that is about to halt itself while another is called sleeps no longer than that, so somebody is
//! there to see it; an interrupt too many does no harm.
//!
//! With one CPU there is nobody to look. Preemption that is off is not looked for: the timer still
//! ticks then, and others can do the work.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use crate::arch::{self, MAX_CPUS, Place, TrapFrame};
use crate::sched::m::{M, getm};
use crate::sched::{SCHED, fatal, preempt, sysmon};

/// How often the CPUs are looked at.
const PERIOD_NS: u64 = 100_000_000;
/// How long an idle M sleeps that watches.
const WATCH_NS: u64 = 250_000_000;
/// How long a CPU may be called without waking up.
const CALL_NS: u64 = 20_000_000;
/// Silence that is looked into.
const SILENCE_NS: u64 = 1_000_000_000;
/// How soon a CPU that runs stands still when an NMI comes.
const PROMPT_NS: u64 = 20_000_000;
/// How many looks must find interrupts off.
const SAMPLES: u32 = 3;
/// How long a report may wait for the scheduler.
const OVERDUE_NS: u64 = 200_000_000;

/// RFLAGS.IF (Intel SDM vol. 1, 3.4.3.3).
const IF: u64 = 1 << 9;

/// What is known of one CPU. Written by who has set [`LOOKING`], but for `called_ns`, which two may
/// write at once: an interrupt too many.
struct Watched {
    progress: AtomicU64,
    since_ns: AtomicU64,
    samples: AtomicU32,
    reported: AtomicBool,
    /// Since when it has been seen called; 0: it was not.
    called_ns: AtomicU64,
}

static WATCHED: [Watched; MAX_CPUS] = [const {
    Watched {
        progress: AtomicU64::new(0),
        since_ns: AtomicU64::new(0),
        samples: AtomicU32::new(0),
        reported: AtomicBool::new(false),
        called_ns: AtomicU64::new(0),
    }
}; MAX_CPUS];

static NEXT_NS: AtomicU64 = AtomicU64::new(0);
static NEXT_CALL_NS: AtomicU64 = AtomicU64::new(0);
static CALLED_AGAIN: AtomicU64 = AtomicU64::new(0);
/// Somebody looks. Not only `NEXT_NS` decides: a look may take longer than a period, and one that
/// begins meanwhile waits for its turn to stop CPUs, with interrupts off like all who queue behind
/// it.
static LOOKING: AtomicBool = AtomicBool::new(false);
/// 1 + number of the idle M that watches, or 0.
static WATCHER: AtomicUsize = AtomicUsize::new(0);
/// Since when a report waits to be printed; `u64::MAX`: none.
static REPORT_NS: AtomicU64 = AtomicU64::new(u64::MAX);
static COPY: AtomicUsize = AtomicUsize::new(0);
static PRINT: AtomicUsize = AtomicUsize::new(0);

/// Copies what a report needs of a CPU that stands, silent for so many nanoseconds; false if the
/// last report was not printed yet. Takes no lock and no memory.
pub type Copy = fn(&'static M, &TrapFrame, u64) -> bool;
/// Prints what was copied; with true by force: in an interrupt, without locks and memory.
pub type Print = fn(bool);

/// Sets who reports; at boot.
pub fn set_reporter(copy: Copy, print: Print) {
    PRINT.store(print as usize, Ordering::Relaxed);
    // Release: who sees the second sees the first.
    COPY.store(copy as usize, Ordering::Release);
}

/// Interrupt: looks if it is time, and prints a report that nobody has printed.
pub fn tick(now_ns: u64) {
    if fatal::is_dying() {
        return; // the others stand for good
    }
    call_again(now_ns);
    if now_ns >= NEXT_NS.load(Ordering::Relaxed) {
        look(now_ns);
        if REPORT_NS.load(Ordering::Relaxed) != u64::MAX {
            sysmon::make_due();
            preempt::let_scheduler_look();
        }
    }
    let reported = REPORT_NS.load(Ordering::Relaxed);
    if now_ns.saturating_sub(reported) >= OVERDUE_NS && reported != u64::MAX {
        print(true);
    }
}

/// On g0, no lock held: prints a report, if there is one.
pub fn poll() {
    print(false);
}

fn print(by_force: bool) {
    if REPORT_NS.load(Ordering::Relaxed) != u64::MAX
        && REPORT_NS.swap(u64::MAX, Ordering::Acquire) != u64::MAX
    {
        let print = PRINT.load(Ordering::Relaxed);
        // SAFETY: `set_reporter` stored a Print, before there could be a report.
        unsafe { core::mem::transmute::<usize, Print>(print)(by_force) };
    }
}

/// Idle M, on g0: until when it may sleep that would sleep until `until_ns`.
pub fn keep_watch(m: &'static M, until_ns: u64) -> u64 {
    if !is_on() || !another_is_awake(m) {
        return until_ns;
    }
    let me = m.id() + 1;
    let watcher = WATCHER.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
    match watcher {
        Err(other) if other != me => until_ns,
        _ if SCHED.allm().any(|m| m.park.is_called()) => until_ns.min(arch::nanotime() + CALL_NS),
        _ => until_ns.min(arch::nanotime() + WATCH_NS),
    }
}

/// Idle M, amid its last look before it halts: whether nobody watches, though others are awake. The
/// one who watched may have been called since `keep_watch`, and have found nobody to take over.
///
/// Its `WATCHER` = 0, fence, look for who halts; here, as in `note`: halted, fence, this look. One
/// of the two sees the other.
pub fn is_needed(m: &'static M) -> bool {
    WATCHER.load(Ordering::Relaxed) == 0 && is_on() && another_is_awake(m)
}

/// During boot one CPU has interrupts off for long, and that is right.
fn is_on() -> bool {
    COPY.load(Ordering::Relaxed) != 0 && SCHED.started.load(Ordering::Relaxed)
}

fn another_is_awake(m: &'static M) -> bool {
    SCHED
        .allm()
        .any(|other| !core::ptr::eq(other, m) && !other.park.is_halted())
}

/// Idle M, on g0: awake, perhaps to look. Its watch is over. If it was called it does not look
/// first: the P that it was given waits.
pub fn stop_watching(m: &'static M) {
    if WATCHER.load(Ordering::Relaxed) != m.id() + 1 {
        return;
    }
    let now_ns = arch::nanotime();
    call_again(now_ns);
    if now_ns >= NEXT_NS.load(Ordering::Relaxed) && !m.park.is_signalled() {
        look(now_ns);
        poll();
    }
    WATCHER.store(0, Ordering::Relaxed);
}

/// An M was idle and is not: if nobody watches, an idle one is called to.
pub fn woken(m: &'static M) {
    // Pairs with that of `Note::prepare`: see `is_needed`.
    fence(Ordering::SeqCst);
    if WATCHER.load(Ordering::Relaxed) == 0
        && let Some(idle) = SCHED
            .allm()
            .find(|other| !core::ptr::eq(*other, m) && other.park.is_halted())
    {
        idle.poke();
    }
}

/// Calls the CPUs again that have been called and do not wake. Two CPUs may do so at once.
fn call_again(now_ns: u64) {
    if now_ns < NEXT_CALL_NS.load(Ordering::Relaxed) {
        return;
    }
    NEXT_CALL_NS.store(now_ns + CALL_NS / 2, Ordering::Relaxed);
    for m in SCHED.allm() {
        let since = &WATCHED[m.id()].called_ns;
        let since_ns = since.load(Ordering::Relaxed);
        if !m.park.is_called() {
            since.store(0, Ordering::Relaxed);
        } else if since_ns == 0 {
            since.store(now_ns, Ordering::Relaxed);
        } else if now_ns.saturating_sub(since_ns) >= CALL_NS {
            since.store(now_ns, Ordering::Relaxed);
            CALLED_AGAIN.fetch_add(1, Ordering::Relaxed);
            arch::send_ipi(m.id(), arch::Ipi::Wake);
        }
    }
}

/// How often a CPU was called again that had not woken up.
pub fn called_again() -> u64 {
    CALLED_AGAIN.load(Ordering::Relaxed)
}

/// Looks at all other CPUs, unless another one does.
fn look(now_ns: u64) {
    let is_due = || now_ns >= NEXT_NS.load(Ordering::Relaxed);
    // Acquire: what the last looker has noted.
    if !is_on() || !is_due() || LOOKING.swap(true, Ordering::Acquire) {
        return;
    }
    if !is_due() {
        // Another one has looked meanwhile, and two samples are to be a period apart.
        LOOKING.store(false, Ordering::Release);
        return;
    }
    NEXT_NS.store(now_ns + PERIOD_NS, Ordering::Relaxed);
    let me = getm();
    let suspects = SCHED
        .allm()
        .filter(|m| !core::ptr::eq(*m, me) && is_suspect(m, now_ns))
        .fold(0, |set, m| set | 1 << m.id());
    if suspects != 0 {
        look_into(suspects, now_ns);
    }
    // This one is heard.
    WATCHED[me.id()].since_ns.store(now_ns, Ordering::Relaxed);
    LOOKING.store(false, Ordering::Release);
}

/// Whether a CPU has been silent for long.
fn is_suspect(m: &M, now_ns: u64) -> bool {
    let watched = &WATCHED[m.id()];
    let progress = progress(m);
    let armed_ns = m.armed_until_ns();
    let due = !m.park.is_halted() && (armed_ns == u64::MAX || armed_ns <= now_ns);
    let first = watched.since_ns.load(Ordering::Relaxed) == 0;
    if watched.progress.swap(progress, Ordering::Relaxed) != progress || !due || first {
        watched.since_ns.store(now_ns, Ordering::Relaxed);
        watched.samples.store(0, Ordering::Relaxed);
        watched.reported.store(false, Ordering::Relaxed);
        return false;
    }
    silence(watched, now_ns) >= SILENCE_NS && !watched.reported.load(Ordering::Relaxed)
}

fn silence(watched: &Watched, now_ns: u64) -> u64 {
    now_ns.saturating_sub(watched.since_ns.load(Ordering::Relaxed))
}

/// Stops these CPUs, all at once: under an emulator that lacks host CPUs most may be silent, and
/// the looker, whose interrupts are off, waits [`PROMPT_NS`] for those that do not run. One after
/// the other would be seconds, in which it is silent itself.
fn look_into(suspects: u64, now_ns: u64) {
    arch::hold(suspects, Place::Anywhere, PROMPT_NS, |held| {
        for m in SCHED.allm() {
            if let Some(frame) = held.frame(m.id()) {
                let watched = &WATCHED[m.id()];
                sample(m, watched, frame, silence(watched, now_ns));
            }
        }
    });
}

/// While the CPU stands.
fn sample(m: &'static M, watched: &Watched, frame: &TrapFrame, silent_ns: u64) {
    if frame.rflags & IF != 0 || progress(m) != watched.progress.load(Ordering::Relaxed) {
        watched.since_ns.store(arch::nanotime(), Ordering::Relaxed);
        watched.samples.store(0, Ordering::Relaxed);
        return;
    }
    if watched.samples.fetch_add(1, Ordering::Relaxed) + 1 < SAMPLES {
        return;
    }
    // SAFETY: `set_reporter` stored a Copy; `look` has seen it.
    let copy = unsafe { core::mem::transmute::<usize, Copy>(COPY.load(Ordering::Acquire)) };
    if copy(m, frame, silent_ns) {
        watched.reported.store(true, Ordering::Relaxed);
        // Release: pairs with the exchange in `print`.
        REPORT_NS.store(arch::nanotime(), Ordering::Release);
    }
}

/// Grows with every interrupt that a CPU hears and with its time in `hlt`.
fn progress(m: &M) -> u64 {
    let stats = &m.stats;
    stats.ticks.get() + stats.ipis_got.get() + stats.idle_ns.get()
}

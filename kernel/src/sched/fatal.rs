//! The ends of a program that does not return from `main`: panic, fatal errors, deadlock.
//!
//! | who is wrong | call | text |
//! | --- | --- | --- |
//! | the program, by Rust | `panic!` | `panic: …` |
//! | the program, by Go's rules | [`fatal_error`] | `fatal error: …` |
//! | this kernel | [`throw`] | `fatal error: …`, with the system's stacks |
//! | nobody can run | [`checkdead`] | `fatal error: all goroutines are asleep - deadlock!` |
//!
//! All stop the other CPUs by NMI where they are, take the console and the memory reserve, print
//! Go's report, and end the image with status 2. The report itself is written by `observe`, which
//! is above the scheduler, through the [`Reporter`] that boot sets. Nothing on this path waits for
//! a lock: their holders stand still.

use alloc::string::String;
use core::fmt::{self, Display, Write};
use core::panic::{Location, PanicInfo};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::arch::switch::{preempt_depth, preempt_off, systemstack};
use crate::arch::{self, TrapFrame};
use crate::base::console;
use crate::mem::heap;
use crate::println;
use crate::sched::g::{G, Status, getg};
use crate::sched::m::getm;
use crate::sched::timers::NEVER;
use crate::sched::{Inner, SCHED, disable, idle, newproc};

/// What ended the image.
pub enum Cause<'a> {
    /// `panic!`.
    Panic(Panic<'a>),
    /// The text of a panic panicked when it was formatted; this is the second one's.
    PanicInPanic(&'a dyn Display),
    /// A mistake of the program that Go calls fatal.
    Fatal(&'a str),
    /// A broken invariant of the scheduler.
    Throw(&'a dyn Display),
    /// No goroutine can ever run again.
    Deadlock(&'a str),
    /// A goroutine used up its stack: its stack pointer.
    StackOverflow {
        /// Where it was.
        sp: usize,
        /// The interrupted registers, if a page fault found out.
        frame: Option<&'a TrapFrame>,
    },
    /// g0 or an interrupt stack is used up: the page below it was touched.
    SystemStackOverflow {
        /// The interrupted registers.
        frame: &'a TrapFrame,
        /// CR2, in the page below the stack.
        addr: usize,
    },
    /// The CPU raised an exception that nobody mended.
    Exception {
        /// The interrupted registers.
        frame: &'a TrapFrame,
        /// CR2.
        addr: usize,
    },
    /// No memory, and nobody to tell.
    OutOfMemory {
        /// Bytes that were asked for.
        size: usize,
    },
}

/// A panic that nobody took.
pub struct Panic<'a> {
    /// What it said.
    pub text: &'a dyn Display,
    /// Where it was raised.
    pub location: Option<&'a Location<'a>>,
    /// Whether it was raised on g0 or gsignal, in the scheduler itself.
    pub on_system_stack: bool,
}

/// Writes the report of an end. All other CPUs stand still.
pub type Reporter = fn(&Cause<'_>, Option<&'static G>);

/// What a goroutine's panic calls instead of ending the image, with the panic's text; the goroutine
/// ends afterwards.
pub type PanicHook = fn(&dyn Display);

/// Status of panics and fatal errors, as Go's.
pub const FATAL_STATUS: u8 = 2;
/// Status of an image that is ended by Ctrl-C: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED_STATUS: u8 = 130;
/// Status when the report of a failed report fails, too (Go: 4).
const REPORT_FAILED_STATUS: u8 = 4;

/// For so many pauses a CPU waits for another one to end the image, minutes on any machine.
const END_POLLS: u64 = 1 << 32;

static REPORTER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// 1 + number of the M that dies; the first one reports.
static DYING_M: AtomicU32 = AtomicU32::new(0);
static AT_EXIT: AtomicUsize = AtomicUsize::new(0);
static BEFORE_EXIT: AtomicUsize = AtomicUsize::new(0);

/// Sets who writes reports; at boot.
pub fn set_reporter(reporter: Reporter) {
    REPORTER.store(reporter as *mut (), Ordering::Release);
}

/// Ends the image (Go: `exit`). Of several CPUs that come here or to [`die`], the first one does
/// it.
pub fn exit(status: u8) -> ! {
    let before = BEFORE_EXIT.swap(0, Ordering::Acquire);
    if before != 0 && !is_system(getg()) && preempt_depth() == 0 {
        // SAFETY: `before_exit` stored a fn().
        unsafe { core::mem::transmute::<usize, fn()>(before)() };
    }
    preempt_off();
    claim_the_end();
    arch::freeze_others();
    let at_exit = AT_EXIT.swap(0, Ordering::Acquire);
    if at_exit != 0 {
        // SAFETY: `at_exit` stored a fn(u8).
        unsafe { core::mem::transmute::<usize, fn(u8)>(at_exit)(status) };
    }
    arch::exit(status)
}

/// Interrupt: ends the image because Ctrl-C was typed.
pub fn interrupted() -> ! {
    preempt_off();
    claim_the_end();
    arch::freeze_others();
    console::seize();
    println!("gosched: ended by Ctrl-C");
    exit(INTERRUPTED_STATUS)
}

/// Calls `f` once when a goroutine ends the image by [`exit`], before anything is stopped: it may
/// park.
pub fn before_exit(f: fn()) {
    BEFORE_EXIT.store(f as usize, Ordering::Release);
}

/// Calls `f` once with the status when the image ends, by whatever way.
pub fn at_exit(f: fn(u8)) {
    AT_EXIT.store(f as usize, Ordering::Release);
}

/// Reports and ends the image. Runs on whatever stack it is called on; other CPUs that come here
/// meanwhile stop.
///
/// What fails while it reports comes here again and is reported in its place, shorter; a third
/// failure ends the image without one (Go: `startpanic_m`).
pub fn die(cause: &Cause<'_>) -> ! {
    let gp = getg();
    preempt_off();
    let m = getm();
    match m.head.dying.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => {}
        2 => {
            println!("\nstack trace unavailable");
            exit_after_report(REPORT_FAILED_STATUS);
        }
        _ => arch::exit(REPORT_FAILED_STATUS + 1),
    }
    claim_the_end();
    arch::freeze_others();
    heap::set_emergency();
    console::seize();
    let reporter = REPORTER.load(Ordering::Acquire);
    if reporter.is_null() {
        println!("fatal error: {}", early_text(cause));
        exit_after_report(FATAL_STATUS);
    }
    // SAFETY: `set_reporter` stored a Reporter.
    let reporter = unsafe { core::mem::transmute::<*mut (), Reporter>(reporter) };
    let failed = if is_system(gp) { m.curg() } else { Some(gp) };
    reporter(cause, failed);
    exit_after_report(FATAL_STATUS)
}

/// The way out of every report. A debugger stops at this function: all is as the report says, and
/// the machine is still there (`observe/gdb.py`).
#[inline(never)]
pub fn exit_after_report(status: u8) -> ! {
    exit(status)
}

/// Goes on on one CPU only; others stop here until the first one's NMI reaches them. Preemption is
/// off.
fn claim_the_end() {
    let me = getm().id() as u32 + 1;
    let first = DYING_M.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire);
    if first.is_err_and(|first| first != me) {
        for _ in 0..END_POLLS {
            arch::pause();
        }
        arch::exit(REPORT_FAILED_STATUS);
    }
}

/// What can be said before there is a reporter.
fn early_text(cause: &Cause<'_>) -> &'static str {
    match cause {
        Cause::OutOfMemory { .. } => "out of memory during boot",
        Cause::Exception { .. } => "exception during boot",
        _ => "failure during boot",
    }
}

/// Whether this M reports the end of the image.
pub fn is_dying() -> bool {
    getm().head.dying.load(Ordering::Relaxed) != 0
}

/// Whether the report is about a failure within an earlier report.
pub fn is_nested() -> bool {
    getm().head.dying.load(Ordering::Relaxed) > 1
}

/// Whether this is a g0 or gsignal.
pub fn is_system(gp: &G) -> bool {
    gp.goid.load(Ordering::Relaxed) == 0
}

/// A broken invariant of this kernel (Go: `throw`).
#[cold]
pub fn throw(reason: &str) -> ! {
    on_system_stack(&Cause::Throw(&reason))
}

/// As [`throw`], for `base::lock`, which is below the scheduler.
#[cold]
#[unsafe(no_mangle)]
extern "Rust" fn gosched_lock_throw(reason: &dyn Display) -> ! {
    on_system_stack(&Cause::Throw(reason))
}

/// A mistake of the program that cannot be recovered from (Go: `fatal`).
#[cold]
pub fn fatal_error(reason: &str) -> ! {
    on_system_stack(&Cause::Fatal(reason))
}

/// No memory for something that has no way to say so.
#[cold]
pub fn out_of_memory(size: usize) -> ! {
    on_system_stack(&Cause::OutOfMemory { size })
}

/// A safe point found the stack nearly used up; `sp` was the stack pointer.
#[cold]
pub fn stack_overflow(sp: usize) -> ! {
    on_system_stack(&Cause::StackOverflow { sp, frame: None })
}

/// Reports on g0, which has room, wherever it is called.
fn on_system_stack(cause: &Cause<'_>) -> ! {
    preempt_off();
    let gp = getg();
    if is_system(gp) {
        die(cause);
    }
    systemstack(|| -> () { die(cause) });
    unreachable!("die does not return")
}

/// From the panic handler. A panic in a goroutine that has a hook ends that goroutine alone.
#[cold]
pub fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(size) = failed_allocation(info) {
        out_of_memory(size);
    }
    let gp = getg();
    let on_system_stack = is_system(gp);
    let message = info.message();
    let die = |text: &dyn Display| -> ! {
        self::on_system_stack(&Cause::Panic(Panic {
            text,
            location: info.location(),
            on_system_stack,
        }))
    };
    preempt_off();
    // A panic under a lock, or inside the scheduler, leaves the lock held: the goroutine cannot
    // simply go, and cannot run a user's `Display`, which may park.
    if on_system_stack || getm().head.locks.load(Ordering::Relaxed) != 1 {
        die(&message);
    }
    crate::arch::switch::preempt_on();
    let hook = gp.panic_hook.swap(0, Ordering::Relaxed);
    if hook != 0 {
        // SAFETY: newproc stored a PanicHook.
        let hook = unsafe { core::mem::transmute::<usize, PanicHook>(hook) };
        hook(info);
        newproc::goexit();
    }
    if gp.panicking.swap(true, Ordering::Relaxed) {
        self::on_system_stack(&Cause::PanicInPanic(&message));
    }
    match preprint(&message) {
        Ok(text) => die(&text),
        Err(fmt::Error) => die(&message),
    }
}

/// The text of a panic, made while the goroutine still is one: its `Display` may allocate, lock,
/// park or panic (Go: `preprintpanics`).
fn preprint(message: &dyn Display) -> Result<String, fmt::Error> {
    struct Text(String);
    impl Write for Text {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.0.try_reserve(s.len()).map_err(|_| fmt::Error)?;
            self.0.push_str(s);
            Ok(())
        }
    }
    let mut text = Text(String::new());
    write!(text, "{message}")?;
    Ok(text.0)
}

/// How many bytes could not be had, if that is what this panic is about. On stable Rust a failed
/// allocation comes as a panic that `alloc` itself raises, with a text of its own and nothing else
/// to know it by.
fn failed_allocation(info: &PanicInfo<'_>) -> Option<usize> {
    struct Digits(Option<usize>);
    impl Write for Digits {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for digit in s.chars().filter_map(|c| c.to_digit(10)) {
                let before = self.0.unwrap_or(0);
                self.0 = Some(before.saturating_mul(10).saturating_add(digit as usize));
            }
            Ok(())
        }
    }
    let raised_by_alloc = |at: &Location<'_>| at.file().ends_with("library/alloc/src/alloc.rs");
    info.location().filter(|at| raised_by_alloc(at))?;
    let mut digits = Digits(None);
    // Digits takes any text.
    let _ = write!(digits, "{}", info.message());
    digits.0
}

/// With `SCHED`'s lock held, when an M becomes idle: whether anything can ever run again
/// (Go: `checkdead`).
pub fn checkdead(inner: &Inner) {
    let running = SCHED.mcount() - inner.midle.len() - inner.mlocked.len();
    if running > 0 || !SCHED.started.load(Ordering::Relaxed) {
        return;
    }
    // Who waits for a timer or for input is waited for from outside.
    if SCHED.input_waiter.load(Ordering::Relaxed).is_some()
        || idle::first_timer() != NEVER
        || disable::is_on()
    {
        return;
    }
    let mut user = 0;
    SCHED.for_each_g(|gp| {
        if gp.system.load(Ordering::Relaxed) {
            return;
        }
        user += 1;
        if gp.status() != Status::Waiting {
            println!(
                "runtime: checkdead: goroutine {} is {:?}",
                gp.goid.load(Ordering::Relaxed),
                gp.status()
            );
            throw("checkdead: runnable g");
        }
    });
    let text = if user == 0 {
        "no goroutines (main called runtime.Goexit) - deadlock!"
    } else {
        "all goroutines are asleep - deadlock!"
    };
    die(&Cause::Deadlock(text))
}

//! What is typed: from the serial interrupt to the goroutine that reads.
//!
//! One producer, the interrupt handler (the line is routed to one CPU, and its handler runs with
//! interrupts off); one consumer, the goroutine in [`read`]. Between them a ring; a byte that finds
//! it full is counted and dropped.
//!
//! What is typed before anybody listens waits in the ring as well, but for the bytes that
//! `sched::attention` takes.
//!
//! While a command runs ([`while_running`]), Ctrl-C is no byte of the line but a signal: the
//! handler tells the shell, keeps the byte to itself and has the reader skip what was typed before
//! it, as a terminal of Unix does. The handler never writes `HEAD`, which is the reader's: it
//! publishes how far to skip in `SKIP_TO`, after the tail, and the reader loads them the other way
//! around, so that it never skips past the tail it sees. What is to be skipped takes no room: a
//! full ring takes what is typed after Ctrl-C at once, in the place of what was typed before it.
//! The reader asks for `SKIP_TO` again after it took a byte, which then may be none of those.
//!
//! The reader parks as `SCHED.input_waiter`. It publishes itself, then looks at the ring again; the
//! handler publishes the byte, then sets `input_pending`, at which some M looks for the waiter.
//! Both with a full fence in between, so one of them sees the other.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};

use crate::arch;
use crate::sched::SCHED;
use crate::sched::attention;
use crate::sched::park::{self, WaitReason};
use crate::sched::preempt;

const CTRL_C: u8 = 0x03;

/// Room for what is pasted while the reader is busy: an emulated line brings it at once, however
/// long it takes to run.
const RING: usize = 64 << 10;

static BYTES: [AtomicU8; RING] = [const { AtomicU8::new(0) }; RING];
/// Next to read; written by the reader.
static HEAD: AtomicUsize = AtomicUsize::new(0);
/// Next to write; written by the interrupt.
static TAIL: AtomicUsize = AtomicUsize::new(0);
/// Everything before this index was typed before a Ctrl-C that was a signal; written by the
/// interrupt.
static SKIP_TO: AtomicUsize = AtomicUsize::new(0);
/// A command runs, so Ctrl-C is a signal. Written by the shell.
static RUNNING: AtomicBool = AtomicBool::new(false);
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Interrupt: takes all bytes that the console has.
pub fn interrupt() {
    while let Some(byte) = arch::console_read() {
        if attention::takes(byte) {
            continue;
        }
        let tail = TAIL.load(Ordering::Relaxed);
        if byte == CTRL_C && RUNNING.load(Ordering::Relaxed) {
            // Release: who sees how far to skip sees a tail at least as far.
            SKIP_TO.store(tail, Ordering::Release);
            super::interrupt();
            continue;
        }
        let skip_to = SKIP_TO.load(Ordering::Relaxed);
        let begin = furthest(HEAD.load(Ordering::Acquire), skip_to);
        if tail.wrapping_sub(begin) == RING {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        // Release: who sees it in a place that is skipped sees that it is.
        BYTES[tail % RING].store(byte, Ordering::Release);
        // Release: who sees the tail sees the byte.
        TAIL.store(tail.wrapping_add(1), Ordering::Release);
    }
    fence(Ordering::SeqCst);
    SCHED.note_input();
    preempt::let_scheduler_look();
}

/// How many bytes were lost because nobody read.
pub fn dropped() -> usize {
    DROPPED.load(Ordering::Relaxed)
}

/// Runs the commands of a line, during which Ctrl-C is a signal. A Ctrl-C that comes just as they
/// end is theirs still.
pub(super) fn while_running(commands: impl FnOnce()) {
    RUNNING.store(true, Ordering::Relaxed);
    commands();
    RUNNING.store(false, Ordering::Relaxed);
}

/// The index that is further on. Indices wrap around, and are less than half of all apart.
fn furthest(a: usize, b: usize) -> usize {
    if b.wrapping_sub(a).cast_signed() > 0 {
        b
    } else {
        a
    }
}

fn pop() -> Option<u8> {
    loop {
        let skip_to = SKIP_TO.load(Ordering::Acquire);
        let begin = HEAD.load(Ordering::Relaxed);
        let head = furthest(begin, skip_to);
        if head != begin {
            // Even if nothing follows: the reader parks only when the ring is empty.
            HEAD.store(head, Ordering::Release);
        }
        if head == TAIL.load(Ordering::Acquire) {
            return None;
        }
        // Acquire pairs with the store: if it is of a byte typed since, so is the next load.
        let byte = BYTES[head % RING].load(Ordering::Acquire);
        if SKIP_TO.load(Ordering::Relaxed) == skip_to {
            HEAD.store(head.wrapping_add(1), Ordering::Release);
            return Some(byte);
        }
    }
}

/// The next byte; parks until there is one. One goroutine at a time.
pub fn read() -> u8 {
    loop {
        if let Some(byte) = pop() {
            return byte;
        }
        park::gopark(
            |gp, _| {
                SCHED.input_waiter.store(Some(gp), Ordering::SeqCst);
                fence(Ordering::SeqCst);
                let nothing = HEAD.load(Ordering::Relaxed) == TAIL.load(Ordering::Acquire);
                // If a byte came, whoever takes the waiter out first lets it go on.
                nothing || SCHED.input_waiter.swap(None, Ordering::SeqCst).is_none()
            },
            0,
            WaitReason::IoWait,
        );
    }
}

//! What is typed: from the serial interrupt to the goroutine that reads.
//!
//! One producer, the interrupt handler (the line is routed to one CPU, and its handler runs with
//! interrupts off); one consumer, the goroutine in [`read`]. Between them a ring; a byte that finds
//! it full is counted and dropped.
//!
//! The reader parks as `SCHED.input_waiter`. It publishes itself, then looks at the ring again; the
//! handler publishes the byte, then sets `input_pending`, at which some M looks for the waiter.
//! Both with a full fence in between, so one of them sees the other.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};

use crate::arch;
use crate::sched::SCHED;
use crate::sched::park::{self, WaitReason};
use crate::sched::preempt;

/// Room for what is pasted while the reader is busy.
const RING: usize = 4096;

static BYTES: [AtomicU8; RING] = [const { AtomicU8::new(0) }; RING];
/// Next to read; written by the reader.
static HEAD: AtomicUsize = AtomicUsize::new(0);
/// Next to write; written by the interrupt.
static TAIL: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Interrupt: takes all bytes that the console has.
pub fn interrupt() {
    while let Some(byte) = arch::console_read() {
        let tail = TAIL.load(Ordering::Relaxed);
        if tail.wrapping_sub(HEAD.load(Ordering::Acquire)) == RING {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        BYTES[tail % RING].store(byte, Ordering::Relaxed);
        // Release: who sees the tail sees the byte.
        TAIL.store(tail.wrapping_add(1), Ordering::Release);
    }
    fence(Ordering::SeqCst);
    SCHED.input_pending.store(true, Ordering::SeqCst);
    preempt::let_scheduler_look();
}

/// How many bytes were lost because nobody read.
pub fn dropped() -> usize {
    DROPPED.load(Ordering::Relaxed)
}

fn pop() -> Option<u8> {
    let head = HEAD.load(Ordering::Relaxed);
    if head == TAIL.load(Ordering::Acquire) {
        return None;
    }
    let byte = BYTES[head % RING].load(Ordering::Relaxed);
    HEAD.store(head.wrapping_add(1), Ordering::Release);
    Some(byte)
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

//! The readers-writer lock without a value: Go's `sync.RWMutex`, with a limit for the wait.
//!
//! Writers exclude each other by a mutex, `writers`, whose fairness is theirs. The one that has it
//! sets `WRITER`, which holds new readers back, and waits until the readers that are inside have
//! left. So neither side starves the other: the readers that a writer held back all come in when it
//! leaves, before the next writer, which waits for them.
//!
//! The word: `WRITER`, a writer is inside or waits for readers to leave; `PARKED`, readers may be
//! in the queue; and above them the number of readers inside.
//!
//! | who | does | when it is not enough, under the queues' lock |
//! | --- | --- | --- |
//! | reader comes | counts itself unless `WRITER` | if still `WRITER`: sets `PARKED`, waits |
//! | reader leaves | uncounts itself | the last one before a `WRITER` wakes the writer |
//! | writer comes | takes `writers`, sets `WRITER` | if readers are still inside: waits |
//! | writer leaves | clears `WRITER` | counts all in the queue and wakes them |
//!
//! Readers are counted only while they are inside. (Go counts those who wait too, by one addition
//! without a condition, and hands the number of those inside over to the writer, which cannot take
//! it back. Here a writer that gives up does just what one that leaves does.) A reader that is
//! woken is counted already. What is decided from the word is decided again under the lock, so a
//! late comer finds nothing to do.
//!
//! Orderings: coming in is acquire, leaving is release, for both kinds; the word is changed by
//! read-modify-writes alone, so every leaving is seen by whoever comes later.
//!
//! As in Go, a goroutine that reads and comes again as a reader waits for ever, if a writer came in
//! between.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::base::lock::{Lock, LockGuard, Rank};
use crate::sched::contention;
use crate::sched::fatal;
use crate::sched::g::{G, getg};
use crate::sched::park::{self, WaitReason};
use crate::sched::sudog::{Sudog, WaitQueue};
use crate::sched::wait::{self, Limit, Place, Waited};
use crate::sync::raw_mutex::RawMutex;

const WRITER: u32 = 1;
const PARKED: u32 = 2;
const READER: u32 = 4;
/// From here on readers are refused. What is left of the range is for those that are parked and let
/// in by a writer that leaves without having had the lock: there are fewer goroutines than that.
const READERS_MAX: u32 = 1 << 31;

const READ: WaitReason = WaitReason::SyncRwMutexRLock;
const WRITE: WaitReason = WaitReason::SyncRwMutexLock;

struct Queues {
    readers: WaitQueue,
    /// At most one: it has `writers`.
    writer: WaitQueue,
}

/// A readers-writer lock around nothing.
pub(super) struct RawRwLock {
    word: AtomicU32,
    writers: RawMutex,
    queues: Lock<Queues>,
}

impl RawRwLock {
    /// Nobody is inside.
    pub(super) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            writers: RawMutex::new(),
            queues: Lock::new(
                Rank::Chan,
                Queues {
                    readers: WaitQueue::new(),
                    writer: WaitQueue::new(),
                },
            ),
        }
    }

    /// The number of the goroutine that writes, or waits for readers to leave.
    pub(super) fn writer(&self) -> Option<u64> {
        self.writers.holder()
    }

    /// The lock whose queues have their lock at this address.
    ///
    /// # Safety
    /// There is one, and it is not dropped while the reference is used.
    pub(super) unsafe fn of_queues<'a>(lock: usize) -> &'a Self {
        // SAFETY: the caller's promise.
        unsafe { &*((lock - offset_of!(Self, queues)) as *const Self) }
    }

    // ---- Readers -----------------------------------------------------------

    /// Comes in as a reader, within the limit. One locked instruction if no writer is there.
    #[inline(always)]
    pub(super) fn read(&self, limit: Limit) -> bool {
        self.try_read() || self.read_slow(limit)
    }

    /// Comes in as a reader if no writer is there.
    #[inline(always)]
    pub(super) fn try_read(&self) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        // One look for both: nearly always there is neither.
        while seen & (WRITER | READERS_MAX) == 0 {
            match self.word.compare_exchange_weak(
                seen,
                seen + READER,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        if seen & WRITER == 0 {
            too_many_readers();
        }
        false
    }

    #[cold]
    fn read_slow(&self, limit: Limit) -> bool {
        if limit.is_over() {
            return false;
        }
        let mut queues = self.queues.lock();
        // `PARKED` is set under the lock and so is `WRITER` cleared, if there is `PARKED`.
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if seen & WRITER == 0 {
                // Not under the lock: it may panic.
                drop(queues);
                if self.try_read() {
                    return true;
                }
                queues = self.queues.lock();
            } else if self
                .word
                .compare_exchange(seen, seen | PARKED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                break;
            }
        }
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        wait::wait(queues, |q| &mut q.readers, &sudog, Place::Back, limit, READ) == Waited::Woken
    }

    /// A reader leaves. One locked instruction if no writer waits.
    #[inline(always)]
    pub(super) fn read_unlock(&self) {
        let before = self.word.fetch_sub(READER, Ordering::Release);
        // The highest bit: there was no reader.
        if before.wrapping_sub(READER) & (WRITER | READERS_MAX) != 0 {
            self.read_unlock_slow(before);
        }
    }

    #[cold]
    fn read_unlock_slow(&self, before: u32) {
        if before < READER {
            fatal::fatal_error("sync: RUnlock of unlocked RWMutex");
        }
        if before >= 2 * READER {
            return;
        }
        let mut queues = self.queues.lock();
        if self.word.load(Ordering::Relaxed) >= READER {
            return;
        }
        let writer = queues.writer.dequeue().map(|sudog| sudog.g);
        drop(queues);
        if let Some(gp) = writer {
            ready_delayed(gp);
        }
    }

    // ---- Writers -----------------------------------------------------------

    /// Comes in as the writer, within the limit.
    #[inline]
    pub(super) fn write(&self, limit: Limit) -> bool {
        if !self.writers.lock_within(limit, WRITE) {
            return false;
        }
        let before = self.word.fetch_or(WRITER, Ordering::Acquire);
        before < READER || self.write_slow(limit)
    }

    /// The readers inside are to leave first.
    #[cold]
    fn write_slow(&self, limit: Limit) -> bool {
        let queues = self.queues.lock();
        if self.word.load(Ordering::Acquire) < READER {
            return true;
        }
        if limit.is_over() {
            self.leave(queues, 0);
            return false;
        }
        let sudog = Sudog::new(getg(), core::ptr::null_mut());
        let waited = wait::wait(queues, |q| &mut q.writer, &sudog, Place::Back, limit, WRITE);
        // The last reader's release, before it woke this one.
        let readers = self.word.load(Ordering::Acquire) / READER;
        if waited == Waited::TimedOut {
            self.leave(self.queues.lock(), 0);
            return false;
        }
        debug_assert!(readers == 0, "a writer among readers");
        true
    }

    /// Comes in as the writer if nobody is inside or waits to write.
    #[inline]
    pub(super) fn try_write(&self) -> bool {
        if !self.writers.try_lock() {
            return false;
        }
        let empty = self
            .word
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed);
        if empty.is_err() {
            self.writers.unlock();
        }
        empty.is_ok()
    }

    /// The writer leaves, and those whom it held back come in.
    #[inline]
    pub(super) fn write_unlock(&self) {
        self.end_write(0);
    }

    /// The writer becomes a reader; nobody writes in between.
    pub(super) fn downgrade(&self) {
        self.end_write(1);
    }

    #[inline]
    fn end_write(&self, stay: u32) {
        let to = stay * READER;
        match self
            .word
            .compare_exchange(WRITER, to, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => self.writers.unlock(),
            Err(seen) if seen & WRITER == 0 => {
                fatal::fatal_error("sync: Unlock of unlocked RWMutex")
            }
            Err(_) => self.leave(self.queues.lock(), stay),
        }
    }

    /// The goroutine that set `WRITER` clears it, in whatever state the lock is: lets in all
    /// readers in the queue, and `stay` of its own.
    #[cold]
    fn leave(&self, mut queues: LockGuard<'_, Queues>, stay: u32) {
        let mut ready = queues.readers.drain();
        let come = (ready.len() as u32 + stay) * READER;
        // Readers that are inside may leave meanwhile; the two bits stand still.
        let parked = self.word.load(Ordering::Relaxed) & PARKED;
        self.word
            .fetch_add(come.wrapping_sub(WRITER | parked), Ordering::Release);
        drop(queues);
        if contention::counts_mutexes() {
            while let Some(gp) = ready.pop_front() {
                ready_delayed(gp);
            }
        }
        park::goready_all(ready);
        self.writers.unlock();
    }
}

/// Readies a goroutine that waited for the caller to leave, and counts that.
fn ready_delayed(gp: &'static G) {
    // Before it runs and waits for something else.
    let delay_ns = contention::counts_mutexes().then(|| contention::since_parked_ns(gp));
    park::goready(gp);
    if let Some(delay_ns) = delay_ns {
        contention::delayed(delay_ns);
    }
}

#[cold]
fn too_many_readers() -> ! {
    panic!("sync: too many readers")
}

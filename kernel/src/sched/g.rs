//! G: a goroutine.
//!
//! A G lives at the top of its own stack's first frame and is never freed, only reused: a stale
//! `&'static G` may name another goroutine by now, but always a G. So every field that somebody may
//! read through a stale reference is atomic, and hints may be wrong, never wild.
//!
//! # Status: who owns the stack
//!
//! | status | stack and `sched` belong to | leaves by |
//! | --- | --- | --- |
//! | idle | the creator | newproc → runnable |
//! | runnable | the run queue that holds it | execute → running |
//! | running | the G itself, on M `m` | gopark → waiting, yield → runnable, goexit → dead |
//! | waiting | whoever is to ready it | ready → runnable |
//! | dead | the free list, or the M that just ended it | newproc → runnable |
//!
//! [`SCAN`] ORed in is a lock on the transition: whoever set it may look at the stack, and
//! [`G::casgstatus`] waits until it is gone ([`status`](crate::sched::status)).

use alloc::sync::Arc;
use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use crate::arch;
use crate::arch::switch::{self, GHead, Gobuf, Stack};
use crate::base::aref::AtomicRef;
use crate::sched::defer::Deferred;
use crate::sched::fatal;
use crate::sched::labels::LabelsCell;
use crate::sched::m::M;
use crate::sched::park::WaitReason;
use crate::sched::status::StatusWord;
use crate::sched::ticket::Ticket;
use crate::sched::timers::Timer;
use crate::sched::token::Token;

pub use crate::sched::status::{SCAN, Status};

/// How long a transition waits for a scan bit to go away before the scheduler says that it is lost.
const SCAN_STUCK_NS: u64 = 20_000_000_000;

/// What runs on g0 after a G is parked, to release what protects its place in a queue. Returns
/// whether the G stays parked.
pub type UnlockFn = fn(&'static G, usize) -> bool;

/// Where the fields of a G are that this module keeps to itself, in bytes: for a debugger.
pub struct Private {
    /// The status word, an u32.
    pub status: usize,
    /// The number of the [`WaitReason`], an u8.
    pub waitreason: usize,
    /// The name's text, or null.
    pub name_ptr: usize,
    /// Bytes of the name.
    pub name_len: usize,
}

/// A goroutine.
#[repr(C)]
pub struct G {
    /// Stack, guard, Gobuf: what assembly reads.
    pub head: GHead,

    // Who owns the G.
    atomicstatus: StatusWord,

    // Written by the owner while idle or dead, constant while alive.
    /// Number, from 1 (main). 0: never used.
    pub goid: AtomicU64,
    /// Who created it.
    pub parent_goid: AtomicU64,
    /// Return address of the `go` statement.
    pub gopc: AtomicUsize,
    /// Entry function.
    pub startpc: AtomicUsize,
    name_ptr: AtomicPtr<u8>,
    name_len: AtomicUsize,
    /// A goroutine of the runtime's own: not counted, not shown to users.
    pub system: AtomicBool,
    /// It runs before others, and is not held back with them (`disable`).
    pub urgent: AtomicBool,
    /// The job that it is of, as its creator was; 0: none.
    pub job: AtomicU32,
    /// While not 0 it is not held back (`disable::begin_unstoppable`).
    pub unstoppable: AtomicU32,
    /// What to call when it panics instead of ending the image (`testing`): a `PanicHook`, or 0.
    pub panic_hook: AtomicUsize,
    /// It has begun to end the image by a panic, and formats the text.
    pub panicking: AtomicBool,

    // Owned by whoever holds the G (status table above).
    /// Next in a run queue list or free list.
    pub schedlink: AtomicRef<G>,
    /// Dead, and the first of a chain in the global list of the dead: the first of the next.
    pub(super) chain: AtomicRef<G>,
    /// The M that runs it.
    pub m: AtomicRef<M>,
    /// What `gopark` wants done on g0.
    pub park_unlock: AtomicUsize,
    /// Argument of it.
    pub park_lock: AtomicUsize,
    /// Its sudog while it waits in a queue, a [`Sudog`](crate::sched::sudog::Sudog) on its stack
    /// (Go: `g.waiting`); of a select, that of its first case; 0 while it waits for what a sender
    /// owes it. Left behind by other waits: it counts with a reason that has a queue. Read with the
    /// world stopped, so no ordering is needed.
    pub waiting: AtomicUsize,
    /// The timer of `time::sleep` and of waits with a limit.
    pub timer: Timer,
    /// When that timer is to fire.
    pub sleep_until_ns: AtomicU64,
    /// The wait that several may end.
    pub wait: Ticket,
    /// What it does at its end, latest first (`defer`). Null when dead.
    pub defers: AtomicPtr<Deferred>,
    /// Its locals, which are the matter of `goroutine::local`. Null when dead.
    pub locals: AtomicPtr<()>,
    /// What profiles and dumps are to tell it by (`labels`). None when dead.
    pub(super) labels: LabelsCell,

    /// What `unpark` leaves for `park`, under a lock of its own.
    pub token: Token,

    // Read by anyone as a hint.
    waitreason: AtomicU8,
    /// When it began to wait, or died, by `cputicks`.
    pub waitsince: AtomicU64,

    // Where it may run.
    /// The M that only runs this G (`lock_os_thread`).
    pub lockedm: AtomicRef<M>,
    /// Nesting of `lock_os_thread`.
    pub locked_count: AtomicU32,
    /// The only CPU it may run on (`pin`), or -1.
    pub pinned: AtomicI32,

    /// Next in the list of all Gs; written once.
    pub alllink: AtomicRef<G>,
}

// SAFETY: `head`'s cells are the stack bounds, constant once the G is published, and `sched`, which
// belongs to the owner of the G by its status; all else is atomic.
unsafe impl Sync for G {}
// SAFETY: as above.
unsafe impl Send for G {}

impl G {
    /// What a debugger looks for.
    pub const PRIVATE: Private = Private {
        status: offset_of!(G, atomicstatus),
        waitreason: offset_of!(G, waitreason),
        name_ptr: offset_of!(G, name_ptr),
        name_len: offset_of!(G, name_len),
    };

    /// A G that owns no stack yet.
    pub const fn new() -> Self {
        Self {
            head: GHead {
                stack: Cell::new(Stack { lo: 0, hi: 0 }),
                stackguard0: AtomicUsize::new(0),
                preempt: AtomicBool::new(false),
                sched: Gobuf::new(),
            },
            atomicstatus: StatusWord::new(),
            goid: AtomicU64::new(0),
            parent_goid: AtomicU64::new(0),
            gopc: AtomicUsize::new(0),
            startpc: AtomicUsize::new(0),
            name_ptr: AtomicPtr::new(core::ptr::null_mut()),
            name_len: AtomicUsize::new(0),
            system: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            job: AtomicU32::new(0),
            unstoppable: AtomicU32::new(0),
            panic_hook: AtomicUsize::new(0),
            panicking: AtomicBool::new(false),
            schedlink: AtomicRef::none(),
            chain: AtomicRef::none(),
            m: AtomicRef::none(),
            park_unlock: AtomicUsize::new(0),
            park_lock: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            timer: Timer::new(),
            sleep_until_ns: AtomicU64::new(0),
            wait: Ticket::new(),
            defers: AtomicPtr::new(core::ptr::null_mut()),
            locals: AtomicPtr::new(core::ptr::null_mut()),
            labels: LabelsCell::new(),
            token: Token::new(),
            waitreason: AtomicU8::new(WaitReason::Zero as u8),
            waitsince: AtomicU64::new(0),
            lockedm: AtomicRef::none(),
            locked_count: AtomicU32::new(0),
            pinned: AtomicI32::new(-1),
            alllink: AtomicRef::none(),
        }
    }

    /// The G behind a head that is not a g0 or gsignal of early boot.
    ///
    /// # Safety
    /// `head` is the head of a G (every `GHead` of this kernel is).
    pub unsafe fn of(head: *mut GHead) -> &'static G {
        // SAFETY: G is repr(C) and begins with its head; Gs are never freed.
        unsafe { &*head.cast::<G>() }
    }

    /// This G's Gobuf, for its owner.
    pub fn gobuf(&self) -> &Gobuf {
        &self.head.sched
    }

    /// This G as assembly names it.
    pub fn as_head(&self) -> *mut GHead {
        (&raw const self.head).cast_mut()
    }

    /// The guard that finds stack overflow, without a request for preemption.
    pub fn stack_guard(&self) -> usize {
        self.head.stack.get().lo + switch::STACK_GUARD
    }

    /// Status word, scan bit and all.
    pub fn readgstatus(&self) -> u32 {
        self.atomicstatus.load()
    }

    /// Status without the scan bit.
    pub fn status(&self) -> Status {
        Status::of(self.readgstatus())
    }

    /// Moves the G from one status to another; the caller owns it by `from` (Go: `casgstatus`).
    ///
    /// Waits while a scanner holds the G. The exchange is acquire-release: what the old owner wrote
    /// to the G and its stack is seen by the new one.
    #[inline(always)]
    pub fn casgstatus(&self, from: Status, to: Status) {
        if let Err(found) = self.atomicstatus.change(from, to) {
            self.casgstatus_slow(found, from, to);
        }
    }

    #[cold]
    fn casgstatus_slow(&self, found: u32, from: Status, to: Status) {
        let start = arch::nanotime();
        let changed = self.atomicstatus.change_after(found, from, to, || {
            if arch::nanotime() - start > SCAN_STUCK_NS {
                fatal::throw("casgstatus: the scan bit is never released");
            }
            arch::pause();
        });
        if let Err(found) = changed {
            crate::println!(
                "runtime: casgstatus: goroutine {} is {:#x}, not {from:?} as on the way to {to:?}",
                self.goid.load(Ordering::Relaxed),
                found
            );
            fatal::throw("casgstatus: bad incoming value");
        }
    }

    /// Claims a G that is not running for inspection (Go: `castogscanstatus`).
    pub fn try_claim(&self, status: Status) -> bool {
        self.atomicstatus.try_claim(status)
    }

    /// Ends a [`G::try_claim`] (Go: `casfrom_Gscanstatus`).
    pub fn unclaim(&self) {
        self.atomicstatus.unclaim();
    }

    /// Why it waits, or last waited.
    pub fn waitreason(&self) -> WaitReason {
        WaitReason::of(self.waitreason_number())
    }

    /// The number of that reason.
    #[inline(always)]
    pub fn waitreason_number(&self) -> u8 {
        self.waitreason.load(Ordering::Relaxed)
    }

    /// Says why it is going to wait.
    #[inline(always)]
    pub fn set_waitreason(&self, reason: WaitReason) {
        self.waitreason.store(reason as u8, Ordering::Relaxed);
    }

    /// Its name, if it was given one.
    ///
    /// # Safety
    /// The goroutine is alive and cannot end while the name is used: it is the caller, or claimed
    /// by its scan bit, or the world is frozen.
    pub unsafe fn name(&self) -> Option<&str> {
        let name = self.raw_name()?;
        // SAFETY: `set_name` stored an Arc's, which is dropped when the goroutine is dead.
        Some(unsafe { &*name })
    }

    /// The name to keep.
    ///
    /// # Safety
    /// As for [`G::name`].
    pub unsafe fn shared_name(&self) -> Option<Arc<str>> {
        let name = self.raw_name()?;
        // SAFETY: `set_name` made it of an Arc, whose count stands for one more from here on.
        unsafe {
            Arc::increment_strong_count(name);
            Some(Arc::from_raw(name))
        }
    }

    fn raw_name(&self) -> Option<*const str> {
        let ptr = self.name_ptr.load(Ordering::Relaxed);
        let len = self.name_len.load(Ordering::Relaxed);
        (!ptr.is_null()).then(|| core::ptr::slice_from_raw_parts(ptr, len) as *const str)
    }

    /// Whoever owns the dead G: names it, or takes its name away.
    pub fn set_name(&self, name: Option<Arc<str>>) {
        let old = self.raw_name();
        let name = name.map(Arc::into_raw);
        // The length of no name is never used; one without bytes still has an address.
        self.name_ptr
            .store(core::ptr::null_mut(), Ordering::Relaxed);
        if let Some(name) = name {
            self.name_len
                .store((name as *const [u8]).len(), Ordering::Relaxed);
            self.name_ptr
                .store(name.cast::<u8>().cast_mut(), Ordering::Relaxed);
        }
        if let Some(old) = old {
            // SAFETY: it was stored here, with this count. A frozen world finds it gone already, or
            // still whole.
            drop(unsafe { Arc::from_raw(old) });
        }
    }

    /// Whether it has a name.
    pub fn has_name(&self) -> bool {
        !self.name_ptr.load(Ordering::Relaxed).is_null()
    }

    /// Asks for preemption at the next safe point. A hint: it may be lost when the G is just being
    /// switched, so callers who depend on it ask again.
    #[inline]
    pub fn request_preempt(&self) {
        self.head.preempt.store(true, Ordering::Relaxed);
        self.head
            .stackguard0
            .store(switch::STACK_PREEMPT, Ordering::Relaxed);
    }

    /// Whether preemption is asked for.
    #[inline(always)]
    pub fn preempt_requested(&self) -> bool {
        self.head.preempt.load(Ordering::Relaxed)
    }

    /// Withdraws the request and puts the overflow guard in place.
    #[inline(always)]
    pub fn clear_preempt(&self) {
        self.head.preempt.store(false, Ordering::Relaxed);
        self.head
            .stackguard0
            .store(self.stack_guard(), Ordering::Relaxed);
    }
}

/// The running goroutine, or g0 on the scheduler's stack.
#[inline(always)]
pub fn getg() -> &'static G {
    // SAFETY: gs:[g] always names a G.
    unsafe { G::of(switch::getg()) }
}

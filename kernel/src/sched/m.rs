//! M: a CPU.
//!
//! The boot CPU is M0; the others follow in the order in which they start. An M is never created or
//! ended later, so where Go starts a thread (a P to run and no idle M), this scheduler has nothing
//! to start and the P waits.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::arch;
use crate::arch::MAX_CPUS;
use crate::arch::switch::{self, MHead};
use crate::base::aref::AtomicRef;
use crate::base::counter::Counter;
use crate::sched::g::G;
use crate::sched::note::{Note, Wake};
use crate::sched::p::P;
use crate::sched::sampling::{self, Sampler};
use crate::sched::trace::Tracer;

/// A CPU with its scheduler stack.
#[repr(C)]
pub struct M {
    /// GS base points here.
    pub head: MHead,
    /// The scheduler's own goroutine: its stack.
    pub g0: G,
    /// Stands for the interrupt stacks.
    pub gsignal: G,

    /// The P it holds.
    pub p: AtomicRef<P>,
    /// The P that its waker hands to it.
    pub nextp: AtomicRef<P>,
    /// It looks for work without having any.
    pub spinning: AtomicBool,
    /// It sleeps for `park`, outside the idle list: its locked goroutine is to come back.
    pub blocked_locked: AtomicBool,
    /// Ends its sleep.
    pub park: Note,
    /// The only goroutine it may run (`lock_os_thread`).
    pub lockedg: AtomicRef<G>,
    /// Goroutines that wait for just this M (pinned, or its locked one): how many.
    pub inbox_len: AtomicU32,

    /// The last flush of TLBs that this CPU took part in (`stop::flush_all_tlbs`).
    pub tlb_generation: AtomicU64,

    /// When the one-shot timer fires, in ns; `u64::MAX`: not armed.
    armed_ns: AtomicU64,
    /// When the CPU profile wants its next sample.
    pub(super) sampler: Sampler,
    /// State of [`M::cheaprand`].
    rand: AtomicU64,

    /// What it notes of the scheduling.
    pub trace: Tracer,

    /// What `runtime::stats` shows.
    pub stats: MStats,
}

/// What an M has done since boot.
pub struct MStats {
    /// Time in `hlt`.
    pub idle_ns: Counter,
    /// Time spent looking for work.
    pub spinning_ns: Counter,
    /// Wake-ups and requests sent to other CPUs.
    pub ipis_sent: Counter,
    /// Wake-ups and requests received.
    pub ipis_got: Counter,
    /// Timer interrupts.
    pub ticks: Counter,
}

// SAFETY: `head`'s cells are written before the CPU runs, or by assembly on the CPU itself; all
// else is atomic.
unsafe impl Sync for M {}

impl M {
    const fn new() -> Self {
        Self {
            head: MHead::new(),
            g0: G::new(),
            gsignal: G::new(),
            p: AtomicRef::none(),
            nextp: AtomicRef::none(),
            spinning: AtomicBool::new(false),
            blocked_locked: AtomicBool::new(false),
            park: Note::new(),
            lockedg: AtomicRef::none(),
            inbox_len: AtomicU32::new(0),
            tlb_generation: AtomicU64::new(0),
            armed_ns: AtomicU64::new(u64::MAX),
            sampler: Sampler::new(),
            rand: AtomicU64::new(0),
            trace: Tracer::new(),
            stats: MStats {
                idle_ns: Counter::new(),
                spinning_ns: Counter::new(),
                ipis_sent: Counter::new(),
                ipis_got: Counter::new(),
                ticks: Counter::new(),
            },
        }
    }

    /// Number of this M, which is also that of its CPU.
    pub fn id(&self) -> usize {
        self.head.cpu.get() as usize
    }

    /// Links head, g0 and gsignal of an M that does not run yet.
    pub fn init(&'static self, id: usize, seed: u64) {
        self.head.this.set((&raw const self.head).cast_mut());
        self.head.g.set(self.g0.as_head());
        self.head.g0.set(self.g0.as_head());
        self.head.gsignal.set(self.gsignal.as_head());
        self.head.cpu.set(id as u32);
        for g in [&self.g0, &self.gsignal] {
            g.gobuf().g.set(g.as_head());
            g.m.store(Some(self), Ordering::Relaxed);
        }
        self.seed(seed);
    }

    /// Starts this M's random numbers.
    pub fn seed(&self, seed: u64) {
        // An odd multiplier of the index keeps the streams of two Ms apart; 0 would stay 0.
        let mixed = seed ^ (self.id() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.rand.store(mixed | 1, Ordering::Relaxed);
    }

    /// A random number, not for secrets (Go: `cheaprand`): xorshift64*, all of it from `seed`.
    pub fn cheaprand(&self) -> u32 {
        let mut x = self.rand.load(Ordering::Relaxed);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.rand.store(x, Ordering::Relaxed);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// A random number below `n`, by Lemire's multiplication.
    pub fn cheaprandn(&self, n: u32) -> u32 {
        ((u64::from(self.cheaprand()) * u64::from(n)) >> 32) as u32
    }

    /// The goroutine that this M runs.
    pub fn curg(&self) -> Option<&'static G> {
        let head = self.head.curg.load(Ordering::Relaxed);
        // SAFETY: only heads of Gs are stored in curg.
        (!head.is_null()).then(|| unsafe { G::of(head) })
    }

    /// Own CPU: if the timer is set, makes sure that it fires at `when_ns` or earlier. If it is
    /// not, whatever comes next (`execute`, `sleep`) sets it with all deadlines in view.
    pub fn arm(&self, when_ns: u64) {
        if self.is_armed() && when_ns < self.armed_ns.load(Ordering::Relaxed) {
            self.rearm(when_ns);
        }
    }

    /// Own CPU: sets the timer, whatever it was set to.
    pub fn rearm(&self, when_ns: u64) {
        // A tick between the two stores would leave them different.
        let flags = arch::irq::save();
        self.armed_ns.store(when_ns, Ordering::Relaxed);
        arch::set_deadline(when_ns.min(self.sampler.deadline()));
        arch::irq::restore(flags);
    }

    /// Interrupt: whether the scheduler's deadline has passed. If not, sets the timer for it, or
    /// for the next sample alone if the scheduler has none.
    pub(super) fn scheduler_is_due(&self, now_ns: u64) -> bool {
        let armed_ns = self.armed_ns.load(Ordering::Relaxed);
        let due = armed_ns <= now_ns;
        if !due {
            self.rearm(armed_ns);
        }
        due
    }

    /// Own CPU: the timer has fired.
    pub fn disarmed(&self) {
        self.armed_ns.store(u64::MAX, Ordering::Relaxed);
    }

    /// When the timer is to fire; `u64::MAX`: it is not set. A hint to others.
    pub fn armed_until_ns(&self) -> u64 {
        self.armed_ns.load(Ordering::Relaxed)
    }

    /// Own CPU: while the scheduler has no deadline, sets the timer for the next sample, if samples
    /// are taken.
    #[inline(always)]
    pub(super) fn rearm_for_samples(&self) {
        if sampling::is_on() {
            self.rearm(u64::MAX);
        }
    }

    /// Own CPU: whether the timer is set.
    #[inline(always)]
    pub fn is_armed(&self) -> bool {
        self.armed_ns.load(Ordering::Relaxed) != u64::MAX
    }

    /// Signals this M's note and interrupts its CPU if it halts (Go: `notewakeup`).
    pub fn wake(&self) {
        if self.park.signal() {
            send_wake(self);
        }
    }

    /// Interrupts this CPU if it halts, so that it looks for the work that was just published.
    pub fn poke(&self) {
        if self.park.poke() {
            send_wake(self);
        }
    }

    /// Own CPU, on g0: halts until the note is signalled, `deadline_ns` has passed, or an interrupt
    /// came. Does not halt while there is `work`.
    pub fn sleep(&self, deadline_ns: u64, work: impl Fn() -> bool) -> Wake {
        let start = arch::nanotime();
        let flags = arch::irq::save();
        // Samples are not wanted of a CPU that halts.
        self.armed_ns.store(deadline_ns, Ordering::Relaxed);
        arch::set_deadline(deadline_ns);
        if self.park.prepare(work) {
            arch::halt();
            self.park.awake();
        }
        let now = arch::nanotime();
        // The next goroutine's slice, or the next sleep, sets its own.
        self.disarmed();
        self.sampler.skip(now - start);
        self.rearm_for_samples();
        arch::irq::restore(flags);
        self.stats.idle_ns.add(now - start);
        if self.park.is_signalled() {
            Wake::Signalled
        } else if now >= deadline_ns {
            Wake::Deadline
        } else {
            Wake::Interrupt
        }
    }
}

fn send_wake(to: &M) {
    getm().stats.ipis_sent.add(1);
    arch::send_ipi(to.id(), arch::Ipi::Wake);
}

/// All Ms that can ever be, by the number of their CPU: what is not atomic in one is its CPU's own.
pub static ALLM: [M; MAX_CPUS] = [const { M::new() }; MAX_CPUS];

/// This CPU's M. Preemption is off, or the caller is on g0 or in an interrupt.
#[inline(always)]
pub fn getm() -> &'static M {
    // SAFETY: GS base points at the head of an element of ALLM, and M is repr(C) and begins with
    // it.
    unsafe { &*switch::getm().cast::<M>() }
}

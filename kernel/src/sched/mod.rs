//! The scheduler: Go's G, M and P on bare CPUs.
//!
//! - **G** ([`g`]): a goroutine. **M** ([`m`]): a CPU. **P** ([`p`]): the right to run goroutines;
//!   an M needs one. `gomaxprocs` Ps exist.
//! - The way of a goroutine: [`newproc`] → [`runq`] → [`find`] → [`schedule`](schedule::execute) →
//!   its closure → goexit → [`schedule`](mod@schedule). Of a wait: [`park::gopark`] →
//!   [`park::goready`] by somebody else → runq → find.
//!
//! # Parking and unparking Ms
//!
//! There should be enough running Ms to use all CPUs and not one more, since an idle CPU that halts
//! gives its time to others (under a hypervisor: to the very CPU that has the work). Knowing the
//! right number would need a global, exact count of work, which every spawn would contend for; and
//! handing each readied goroutine to an idle M at once would bounce short-lived work between CPUs.
//! So, as in Go: an M that runs out of work *spins* (looks for some, at most half as many spinners
//! as busy Ps) before it parks, and readying a goroutine wakes an M only if nobody spins. A spinner
//! that finds work wakes the next one, if it was the last.
//!
//! Two sides can miss each other, and both use a full fence ([`spinning`], checked by models):
//!
//! ```text
//! submit work                             stop spinning
//!  1. put G into a local run queue         1. nmspinning -= 1
//!  2. fence(SeqCst)                        2. fence(SeqCst)
//!  3. look at nmspinning; 0: wake an M     3. look at all run queues and timers again
//! ```
//!
//! If 3 on the left saw the spinner, then 3 on the right sees the work. The look on the right is
//! done by every M that stops spinning, not just the last: nmspinning is raised transiently by
//! [`idle::wakep`]. If it finds work but no idle P, `needspinning` makes the next M that would go
//! idle spin instead. The global queue needs none of this: it is looked at under `SCHED`'s lock in
//! the critical section that puts the P on the idle list.
//!
//! Then there is the halt itself: see [`note`].
//!
//! # Locks
//!
//! One lock, [`SCHED`]`.lock`, guards what is global: run queue, idle Ms and Ps, free Gs, the
//! world's stop. Under it neither a channel's nor a timer's lock is taken (`base::lock::Rank`).
//!
//! # What made it fast
//!
//! Instructions of one operation (`.ci/icount.sh`), before and after; steps that were counted
//! together stand together.
//!
//! - What a round must see to is one word ([`agenda`]), a yield swaps with the first of the global
//!   queue under one hold of its lock, a lock's guard is one reference: `gosched_2` 361 → 215,
//!   `park_unpark_switch` 456 → 347.
//! - A round with nothing to see to takes the first of the own ring too, dead Gs go by whole chains
//!   ([`gfree`]), the records of a spawn stand behind one check, small functions of the path are
//!   inlined before the compiler gives each a safe point: `spawn_exit` 614 → 464.
//! - The lock of who parks is released without a call, who readies turns preemption on once
//!   ([`park`]): `chan_unbuf_pingpong` 953 → 849.
//!
//! What is left of a rendezvous: two records of the trace in each switch, which `trace=off` spares,
//! two compare-and-swaps of a status word that a scanner may hold, and the registers that functions
//! save which never return.

pub mod agenda;
pub mod attention;
pub mod callers;
pub mod contention;
pub mod coro;
pub mod defer;
pub mod disable;
pub mod fatal;
pub mod find;
pub mod g;
pub mod gfree;
pub mod gqueue;
pub mod idle;
pub mod keeper;
pub mod labels;
pub mod lockedm;
pub mod m;
pub mod model;
pub mod newproc;
pub mod note;
pub mod p;
pub mod park;
pub mod preempt;
pub mod runq;
pub mod sampling;
pub mod schedule;
pub mod sema;
pub mod spinning;
pub mod status;
pub mod stop;
#[cfg(test)]
mod stress;
pub mod sudog;
pub mod sysmon;
pub mod ticket;
pub mod timers;
pub mod token;
pub mod trace;
pub mod wait;
pub mod watchdog;

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::arch::MAX_CPUS;
use crate::base::aref::AtomicRef;
use crate::base::lock::{Lock, Rank};
use crate::sched::agenda::{Agenda, Item};
use crate::sched::g::G;
use crate::sched::gfree::GlobalFree;
use crate::sched::gqueue::GQueue;
use crate::sched::idle::IdleSet;
use crate::sched::keeper::Keeper;
use crate::sched::m::{ALLM, M};
use crate::sched::p::{ALLP, P};
use crate::sched::sema::Semaphore;
use crate::sched::spinning::Spinning;

/// What `SCHED`'s lock guards.
pub struct Inner {
    /// The global run queue.
    pub runq: GQueue,
    /// Goroutines that only one M may run, for each M.
    pub inbox: [GQueue; MAX_CPUS],
    /// Ms that sleep and may be woken to run a P.
    pub midle: IdleSet,
    /// Ms that sleep until their locked goroutine can run.
    pub mlocked: IdleSet,
    /// Ps without an M.
    pub pidle: IdleSet,
    /// Goroutines that are held back and may run when the program is thawed (`disable`).
    pub disabled: GQueue,
    /// Dead Gs that no P has.
    pub gfree: GlobalFree,
}

/// The state that all Ms share.
pub struct Sched {
    /// Which Ms run; those of CPUs that did not start are missing. Changes during boot only.
    pub ms: AtomicU64,
    /// Guards [`Inner`].
    pub lock: Lock<Inner>,

    /// How many Ps there are.
    pub gomaxprocs: AtomicU32,
    /// Size of `pidle`; written under the lock.
    pub npidle: AtomicU32,
    /// Which Ps are idle, for thieves; written under the lock.
    pub idlep_mask: AtomicU64,
    /// The Ms that look for work.
    pub spinning: Spinning,
    /// Length of the global run queue; written under the lock.
    pub runqsize: AtomicU32,

    /// What every round has to see to.
    pub agenda: Agenda,
    /// Ps that still run; written under the lock.
    pub stopwait: AtomicI32,

    /// Held by whoever stops the world.
    pub worldsema: Semaphore,

    /// The M that sleeps with a timer for all.
    pub keeper: Keeper<M>,

    /// How often interrupts left input.
    pub inputs: AtomicU32,
    /// The goroutine that waits for input.
    pub input_waiter: AtomicRef<G>,

    /// Next batch of goroutine ids.
    pub goidgen: AtomicU64,
    /// All Gs ever made, newest first.
    pub allgs: AtomicRef<G>,
    /// Goroutines of the runtime's own that are alive.
    pub ngsys: AtomicU32,
    /// The main goroutine has been created: deadlock can be told from boot.
    pub started: AtomicBool,

    /// Length of a slice, in ns.
    pub slice_ns: AtomicU64,
    /// Length of a slice, in CPU ticks.
    pub slice_ticks: AtomicU64,
    /// Percent of scheduling decisions that chaos disturbs.
    pub chaos: AtomicU32,
    /// Where random choices start.
    pub seed: AtomicU64,
}

/// The scheduler.
pub static SCHED: Sched = Sched {
    ms: AtomicU64::new(1),
    lock: Lock::new(
        Rank::Sched,
        Inner {
            runq: GQueue::new(),
            inbox: [const { GQueue::new() }; MAX_CPUS],
            midle: IdleSet::new(),
            mlocked: IdleSet::new(),
            pidle: IdleSet::new(),
            disabled: GQueue::new(),
            gfree: GlobalFree::new(),
        },
    ),
    gomaxprocs: AtomicU32::new(0),
    npidle: AtomicU32::new(0),
    idlep_mask: AtomicU64::new(0),
    spinning: Spinning::new(),
    runqsize: AtomicU32::new(0),
    agenda: Agenda::new(),
    stopwait: AtomicI32::new(0),
    worldsema: Semaphore::new(1),
    keeper: Keeper::new(),
    inputs: AtomicU32::new(0),
    input_waiter: AtomicRef::none(),
    goidgen: AtomicU64::new(1),
    allgs: AtomicRef::none(),
    ngsys: AtomicU32::new(0),
    started: AtomicBool::new(false),
    slice_ns: AtomicU64::new(10_000_000),
    slice_ticks: AtomicU64::new(u64::MAX),
    chaos: AtomicU32::new(0),
    seed: AtomicU64::new(0),
};

/// Where the scheduler's own tables lie, which lead to everybody: what is found from there is not
/// thereby in anybody's reach.
pub fn own_statics() -> [Range<usize>; 3] {
    fn range<T>(of: &T) -> Range<usize> {
        let start = core::ptr::from_ref(of) as usize;
        start..start + size_of::<T>()
    }
    [range(&SCHED), range(&ALLM), range(&ALLP)]
}

impl Sched {
    /// The Ps that exist.
    pub fn allp(&self) -> &'static [P] {
        &ALLP[..self.gomaxprocs.load(Ordering::Relaxed) as usize]
    }

    /// The Ms that run.
    pub fn allm(&self) -> impl Iterator<Item = &'static M> + Clone + use<> {
        let ms = self.ms.load(Ordering::Relaxed);
        (0..MAX_CPUS)
            .filter(move |i| ms & 1 << i != 0)
            .map(|i| &ALLM[i])
    }

    /// How many Ms run.
    pub fn mcount(&self) -> usize {
        self.ms.load(Ordering::Relaxed).count_ones() as usize
    }

    /// Whether this CPU runs.
    pub fn has_m(&self, cpu: usize) -> bool {
        cpu < MAX_CPUS && self.ms.load(Ordering::Relaxed) & 1 << cpu != 0
    }

    /// Goroutines that are alive, without the runtime's own (Go: `gcount`).
    pub fn gcount(&self) -> usize {
        let (mut created, mut ended) = (0u64, 0u64);
        // Ended first: a goroutine that starts and ends in between must not count as minus one.
        for p in &ALLP {
            ended += p.stats.ended.get();
        }
        for p in &ALLP {
            created += p.stats.created.get();
        }
        (created.saturating_sub(ended) as usize)
            .saturating_sub(self.ngsys.load(Ordering::Relaxed) as usize)
    }

    /// Calls `f` with every G that is not dead.
    pub fn for_each_g(&self, mut f: impl FnMut(&'static G)) {
        self.for_each_g_ever(|gp| {
            if !matches!(gp.status(), g::Status::Dead | g::Status::Idle) {
                f(gp);
            }
        });
    }

    /// Calls `f` with every G ever made.
    pub fn for_each_g_ever(&self, mut f: impl FnMut(&'static G)) {
        let mut next = self.allgs.load(Ordering::Acquire);
        while let Some(gp) = next {
            f(gp);
            next = gp.alllink.load(Ordering::Acquire);
        }
    }

    /// Any context: input is there, which some M is to look for, who sees what was done before.
    pub fn note_input(&self) {
        // Before the item: who sees that sees the count of this input, or of a later one.
        self.inputs.fetch_add(1, Ordering::SeqCst);
        self.agenda.add(Item::Input);
    }

    /// Notes whether the scheduler runs in an unusual way, after a change of what makes it so.
    pub fn note_unusual(&self) {
        let unusual = self.chaos.load(Ordering::Relaxed) != 0
            || model::get() != model::Model::Gmp
            || preempt::mode() == preempt::Mode::Off;
        self.agenda.set(Item::Unusual, unusual);
    }

    /// Whether chaos strikes now. Preemption is off.
    #[inline]
    pub fn chaos_strikes(&self) -> bool {
        let percent = self.chaos.load(Ordering::Relaxed);
        percent != 0 && m::getm().cheaprandn(100) < percent
    }
}

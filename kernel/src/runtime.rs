//! Go's package runtime: what a program can ask of the scheduler.

pub mod pprof;
pub mod trace;

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use crate::arch;
use crate::arch::switch;
use crate::observe::waits;
pub use crate::observe::waits::{Deadlock, EndedBy, Waiter};
use crate::observe::{living, schedtrace};
pub use crate::sched::contention::OutOfMemory;
use crate::sched::g::getg;
use crate::sched::{SCHED, contention, fatal, lockedm, newproc, park, stop, sysmon};

/// Lets others run: goes to the end of the global queue (Go: `runtime.Gosched`). Where nobody else
/// could run here it returns at once.
///
/// ```
/// use gosched::runtime;
///
/// runtime::gosched(); // others first
/// ```
pub fn gosched() {
    park::gosched();
}

/// Ends the calling goroutine (Go: `runtime.Goexit`). In the main goroutine the others go on, and
/// when none is left the image ends with Go's deadlock report.
///
/// There is no unwinding: what the goroutine's frames own is not dropped. So a mutex that it holds
/// stays locked, a channel's sender that it owns stays, and nothing like Go's `defer` runs. Its
/// locals are dropped, whoever joins it is told, and a scope that it is of goes the same way.
///
/// ```
/// use gosched::runtime;
///
/// let ended = gosched::spawn(|| -> u32 { runtime::goexit() });
/// assert!(ended.join().is_err());
/// ```
pub fn goexit() -> ! {
    newproc::goexit()
}

/// Sets how many Ps there are, at most one a CPU, and returns the old number; 0 only asks. Stops
/// the world. With `sched=single` the number stays 1.
///
/// ```
/// use gosched::runtime;
///
/// let before = runtime::gomaxprocs(1);
/// assert_eq!(runtime::gomaxprocs(before), 1);
/// ```
pub fn gomaxprocs(n: usize) -> usize {
    stop::gomaxprocs(n)
}

/// CPUs that run goroutines.
///
/// ```
/// use gosched::runtime;
///
/// assert!(runtime::gomaxprocs(0) <= runtime::num_cpu());
/// ```
pub fn num_cpu() -> usize {
    SCHED.mcount()
}

/// Goroutines that exist, the calling one included and the runtime's own not.
///
/// ```
/// use gosched::runtime;
///
/// assert!(runtime::num_goroutine() >= 1);
/// ```
pub fn num_goroutine() -> usize {
    SCHED.gcount()
}

/// The goroutines that wait for what nobody can do any more, whoever else runs: a mutex whose
/// holder waits for them in its turn, a channel whose other end is out of everybody's reach. Go has
/// the like in its profile `goroutineleak`.
///
/// What is found is certain: nobody who runs, sleeps or waits for something that may still happen
/// can reach what these wait for. Not all may be found: any word in memory that looks like a
/// pointer there counts as one. Two things must not be done for that to hold: hiding pointers
/// (packed where they are not aligned, or compressed), and unlocking by memory operations instead
/// of by guards. Stops the world: under emulation for about 0.1 s for each thousand
/// goroutines, 2.3 s for ten thousand.
///
/// ```
/// use gosched::{chan, go, runtime, time};
///
/// go(|| {
///     let (sender, receiver) = chan::bounded::<u32>(0);
///     receiver.recv().unwrap(); // from itself
///     drop(sender);
/// });
/// time::sleep(time::Duration::from_millis(10));
/// let deadlocks = runtime::deadlocks();
/// assert_eq!(deadlocks.len(), 1);
/// assert_eq!(deadlocks[0].others[0].reason, "chan receive");
/// ```
pub fn deadlocks() -> Vec<Deadlock> {
    waits::deadlocks()
}

/// The number of the calling goroutine; main's is 1.
///
/// ```
/// use gosched::runtime;
///
/// assert_eq!(runtime::goid(), gosched::current().id());
/// ```
pub fn goid() -> u64 {
    getg().goid.load(Ordering::Relaxed)
}

/// The CPU that runs the caller: already history unless it is pinned.
///
/// ```
/// use gosched::runtime;
///
/// assert!(runtime::cpu() < 64);
/// ```
pub fn cpu() -> usize {
    switch::cpu_index()
}

/// Locks the goroutine to its M: only there it runs, and nothing else runs there, until as many
/// [`unlock_os_thread`]. While it waits the CPU idles, unless it is the last one that could run
/// anything. If only the first half is wanted, [`pin`] is cheap.
///
/// ```
/// use gosched::runtime;
///
/// runtime::lock_os_thread();
/// let cpu = runtime::cpu();
/// runtime::gosched();
/// assert_eq!(runtime::cpu(), cpu);
/// runtime::unlock_os_thread();
/// ```
pub fn lock_os_thread() {
    lockedm::lock_os_thread();
}

/// Undoes one [`lock_os_thread`].
pub fn unlock_os_thread() {
    lockedm::unlock_os_thread();
}

/// Moves the goroutine to a CPU and keeps it there until the guard goes. Others may use the CPU
/// too.
///
/// # Panics
/// If there is no such CPU, or the goroutine is locked to another M.
///
/// ```
/// use gosched::runtime;
///
/// let pinned = runtime::pin(0);
/// assert_eq!(runtime::cpu(), 0);
/// drop(pinned);
/// ```
pub fn pin(cpu: usize) -> PinGuard {
    PinGuard {
        before: lockedm::pin(cpu),
        not_send: PhantomData,
    }
}

/// Keeps a goroutine on its CPU; see [`pin`].
pub struct PinGuard {
    before: i32,
    not_send: PhantomData<*mut ()>,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        lockedm::unpin(self.before);
    }
}

/// Turns preemption off until the guard goes: the goroutine stays on this CPU and must not park.
/// One instruction each way. Nests.
///
/// ```
/// use gosched::runtime;
///
/// let (cpu, also) = {
///     let _on = runtime::preempt_off();
///     (runtime::cpu(), runtime::cpu())
/// };
/// assert_eq!(cpu, also);
/// ```
#[inline]
pub fn preempt_off() -> PreemptGuard {
    switch::preempt_off();
    PreemptGuard {
        not_send: PhantomData,
    }
}

/// Keeps preemption off; see [`preempt_off`].
pub struct PreemptGuard {
    not_send: PhantomData<*mut ()>,
}

impl Drop for PreemptGuard {
    #[inline]
    fn drop(&mut self) {
        switch::preempt_on();
    }
}

/// Takes a request for preemption now, if there is one: what the compiler puts at the entry of
/// every function, for loops that call none.
///
/// ```
/// use gosched::runtime;
///
/// for _ in 0..1000 {
///     runtime::safepoint(); // a loop that may be preempted here, also with preempt=coop
/// }
/// ```
#[inline]
pub fn safepoint() {
    // SAFETY: it may be called like any C function; GS base is set from the first instruction on.
    unsafe { switch::__sanitizer_cov_trace_pc() };
}

/// Nanoseconds since boot. Never goes back, on whatever CPU.
///
/// ```
/// use gosched::runtime;
///
/// let start = runtime::nanotime();
/// assert!(runtime::nanotime() >= start);
/// ```
pub fn nanotime() -> u64 {
    arch::nanotime()
}

/// The stack of the calling goroutine, or of all, in Go's dump format (Go: `runtime.Stack`).
///
/// ```
/// use gosched::runtime;
///
/// assert!(runtime::stack(false).starts_with("goroutine "));
/// ```
pub fn stack(all: bool) -> String {
    living::stack_text(all)
}

/// Prints Go's `SCHED` line every so many milliseconds while CPUs are busy; 0 stops it.
pub fn set_schedtrace(ms: u64) {
    sysmon::set_schedtrace(ms.saturating_mul(1_000_000), schedtrace::print);
}

/// Sets how waits are counted for the block profile (Go: `runtime.SetBlockProfileRate`): those of
/// `rate_ns` nanoseconds and more always, shorter ones now and then, so that the sums are right on
/// average. 1 counts all, 0 none, as from boot on. What was counted stays.
///
/// While it is 0, a wait costs one load and one branch more. Otherwise a wait that is counted costs
/// a walk of the stack and a lock that all share.
///
/// # Errors
/// No memory for the table of stacks (about 450 KiB, once); nothing has changed.
///
/// ```
/// use gosched::runtime;
///
/// runtime::set_block_profile_rate(1).expect("there is memory");
/// runtime::set_block_profile_rate(0).expect("that takes none");
/// ```
pub fn set_block_profile_rate(rate_ns: u64) -> Result<(), OutOfMemory> {
    contention::set_block_rate(rate_ns)
}

/// Sets that one in `n` contended unlocks is counted for the mutex profile (Go:
/// `runtime.SetMutexProfileFraction`), for all of them; 0 counts none, as from boot on. Returns
/// what it was.
///
/// # Errors
/// As for [`set_block_profile_rate`].
///
/// ```
/// use gosched::runtime;
///
/// let before = runtime::set_mutex_profile_fraction(5).expect("there is memory");
/// assert_eq!(runtime::set_mutex_profile_fraction(before), Ok(5));
/// ```
pub fn set_mutex_profile_fraction(n: u64) -> Result<u64, OutOfMemory> {
    contention::set_mutex_fraction(n)
}

/// Ends the image with this status, 0 to 255, at once.
///
/// ```
/// fn fail() -> ! {
///     gosched::runtime::exit(3)
/// }
/// ```
pub fn exit(status: u8) -> ! {
    fatal::exit(status)
}

/// What the scheduler has done since boot; a snapshot taken while it goes on.
#[derive(Clone, Debug)]
pub struct Stats {
    /// One for each P.
    pub ps: Vec<PStats>,
    /// One for each M.
    pub ms: Vec<MStats>,
    /// Goroutines in the global queue.
    pub runqueue: usize,
    /// Goroutines that exist.
    pub goroutines: usize,
}

/// What a P has done; see [`Stats`].
#[derive(Clone, Debug)]
pub struct PStats {
    /// Its number.
    pub id: usize,
    /// Slices begun.
    pub schedtick: u64,
    /// Goroutines in its ring.
    pub runq: usize,
    /// Times a goroutine began or went on to run.
    pub switches: u64,
    /// Goroutines taken from other Ps.
    pub steals: u64,
    /// Preemptions that the timer asked for.
    pub preempt_asked: u64,
    /// Preemptions taken at safe points.
    pub preempt_taken: u64,
    /// Preemptions by the interrupt itself.
    pub preempt_async: u64,
    /// Goroutines created.
    pub created: u64,
    /// Goroutines ended.
    pub ended: u64,
}

/// What an M has done; see [`Stats`].
#[derive(Clone, Debug)]
pub struct MStats {
    /// Its number, that of its CPU.
    pub id: usize,
    /// The P it holds.
    pub p: Option<usize>,
    /// Time in `hlt`.
    pub idle_ns: u64,
    /// Time spent looking for work.
    pub spinning_ns: u64,
    /// Interrupts sent to other CPUs.
    pub ipis_sent: u64,
    /// Interrupts received from other CPUs.
    pub ipis_got: u64,
    /// Timer interrupts.
    pub ticks: u64,
}

/// What the scheduler has done since boot.
///
/// ```
/// use gosched::runtime;
///
/// let stats = runtime::stats();
/// gosched::println!("{stats:?}");
/// ```
pub fn stats() -> Stats {
    let p_stats = |p: &crate::sched::p::P| PStats {
        id: p.index(),
        schedtick: p.schedtick.get(),
        runq: p.runq.len(),
        switches: p.stats.switches.get(),
        steals: p.stats.steals.get(),
        preempt_asked: p.stats.preempt_asked.get(),
        preempt_taken: p.stats.preempt_taken.get(),
        preempt_async: p.stats.preempt_async.get(),
        created: p.stats.created.get(),
        ended: p.stats.ended.get(),
    };
    let m_stats = |m: &crate::sched::m::M| MStats {
        id: m.id(),
        p: m.p.load(Ordering::Relaxed).map(|p| p.index()),
        idle_ns: m.stats.idle_ns.get(),
        spinning_ns: m.stats.spinning_ns.get(),
        ipis_sent: m.stats.ipis_sent.get(),
        ipis_got: m.stats.ipis_got.get(),
        ticks: m.stats.ticks.get(),
    };
    Stats {
        ps: SCHED.allp().iter().map(p_stats).collect(),
        ms: SCHED.allm().map(m_stats).collect(),
        runqueue: SCHED.runqsize.load(Ordering::Relaxed) as usize,
        goroutines: SCHED.gcount(),
    }
}

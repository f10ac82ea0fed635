//! The clock of the CPU profile: each CPU calls a handler once in so much time of its own.
//!
//! The CPU's one timer serves two: the scheduler (`M::armed_ns`) and, while a profile is taken,
//! this clock. The hardware is set to the earlier deadline; [`on_tick`] tells whose it was, and
//! puts back the other's, so that no slice ends earlier or later for a sample.
//!
//! # Protocol
//!
//! `CLOCK` holds the number of the profile and its period, 0 for none. Each M has its next
//! deadline and the number of the profile that it belongs to, both touched by its own CPU alone,
//! with interrupts off. A CPU finds out about a new profile when it next sets its timer or gets a
//! tick, which any that runs does within a slice: nobody is interrupted for it, and what is left
//! over from an old profile has another number. One that ends leaves at most one tick too early,
//! which the scheduler takes as it takes any.
//!
//! Time in `hlt` does not count: [`Sampler::skip`] moves the deadline by it. A sample that comes
//! late (interrupts were off) counts for all the periods that have passed.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::arch;
use crate::arch::TrapFrame;
use crate::sched::m::M;

/// No deadline.
const NEVER: u64 = u64::MAX;
const PERIOD_BITS: u32 = 32;

/// Number of the profile << 32 | period in ns; a period of 0: no profile.
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// A `Handler`, or null.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Called in the interrupt, for so many periods: must neither lock, allocate nor park.
pub type Handler = fn(&'static M, &TrapFrame, Sample);

/// Which sample it is.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Number of the profile.
    pub profile: u32,
    /// Periods since the last one, at least 1.
    pub periods: u32,
}

/// What an M knows of the clock.
pub struct Sampler {
    profile: AtomicU32,
    next_ns: AtomicU64,
}

/// Starts the clock. The number is another one than that of the profile before, and not 0.
pub fn start(profile: u32, period_ns: u32, handler: Handler) {
    HANDLER.store(handler as *mut (), Ordering::Relaxed);
    // Release: who sees the number sees the handler and what it works on.
    let clock = u64::from(profile) << PERIOD_BITS | u64::from(period_ns);
    CLOCK.store(clock, Ordering::Release);
}

/// Stops it. A handler may still be at work on another CPU.
pub fn stop() {
    CLOCK.store(0, Ordering::Relaxed);
}

/// Whether a profile is taken.
#[inline(always)]
pub fn is_on() -> bool {
    CLOCK.load(Ordering::Relaxed) != 0
}

impl Sampler {
    pub(super) const fn new() -> Self {
        Self {
            profile: AtomicU32::new(0),
            next_ns: AtomicU64::new(NEVER),
        }
    }

    /// Own CPU, interrupts off: the deadline of the next sample.
    #[inline(always)]
    pub(super) fn deadline(&self) -> u64 {
        match is_on() {
            true => self.next(arch::nanotime()).map_or(NEVER, |(next, _)| next),
            false => NEVER,
        }
    }

    /// The deadline and the clock that it belongs to. Joins a profile that is new here.
    #[cold]
    fn next(&self, now_ns: u64) -> Option<(u64, u64)> {
        let clock = CLOCK.load(Ordering::Acquire);
        let period_ns = u64::from(clock as u32);
        if period_ns == 0 {
            return None;
        }
        let profile = (clock >> PERIOD_BITS) as u32;
        if self.profile.load(Ordering::Relaxed) != profile {
            self.profile.store(profile, Ordering::Relaxed);
            self.next_ns.store(now_ns + period_ns, Ordering::Relaxed);
        }
        Some((self.next_ns.load(Ordering::Relaxed), clock))
    }

    /// If a sample is due, notes the next deadline.
    fn take_due(&self, now_ns: u64) -> Option<Sample> {
        let (next_ns, clock) = self.next(now_ns)?;
        let late_ns = now_ns.checked_sub(next_ns)?;
        let period_ns = u64::from(clock as u32);
        let periods = 1 + late_ns / period_ns;
        self.next_ns
            .store(next_ns + periods * period_ns, Ordering::Relaxed);
        Some(Sample {
            profile: (clock >> PERIOD_BITS) as u32,
            periods: u32::try_from(periods).unwrap_or(u32::MAX),
        })
    }

    /// Own CPU, interrupts off: it was idle for so long.
    #[inline(always)]
    pub(super) fn skip(&self, idle_ns: u64) {
        if is_on() {
            let next_ns = self.next_ns.load(Ordering::Relaxed);
            self.next_ns
                .store(next_ns.saturating_add(idle_ns), Ordering::Relaxed);
        }
    }
}

/// Interrupt, on a CPU that does not halt, while a profile is taken: takes a sample if one is due.
/// False: the scheduler's own deadline is still to come, and the timer is set for it again.
#[cold]
pub(super) fn on_tick(m: &'static M, frame: &TrapFrame) -> bool {
    let now_ns = arch::nanotime();
    if let Some(sample) = m.sampler.take_due(now_ns) {
        let handler = HANDLER.load(Ordering::Relaxed);
        // SAFETY: `start` stored a Handler before the clock that was just read.
        let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
        handler(m, frame, sample);
    }
    m.scheduler_is_due(now_ns)
}

//! Hogs: goroutines that compute without a function call, and so without a safe point.

use alloc::sync::Arc;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gosched::shell::{Command, PROGRAMS};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};
use gosched::{arch, println};
use linkme::distributed_slice;

use super::numbers;

/// Hogs at work.
pub(crate) struct Hogs {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    gave_up: Arc<AtomicBool>,
    all: WaitGroup,
}

/// Starts `n` hogs. Each runs until [`Hogs::stop`], but for `limit_ns` at most: without preemption
/// nobody could stop them.
pub(crate) fn start(n: u64, limit_ns: u64) -> Hogs {
    let hogs = Hogs {
        stop: Arc::new(AtomicBool::new(false)),
        turns: Arc::new(AtomicU64::new(0)),
        gave_up: Arc::new(AtomicBool::new(false)),
        all: WaitGroup::new(),
    };
    let until = arch::cputicks() + arch::ns_to_cputicks(limit_ns);
    for _ in 0..n {
        let (stop, turns, gave_up) = (hogs.stop.clone(), hogs.turns.clone(), hogs.gave_up.clone());
        hogs.all.go(move || {
            turns.fetch_add(turn_until(&stop, until), Ordering::Relaxed);
            if !stop.load(Ordering::Relaxed) {
                gave_up.store(true, Ordering::Relaxed);
            }
        });
    }
    hogs
}

/// Steps between two looks at the clock, which is no call, but slow where it is emulated.
const STEPS_BETWEEN_LOOKS: u64 = 10_000;

/// The loop itself, a generator of random numbers (xorshift64). Returns how many it made.
fn turn_until(stop: &AtomicBool, until: u64) -> u64 {
    let (mut turns, mut x) = (0, 1_u64);
    while !stop.load(Ordering::Relaxed) && arch::cputicks() < until {
        for _ in 0..STEPS_BETWEEN_LOOKS {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        turns += STEPS_BETWEEN_LOOKS;
    }
    // Or the compiler would see that nobody wants the numbers.
    black_box(x);
    turns
}

/// What the hogs did.
pub(crate) struct Outcome {
    /// Turns of their loops.
    pub(crate) turns: u64,
    /// Some hog reached its limit before it was stopped.
    pub(crate) gave_up: bool,
}

impl Hogs {
    /// Stops the hogs and waits for their end.
    pub(crate) fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.all.wait();
        Outcome {
            turns: self.turns.load(Ordering::Relaxed),
            gave_up: self.gave_up.load(Ordering::Relaxed),
        }
    }
}

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "hog",
    usage: "[N [SECONDS]]",
    about: "N goroutines compute without a safe point, while this one sleeps (4, 2)",
    run: |args| {
        let [n, seconds] = numbers(args, [4, 2])?;
        let limit = Duration::from_secs(seconds);
        // Nobody preempts hogs under preempt=coop or off: they give up a second later.
        let hogs = start(n, limit.as_nanos() as u64 + 1_000_000_000);
        let start = Instant::now();
        time::sleep(limit);
        let slept = start.elapsed();
        let outcome = hogs.stop();
        println!(
            "slept {slept:.3?} among {n} hogs, which turned {} times",
            outcome.turns
        );
        Ok(())
    },
};

//! Step: what a switch costs as process, thread and goroutine.

use core::fmt;

use gosched::arch::cost::{self, Kind, Workspace};
use gosched::mem::frames;
use gosched::sched::park;
use gosched::sync::WaitGroup;
use gosched::{arch, println, runtime};

use super::Step;

pub(super) const STEP: Step = Step {
    title: "Why goroutines: the cost of a switch",
    text: "A process has an address space of its own, so a switch between two writes CR3. Threads\n\
           share one, but an interrupt saves and restores all their registers. A goroutine gives\n\
           up its CPU by a call, and six registers are left to keep. Where QEMU emulates the CPU,\n\
           these are its costs; under --icount all instructions cost the same, even `int`.",
    run,
};

/// Switches there and back in one measurement: with interrupts off, so not many.
const ROUND_TRIPS: u64 = 500;
/// The best of so many counts: what interferes only adds.
const ROUNDS: usize = 20;
/// How often each of the two yields that measure the scheduler.
const YIELDS: u64 = 5_000;

fn run() {
    let workspace = Workspace {
        stack: frame(),
        idt: frame(),
        root: frame(),
    };
    let best = |kind| {
        (0..ROUNDS)
            .map(|_| measure(kind, &workspace))
            .min()
            .unwrap_or(0)
    };
    let [process, thread, goroutine] = [Kind::Process, Kind::Thread, Kind::Goroutine].map(best);
    [workspace.stack, workspace.idt, workspace.root]
        .into_iter()
        .for_each(frames::free);
    let scheduled = yields();

    println!("   process                    {}", Cost(process, goroutine));
    println!("   thread                     {}", Cost(thread, goroutine));
    println!(
        "   goroutine, the switch      {}",
        Cost(goroutine, goroutine)
    );
    println!(
        "   goroutine, by the scheduler{}",
        Cost(scheduled, goroutine)
    );
}

fn frame() -> u64 {
    frames::alloc().expect("boot leaves memory for the tour")
}

/// Thousandths of a tick for one switch.
fn measure(kind: Kind, workspace: &Workspace) -> u64 {
    // SAFETY: this is a goroutine, and the frames are ours.
    let ticks = unsafe { cost::measure(kind, ROUND_TRIPS, workspace) };
    ticks * 1_000 / (2 * ROUND_TRIPS)
}

/// Thousandths of a tick for a switch by the scheduler: two goroutines on one P that yield to each
/// other, by way of its queue.
fn yields() -> u64 {
    let procs = runtime::gomaxprocs(1);
    let both = WaitGroup::new();
    let start = arch::cputicks();
    for _ in 0..2 {
        both.go(|| (0..YIELDS).for_each(|_| park::goyield()));
    }
    both.wait();
    let ticks = arch::cputicks() - start;
    runtime::gomaxprocs(procs);
    ticks * 1_000 / (2 * YIELDS)
}

/// A cost in thousandths of a tick, and that of the goroutine to compare it with.
struct Cost(u64, u64);

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cost, unit) = *self;
        let ticks_per_us = arch::ns_to_cputicks(1_000).max(1);
        let ratio = cost * 10 / unit.max(1);
        let (ticks, ns) = (cost / 1_000, cost / ticks_per_us);
        write!(
            f,
            " {ticks:>6} ticks {ns:>6} ns {:>5}.{} x",
            ratio / 10,
            ratio % 10
        )
    }
}

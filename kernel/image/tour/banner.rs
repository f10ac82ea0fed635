//! The boot banner: what was found, a line for each subject.

use core::fmt;
use core::sync::atomic::Ordering;
use core::time::Duration;

use gosched::arch::{self, Description, Ids, Source};
use gosched::base::cmdline;
use gosched::sched::SCHED;
use gosched::{mem, println, runtime, start};

/// Prints the banner.
pub(crate) fn print() {
    let found = arch::describe();
    let usage = mem::usage();
    println!(
        "gosched {}: goroutines on bare x86-64 CPUs",
        env!("CARGO_PKG_VERSION")
    );
    println!("   cpus       {}", Cpus(&found));
    println!(
        "   memory     {} MiB, {} MiB of it free",
        usage.total >> 20,
        usage.free >> 20
    );
    println!("   clock      {}", Clock(&found));
    println!(
        "   options    gomaxprocs={} {}",
        runtime::gomaxprocs(0),
        cmdline::options()
    );
    println!("   seed       {}", SCHED.seed.load(Ordering::Relaxed));
    let booted = Duration::from_nanos(start::main_started_ns());
    println!("   boot       main began {booted:.1?} after the clock");
}

/// How many CPUs run, which, and of what kind.
struct Cpus<'a>(&'a Description);

impl fmt::Display for Cpus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        let mode = if found.x2apic { "x2APIC" } else { "xAPIC" };
        let ids = Ids(found.apic_ids.iter().copied());
        write!(
            f,
            "{} of {} run: {}, {mode} ids {ids}",
            runtime::num_cpu(),
            found.enabled,
            found.cpu
        )?;
        Ok(())
    }
}

/// Rate and origin of the clock, and the timer.
struct Clock<'a>(&'a Description);

impl fmt::Display for Clock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        let source = found.clock_source.map_or("nothing", Source::name);
        write!(
            f,
            "TSC {} MHz by {source}, timer APIC {}",
            found.tsc_hz / 1_000_000,
            found.timer
        )?;
        if found.tsc_skew_ticks != 0 {
            write!(f, ", TSCs differ by {} ticks or more", found.tsc_skew_ticks)?;
        }
        Ok(())
    }
}

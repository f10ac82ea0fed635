//! Programs to look at from the serial line: `args=NAME` chooses one, `.ci/dumps.py` types Ctrl-\
//! and Ctrl-C and sends breaks, none of which a shell hears.
//!
//! Each says `ready` when it can be looked at, and `done` at its end, some seconds later.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::time::Duration;

use gosched::arch::{self, Place, irq};
use gosched::base::cmdline::options;
use gosched::chan;
use gosched::sync::WaitGroup;
use gosched::{go, println, runtime, shell, spawn, time};

/// How long each program lets itself be looked at.
const SECONDS: u64 = 4;

fn spin(seconds: u64) {
    let end = arch::nanotime() + seconds * 1_000_000_000;
    while arch::nanotime() < end {
        arch::pause();
    }
}

/// Everybody waits.
#[inline(never)]
fn idle() {
    time::sleep(Duration::from_secs(SECONDS));
    black_box(());
}

/// More goroutines compute than there are CPUs.
fn busy() {
    let all = WaitGroup::new();
    for _ in 0..2 * runtime::num_cpu() {
        all.go(computes);
    }
    all.wait();
}

#[inline(never)]
fn computes() {
    spin(SECONDS);
    black_box(());
}

/// Every CPU has preemption off, so that no scheduler runs.
fn stuck() {
    let all = WaitGroup::new();
    for _ in 1..runtime::num_cpu() {
        all.go(keeps_the_cpu);
    }
    keeps_the_cpu();
    all.wait();
}

#[inline(never)]
fn keeps_the_cpu() {
    let _here = runtime::preempt_off();
    spin(SECONDS);
    black_box(());
}

/// One CPU has interrupts off; the others, if there are any, have nothing to do.
fn deaf() {
    deafens_the_cpu();
    time::sleep(Duration::from_millis(500));
}

#[inline(never)]
fn deafens_the_cpu() {
    let flags = irq::save();
    spin(3);
    irq::restore(flags);
    black_box(());
}

/// One CPU has interrupts off that was called to its locked goroutine, perhaps from its watch over
/// the others.
fn deaf_and_locked() {
    let (call, calls) = chan::bounded::<()>(0);
    go(move || {
        runtime::lock_os_thread();
        let _ = calls.recv();
        deafens_the_cpu();
    });
    // It waits, and watches while this one computes. Then it is called right before nobody has
    // anything to do.
    time::sleep(Duration::from_millis(100));
    spin(1);
    let _ = call.send(());
    time::sleep(Duration::from_millis(3500));
}

/// A shell whose input comes to a CPU that waits for its locked goroutine, which is main.
fn locked_shell() {
    let _here = runtime::pin(0);
    runtime::lock_os_thread();
    shell::listen();
    let end = spawn(|| shell::run(""));
    let _ = end.join();
}

/// One CPU has interrupts off, the others compute.
fn deaf_among_busy() {
    let all = WaitGroup::new();
    for _ in 1..runtime::num_cpu() {
        all.go(computes);
    }
    deafens_the_cpu();
    all.wait();
}

/// Everybody holds all others, over and over, and then one of them panics.
fn panic_among_holders() {
    for _ in 0..2 * runtime::num_cpu() {
        go(|| {
            loop {
                arch::hold(u64::MAX, Place::Anywhere, 100_000_000, |_| ());
            }
        });
    }
    time::sleep(Duration::from_millis(300));
    fails_at_work();
}

#[inline(never)]
fn fails_at_work() {
    assert!(black_box(false), "work failed");
    black_box(());
}

#[gosched::main]
fn main() {
    let name = options().args.as_deref().unwrap_or("idle");
    let (run, name): (fn(), _) = match name {
        "idle" => (idle, name),
        "busy" => (busy, name),
        "stuck" => (stuck, name),
        "deaf" => (deaf, name),
        "deaf-among-busy" => (deaf_among_busy, name),
        "deaf-and-locked" => (deaf_and_locked, name),
        "locked-shell" => (locked_shell, name),
        "panic-among-holders" => (panic_among_holders, name),
        _ => panic!("no program {name}"),
    };
    println!("{name}: ready");
    run();
    println!("{name}: done");
}

//! Takes one profile of each kind of a program whose hot spots are known, and writes them on the
//! host: `./run-qemu.sh --files DIR` with this image, then `go tool pprof DIR/cpu.pprof`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use gosched::observe::hostfile;
use gosched::runtime::pprof;
use gosched::sync::{Mutex, WaitGroup};
use gosched::{chan, go, print, println, runtime, time};

/// Three quarters of the time of a worker.
#[inline(never)]
fn hot(n: u64) -> u64 {
    let mut sum = 1;
    for i in 0..3 * n {
        sum = black_box(sum ^ i);
    }
    sum
}

/// The other quarter.
#[inline(never)]
fn warm(n: u64) -> u64 {
    let mut sum = 1;
    for i in 0..n {
        sum = black_box(sum ^ i);
    }
    sum
}

#[inline(never)]
fn worker(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        black_box(hot(10_000) ^ warm(10_000));
    }
}

/// Holds the lock for some time, so that the others wait for this function. It does not end with
/// the unlocking, which would then be a jump that leaves no frame.
#[inline(never)]
fn hold(lock: &Mutex<u64>) -> u64 {
    let mut guard = lock.lock();
    *guard += 1;
    time::sleep(Duration::from_millis(2));
    drop(guard);
    black_box(1)
}

/// Where five goroutines wait.
#[inline(never)]
fn wait_here(done: &chan::Receiver<()>) -> bool {
    black_box(done.recv().is_ok())
}

fn cpu() {
    let stop = Arc::new(AtomicBool::new(false));
    let group = WaitGroup::new();
    pprof::start_cpu_profile(pprof::DEFAULT_HZ).expect("no profile is being taken");
    for i in 0..runtime::gomaxprocs(0) {
        let stop = Arc::clone(&stop);
        let user = if i % 2 == 0 { "ann" } else { "bob" };
        pprof::with_labels(&[("user", user)], || group.go(move || worker(&stop)));
    }
    time::sleep(Duration::from_secs(2));
    let profile = pprof::stop_cpu_profile().expect("it was started");
    stop.store(true, Ordering::Relaxed);
    group.wait();
    put("cpu", &profile);
}

fn contention() {
    runtime::set_block_profile_rate(1).expect("there is memory");
    runtime::set_mutex_profile_fraction(1).expect("there is memory");
    let lock = Arc::new(Mutex::new(0));
    let group = WaitGroup::new();
    for _ in 0..4 {
        let lock = Arc::clone(&lock);
        group.go(move || {
            for _ in 0..10 {
                hold(&lock);
            }
        });
    }
    group.wait();
    runtime::set_block_profile_rate(0).expect("that takes none");
    runtime::set_mutex_profile_fraction(0).expect("that takes none");
    for name in ["block", "mutex"] {
        put(name, &pprof::lookup(name).expect("there is such a profile"));
    }
}

fn goroutines() {
    let (tx, rx) = chan::bounded::<()>(0);
    for _ in 0..5 {
        let rx = rx.clone();
        pprof::with_labels(&[("stage", "wait")], || {
            go(move || assert!(!wait_here(&rx)))
        });
    }
    time::sleep(Duration::from_millis(20));
    put(
        "goroutine",
        &pprof::lookup("goroutine").expect("there is such a profile"),
    );
    drop(tx);
}

/// Shows a profile, and writes it in both forms if there is a port for files.
fn put(name: &str, profile: &pprof::Profile) {
    print!("{}", profile.top(5));
    if !hostfile::is_attached() {
        println!("not written: {}", hostfile::Error::NoPort);
        return;
    }
    let binary = alloc::format!("{name}.pprof");
    let text = alloc::format!("{name}.txt");
    let written = hostfile::write(&binary, &profile.encode())
        .and_then(|()| hostfile::write(&text, profile.text().as_bytes()));
    match written {
        Ok(()) => println!("written to {binary} and {text}"),
        Err(error) => println!("not written: {error}"),
    }
}

#[gosched::main]
fn main() {
    cpu();
    contention();
    goroutines();
}

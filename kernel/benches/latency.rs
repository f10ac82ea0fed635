//! How late timers and preemption are, what timers and parked goroutines cost, and how work scales:
//! the same loops as in `peer/main.go`, beside which `compare.sh` runs them.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant, Timer};
use gosched::{Bencher, chan, go, mem, runtime};

const SAMPLES: usize = 5;
const TIMERS: u64 = 100_000;

/// A generator of random numbers (xorshift64).
fn next(x: u64) -> u64 {
    let x = x ^ (x << 13);
    let x = x ^ (x >> 7);
    x ^ (x << 17)
}

/// Nanoseconds for each timer to arm [`TIMERS`] of them, and to stop them, in thousandths.
fn arm_and_stop() -> (u64, u64) {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let mut timers = Vec::with_capacity(TIMERS as usize);
    let mut x = 88_172_645_463_325_252;
    let start = Instant::now();
    for _ in 0..TIMERS {
        x = next(x);
        let after = Duration::from_nanos(HOUR_NS + x % HOUR_NS);
        timers.push(Timer::after_func(after, || ()));
    }
    let armed = start.elapsed();
    for timer in &timers {
        assert!(timer.stop(), "it is due in an hour");
    }
    let each = |time: Duration| time.as_nanos() as u64 * 1000 / TIMERS;
    (each(armed), each(start.elapsed() - armed))
}

/// 100,000 timers: one of them armed and stopped.
#[gosched::bench]
fn timer_heap(b: &mut Bencher) {
    arm_and_stop();
    let sample = |_| {
        let (arm, stop) = arm_and_stop();
        arm + stop
    };
    b.record("ns/timer", (0..SAMPLES).map(sample).collect());
}

/// The value at `percent` of the samples, which it sorts.
fn percentile(samples: &mut [u64], percent: usize) -> u64 {
    samples.sort_unstable();
    samples[(samples.len() * percent / 100).min(samples.len() - 1)]
}

/// How late eight goroutines wake from sleeps of this length: nanoseconds, which are thousandths of
/// a microsecond.
fn overshoots(sleep: Duration, each: usize) -> Vec<u64> {
    let (tx, rx) = chan::unbounded();
    let all = WaitGroup::new();
    for _ in 0..8 {
        let tx = tx.clone();
        all.go(move || {
            for _ in 0..each {
                let start = Instant::now();
                time::sleep(sleep);
                let _ = tx.send((start.elapsed() - sleep).as_nanos() as u64);
            }
        });
    }
    all.wait();
    drop(tx);
    rx.iter().collect()
}

fn sleep_bench(b: &mut Bencher, sleep: Duration, percent: usize) {
    overshoots(sleep, 20);
    let sample = |_| percentile(&mut overshoots(sleep, 100), percent);
    b.record("us", (0..SAMPLES).map(sample).collect());
}

/// How late a sleep of 1 ms ends, in the median.
#[gosched::bench]
fn sleep_latency(b: &mut Bencher) {
    sleep_bench(b, Duration::from_millis(1), 50);
}

#[gosched::bench]
fn sleep_latency_p99(b: &mut Bencher) {
    sleep_bench(b, Duration::from_millis(1), 99);
}

/// How late a sleep of 10 us ends, in the median.
#[gosched::bench]
fn sleep_latency_10us(b: &mut Bencher) {
    sleep_bench(b, Duration::from_micros(10), 50);
}

#[gosched::bench]
fn sleep_latency_10us_p99(b: &mut Bencher) {
    sleep_bench(b, Duration::from_micros(10), 99);
}

/// How late a sleep of 5 ms ends while every P runs a loop without calls: microseconds, which are
/// thousandths of a millisecond.
fn wakes_beside_hogs() -> Vec<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let all = WaitGroup::new();
    for _ in 0..runtime::gomaxprocs(0) {
        let stop = stop.clone();
        all.go(move || {
            let mut x = 1;
            while !stop.load(Ordering::Relaxed) {
                x = next(x);
            }
            black_box(x);
        });
    }
    let nap = Duration::from_millis(5);
    let wake = |_| {
        let start = Instant::now();
        time::sleep(nap);
        (start.elapsed() - nap).as_micros() as u64
    };
    let wakes = (0..20).map(wake).collect();
    stop.store(true, Ordering::Relaxed);
    all.wait();
    wakes
}

fn preempt_bench(b: &mut Bencher, percent: usize) {
    let sample = |_| percentile(&mut wakes_beside_hogs(), percent);
    b.record("ms", (0..SAMPLES).map(sample).collect());
}

#[gosched::bench]
fn preempt_latency(b: &mut Bencher) {
    preempt_bench(b, 50);
}

#[gosched::bench]
fn preempt_latency_max(b: &mut Bencher) {
    preempt_bench(b, 100);
}

/// Bytes of memory that each of many parked goroutines takes: frames that are no longer free.
fn bytes_parked(n: u64) -> u64 {
    let started = Arc::new(AtomicU64::new(0));
    let (hold, held) = chan::bounded::<()>(0);
    let free = || mem::usage().free as u64;
    let before = free();
    for _ in 0..n {
        let (started, held) = (started.clone(), held.clone());
        go(move || {
            started.fetch_add(1, Ordering::Relaxed);
            let _ = held.recv();
        });
    }
    while started.load(Ordering::Relaxed) != n {
        time::sleep(Duration::from_millis(1));
    }
    let taken = before - free();
    drop(hold);
    taken * 1000 / n
}

/// Needs 600 MB: `--mem 1G`.
#[gosched::bench]
fn mem_per_goroutine(b: &mut Bencher) {
    // Once: a second time there are dead goroutines to use again.
    b.record("B", [bytes_parked(100_000)].into());
}

fn step(k: u64) -> Duration {
    let sum = Arc::new(AtomicU64::new(0));
    let all = WaitGroup::new();
    let start = Instant::now();
    for _ in 0..64 {
        let sum = sum.clone();
        all.go(move || {
            let x = (0..k).fold(88_172_645_463_325_252, |x, _| next(x));
            sum.fetch_add(x, Ordering::Relaxed);
        });
    }
    all.wait();
    start.elapsed()
}

/// How many times as fast as on one P 64 goroutines do sums that share nothing.
#[gosched::bench]
fn parallel_scaling(b: &mut Bencher) {
    const STEPS: u64 = 200_000;
    let sample = |_| {
        let before = runtime::gomaxprocs(1);
        let one = step(STEPS);
        runtime::gomaxprocs(before);
        (one.as_nanos() * 1000 / step(STEPS).as_nanos()) as u64
    };
    b.record("x", (0..SAMPLES).map(sample).collect());
}

gosched::bench_main!();

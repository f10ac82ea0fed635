//! The loops of main.go for runtimes whose tasks block as goroutines do.

use crate::Bench;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub trait Tasks: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Send + 'static;

    fn spawn(run: impl FnOnce() + Send + 'static);
    /// Runs as that many tasks and waits for all.
    fn together(tasks: usize, run: impl Fn() + Clone + Send + 'static);
    fn yield_now();
    fn sleep(time: Duration);
    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(to: &Self::Sender, value: u64);
    /// `None` once it is closed and empty.
    fn receive(from: &Self::Receiver) -> Option<u64>;
    /// By the last who has a sender.
    fn close(sender: Self::Sender);
}

pub fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

pub fn repeated(n: usize, run: impl FnMut()) -> Duration {
    timed(|| repeat(n, run))
}

pub fn repeat(n: usize, mut run: impl FnMut()) {
    (0..n).for_each(|_| run());
}

// ---- Tasks ----

fn spawn_exit<P: Tasks>(n: usize) -> Duration {
    repeated(n / 1000, || P::together(1000, || ()))
}

fn spawn_exit_seq<P: Tasks>(n: usize) -> Duration {
    repeated(n, || P::together(1, || ()))
}

fn gosched_1<P: Tasks>(n: usize) -> Duration {
    repeated(n, P::yield_now)
}

fn gosched_2<P: Tasks>(n: usize) -> Duration {
    timed(|| P::together(2, move || repeat(n / 2, P::yield_now)))
}

// ---- Channels ----

fn pingpong<P: Tasks>(n: usize) -> Duration {
    let (ping, pinged) = P::channel(0);
    let (pong, ponged) = P::channel(0);
    P::spawn(move || {
        while let Some(value) = P::receive(&pinged) {
            P::send(&pong, value);
        }
    });
    let took = repeated(n, || {
        P::send(&ping, 1);
        P::receive(&ponged);
    });
    P::close(ping);
    took
}

fn uncontended<P: Tasks>(n: usize) -> Duration {
    let (sender, receiver) = P::channel(1);
    repeated(n, || {
        P::send(&sender, 1);
        P::receive(&receiver);
    })
}

fn buf_stream<P: Tasks>(n: usize) -> Duration {
    let (sender, receiver) = P::channel(128);
    timed(|| {
        P::spawn(move || {
            (0..n as u64).for_each(|i| P::send(&sender, i));
            P::close(sender);
        });
        let sum: u64 = std::iter::from_fn(|| P::receive(&receiver)).sum();
        assert_eq!(sum, n as u64 * (n as u64 - 1) / 2);
    })
}

fn mpmc<P: Tasks>(n: usize) -> Duration
where
    P::Receiver: Clone,
{
    let (sender, receiver) = P::channel(64);
    let (ended, end) = P::channel(4);
    let got = Arc::new(AtomicU64::new(0));
    timed(|| {
        repeat(4, || {
            let (got, receiver, ended) = (got.clone(), receiver.clone(), ended.clone());
            P::spawn(move || {
                let count = std::iter::from_fn(|| P::receive(&receiver)).count();
                got.fetch_add(count as u64, Ordering::Relaxed);
                P::send(&ended, 0);
            });
        });
        let sends = sender.clone();
        P::together(4, move || {
            (0..n as u64 / 4).for_each(|i| P::send(&sends, i))
        });
        P::close(sender);
        repeat(4, || _ = P::receive(&end));
        assert_eq!(got.load(Ordering::Relaxed), n as u64 / 4 * 4);
    })
}

// ---- Locks ----

/// Four tasks for each CPU share n calls.
pub fn shared<P: Tasks>(n: usize, run: impl Fn() + Clone + Send + 'static) -> Duration {
    let tasks = 4 * crate::workers();
    timed(|| P::together(tasks, move || repeat(n / tasks, &run)))
}

// ---- Programs ----

fn ring<P: Tasks>(n: usize) -> Duration {
    const SIZE: u64 = 1000;
    const STOP: u64 = u64::MAX; // a link has the next one's only sender, around the ring
    let (done, ends) = P::channel(0);
    let (first, mut link) = P::channel(0);
    for i in 0..SIZE {
        let is_last = i + 1 == SIZE;
        let (to, next) = P::channel(0);
        let to = if is_last { first.clone() } else { to };
        let (from, done) = (std::mem::replace(&mut link, next), done.clone());
        P::spawn(move || {
            loop {
                match P::receive(&from).expect("a token") {
                    STOP => break,
                    0 => P::send(&done, 0),
                    token => P::send(&to, token - 1),
                }
            }
            if !is_last {
                P::send(&to, STOP);
            }
        });
    }
    let around = |n| {
        P::send(&first, n);
        P::receive(&ends);
    };
    around(SIZE);
    let took = timed(|| around(n as u64));
    P::send(&first, STOP);
    took
}

fn sieve_once<P: Tasks>() {
    let stop = Arc::new(AtomicBool::new(false));
    let (source, mut numbers) = P::channel(0);
    let stopped = stop.clone();
    P::spawn(move || {
        (2..)
            .take_while(|_| !stopped.load(Ordering::Relaxed))
            .for_each(|i| P::send(&source, i));
        P::close(source);
    });
    for i in 0..500 {
        let prime = P::receive(&numbers).expect("a prime");
        if i == 499 {
            assert_eq!(prime, 3571);
            break;
        }
        let (to, next) = P::channel(0);
        let from = std::mem::replace(&mut numbers, next);
        P::spawn(move || {
            while let Some(number) = P::receive(&from) {
                if number % prime != 0 {
                    P::send(&to, number);
                }
            }
            P::close(to);
        });
    }
    stop.store(true, Ordering::Relaxed);
    // What is on its way, so that all end.
    P::spawn(move || while P::receive(&numbers).is_some() {});
}

/// Only where tasks are cheap and channels bounded.
pub fn sieve<P: Tasks>(n: usize) -> Duration {
    repeated(n, sieve_once::<P>)
}

fn fib<P: Tasks>(n: u64, out: P::Sender) {
    if n < 2 {
        return P::send(&out, n);
    }
    let (sender, receiver) = P::channel(0);
    for part in [n - 1, n - 2] {
        let sender = sender.clone();
        P::spawn(move || fib::<P>(part, sender));
    }
    let part = || P::receive(&receiver).expect("a part");
    P::send(&out, part() + part());
}

fn spawn_tree<P: Tasks>(n: usize) -> Duration {
    repeated(n, || {
        let (sender, receiver) = P::channel(0);
        P::spawn(move || fib::<P>(20, sender));
        assert_eq!(P::receive(&receiver), Some(6765));
    })
}

// ---- Latency and memory ----

pub fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

/// What sleeping took beyond the time that was asked for.
fn late<P: Tasks>(sleep: Duration) -> Duration {
    timed(|| P::sleep(sleep)) - sleep
}

fn overshoot<P: Tasks>(sleep: Duration, percent: usize) -> f64 {
    let all = Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = all.clone();
    P::together(8, move || {
        repeat(100, || {
            let us = late::<P>(sleep).as_secs_f64() * 1e6;
            into.lock().expect("no panic").push(us);
        });
    });
    percentile(std::mem::take(&mut all.lock().expect("no panic")), percent)
}

fn preempt_latency<P: Tasks>(percent: usize) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, end) = P::channel(0);
    repeat(crate::workers(), || {
        let (stop, ended) = (stop.clone(), ended.clone());
        P::spawn(move || {
            let mut x = 1_u64;
            while !stop.load(Ordering::Relaxed) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
            }
            P::send(&ended, std::hint::black_box(x));
        });
    });
    let nap = Duration::from_millis(5);
    let all = (0..20)
        .map(|_| late::<P>(nap).as_secs_f64() * 1e3)
        .collect();
    stop.store(true, Ordering::Relaxed);
    repeat(crate::workers(), || _ = P::receive(&end));
    percentile(all, percent)
}

pub const PARKED: usize = 100_000;

/// What 100,000 tasks that wait take of the guest's memory.
pub fn memory_of_waiting<P: Tasks>(wait: impl Fn() + Clone + Send + 'static) -> f64 {
    let before = resident();
    let started = Arc::new(AtomicU64::new(0));
    repeat(PARKED, || {
        let (wait, started) = (wait.clone(), started.clone());
        P::spawn(move || {
            started.fetch_add(1, Ordering::Relaxed);
            wait();
        });
    });
    while started.load(Ordering::Relaxed) != PARKED as u64 {
        P::sleep(Duration::from_millis(1));
    }
    (resident() - before) / PARKED as f64
}

/// The bytes of memory that this process has.
pub fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages = statm.split(' ').nth(1).expect("the second is resident");
    pages.parse::<f64>().expect("a number") * 4096.0
}

// ---- Lists ----

pub fn of_tasks<P: Tasks>() -> Vec<Bench> {
    const SHORT: Duration = Duration::from_micros(10);
    const MS: Duration = Duration::from_millis(1);
    vec![
        Bench::value("sleep_latency", "us", || overshoot::<P>(MS, 50)),
        Bench::value("sleep_latency_p99", "us", || overshoot::<P>(MS, 99)),
        Bench::value("sleep_latency_10us", "us", || overshoot::<P>(SHORT, 50)),
        Bench::value("sleep_latency_10us_p99", "us", || overshoot::<P>(SHORT, 99)),
        Bench::batched("spawn_exit", 1000, spawn_exit::<P>),
        Bench::new("spawn_exit_seq", spawn_exit_seq::<P>),
        Bench::new("gosched_1", gosched_1::<P>).one_p(),
        Bench::batched("gosched_2", 2, gosched_2::<P>).one_p(),
        Bench::new("chan_unbuf_pingpong", pingpong::<P>).one_p(),
        Bench::new("chan_unbuf_pingpong_mp", pingpong::<P>),
        Bench::new("chan_uncontended", uncontended::<P>),
        Bench::new("ring_1000", ring::<P>),
        Bench::new("ring_1000_p1", ring::<P>).one_p(),
    ]
}

/// For channels that make a sender wait.
pub fn of_bounded<P: Tasks>() -> Vec<Bench>
where
    P::Receiver: Clone,
{
    vec![
        Bench::new("chan_buf_stream", buf_stream::<P>),
        Bench::new("chan_buf_stream_p1", buf_stream::<P>).one_p(),
        Bench::batched("chan_mpmc", 4, mpmc::<P>),
        Bench::batched("chan_mpmc_p1", 4, mpmc::<P>).one_p(),
    ]
}

/// For tasks of which there can be many thousands.
pub fn of_many<P: Tasks>() -> Vec<Bench> {
    vec![
        Bench::new("spawn_tree", spawn_tree::<P>),
        Bench::new("spawn_tree_p1", spawn_tree::<P>).one_p(),
    ]
}

/// For tasks that give way without being asked.
pub fn of_preempted<P: Tasks>() -> Vec<Bench> {
    vec![
        Bench::value("preempt_latency", "ms", || preempt_latency::<P>(50)),
        Bench::value("preempt_latency_max", "ms", || preempt_latency::<P>(100)),
    ]
}

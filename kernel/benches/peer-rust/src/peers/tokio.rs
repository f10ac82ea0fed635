//! tokio's multi-threaded runtime: tasks without stacks, so loops of their own. An unbuffered
//! channel is one of capacity 1, the least there is. It has one receiver, so no `chan_mpmc`, and a
//! task that spins is never made to give way, so no `preempt_latency`.

use crate::loops::{PARKED, percentile, resident};
use crate::{Bench, Peer};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{Mutex, RwLock, Semaphore};
use tokio::task::yield_now;
use tokio::{select, spawn};

/// Runs on a worker, where the runtime's own short ways are: the main thread is not one.
fn on_worker<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(crate::workers())
            .enable_time()
            .build()
            .expect("a runtime")
    };
    RUNTIME
        .get_or_init(build)
        .block_on(async { spawn(future).await.expect("no panic") })
}

/// Runs as that many tasks and waits for all.
async fn together<F>(tasks: usize, task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let all: Vec<_> = (0..tasks).map(|_| spawn(task())).collect();
    for one in all {
        one.await.expect("no panic");
    }
}

async fn spawn_exit(n: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..n / 1000 {
        together(1000, || async {}).await;
    }
    start.elapsed()
}

async fn spawn_exit_seq(n: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        together(1, || async {}).await;
    }
    start.elapsed()
}

async fn yields(n: usize) {
    for _ in 0..n {
        yield_now().await;
    }
}

async fn gosched_1(n: usize) -> Duration {
    let start = Instant::now();
    yields(n).await;
    start.elapsed()
}

async fn gosched_2(n: usize) -> Duration {
    let start = Instant::now();
    together(2, || yields(n / 2)).await;
    start.elapsed()
}

// ---- Channels ----

async fn send(to: &Sender<u64>, value: u64) {
    let _ = to.send(value).await; // nobody receives any more at the end of a loop
}

async fn pingpong(n: usize) -> Duration {
    let (ping, mut pinged) = channel(1);
    let (pong, mut ponged) = channel(1);
    spawn(async move {
        while let Some(value) = pinged.recv().await {
            send(&pong, value).await;
        }
    });
    let start = Instant::now();
    for _ in 0..n {
        send(&ping, 1).await;
        ponged.recv().await;
    }
    start.elapsed()
}

async fn uncontended(n: usize) -> Duration {
    let (sender, mut receiver) = channel(1);
    let start = Instant::now();
    for _ in 0..n {
        send(&sender, 1).await;
        receiver.recv().await;
    }
    start.elapsed()
}

async fn buf_stream(n: usize) -> Duration {
    let (sender, mut receiver) = channel(128);
    let start = Instant::now();
    spawn(async move {
        for i in 0..n as u64 {
            send(&sender, i).await;
        }
    });
    let mut sum = 0;
    while let Some(value) = receiver.recv().await {
        sum += value;
    }
    assert_eq!(sum, n as u64 * (n as u64 - 1) / 2);
    start.elapsed()
}

async fn select_2(n: usize) -> Duration {
    let (to_a, mut a) = channel(1);
    let (to_b, mut b) = channel(1);
    send(&to_a, 0).await;
    let start = Instant::now();
    for _ in 0..n {
        let other = select! {
            _ = a.recv() => &to_b,
            _ = b.recv() => &to_a,
        };
        send(other, 0).await;
    }
    start.elapsed()
}

async fn select_default(n: usize) -> Duration {
    let (_sender, mut c) = channel::<u64>(1);
    let start = Instant::now();
    for _ in 0..n {
        assert!(c.try_recv().is_err(), "nobody sends");
    }
    start.elapsed()
}

async fn select_2_default(n: usize) -> Duration {
    let (_to_a, mut a) = channel::<u64>(1);
    let (_to_b, mut b) = channel::<u64>(1);
    let start = Instant::now();
    for _ in 0..n {
        select! {
            biased;
            _ = a.recv() => panic!("nobody sends"),
            _ = b.recv() => panic!("nobody sends"),
            () = std::future::ready(()) => {}
        }
    }
    start.elapsed()
}

async fn select_block(n: usize) -> Duration {
    let (to_a, mut a) = channel(1);
    let (to_b, mut b) = channel(1);
    let (ack, mut acked) = channel(1);
    spawn(async move {
        for i in 0..n {
            send(if i % 2 == 0 { &to_a } else { &to_b }, 1).await;
            acked.recv().await;
        }
    });
    let start = Instant::now();
    for _ in 0..n {
        select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
        }
        send(&ack, 1).await;
    }
    start.elapsed()
}

// ---- Locks ----

async fn mutex_uncontended(n: usize) -> Duration {
    let mutex = Mutex::new(0_u64);
    let start = Instant::now();
    for _ in 0..n {
        *mutex.lock().await += 1;
    }
    start.elapsed()
}

async fn mutex_contended(n: usize) -> Duration {
    let mutex = Arc::new(Mutex::new(0_u64));
    let tasks = 4 * crate::workers();
    let start = Instant::now();
    let share = || {
        let mutex = mutex.clone();
        async move {
            for _ in 0..n / tasks {
                *mutex.lock().await += 1;
            }
        }
    };
    together(tasks, share).await;
    start.elapsed()
}

async fn rwmutex_read(n: usize) -> Duration {
    let lock = RwLock::new(());
    let start = Instant::now();
    for _ in 0..n {
        drop(lock.read().await);
    }
    start.elapsed()
}

async fn rwmutex_read_par(n: usize) -> Duration {
    let lock = Arc::new(RwLock::new(()));
    let tasks = 4 * crate::workers();
    let start = Instant::now();
    let share = || {
        let lock = lock.clone();
        async move {
            for _ in 0..n / tasks {
                drop(lock.read().await);
            }
        }
    };
    together(tasks, share).await;
    start.elapsed()
}

// ---- Programs ----

async fn ring(n: usize) -> Duration {
    const SIZE: u64 = 1000;
    const STOP: u64 = u64::MAX; // a link has the next one's only sender, around the ring
    let (done, mut ends) = channel(1);
    let (first, mut link) = channel(1);
    for i in 0..SIZE {
        let is_last = i + 1 == SIZE;
        let (to, next) = channel(1);
        let to = if is_last { first.clone() } else { to };
        let (mut from, done) = (std::mem::replace(&mut link, next), done.clone());
        spawn(async move {
            loop {
                match from.recv().await.expect("a token") {
                    STOP => break,
                    0 => send(&done, 0).await,
                    token => send(&to, token - 1).await,
                }
            }
            if !is_last {
                send(&to, STOP).await;
            }
        });
    }
    send(&first, SIZE).await;
    ends.recv().await;
    let start = Instant::now();
    send(&first, n as u64).await;
    ends.recv().await;
    let took = start.elapsed();
    send(&first, STOP).await;
    took
}

async fn sieve_once() {
    let stop = Arc::new(AtomicBool::new(false));
    let (source, mut numbers) = channel(1);
    let stopped = stop.clone();
    spawn(async move {
        let mut i = 2;
        while !stopped.load(Ordering::Relaxed) {
            send(&source, i).await;
            i += 1;
        }
    });
    for i in 0..500 {
        let prime = numbers.recv().await.expect("a prime");
        if i == 499 {
            assert_eq!(prime, 3571);
            break;
        }
        let (to, next) = channel(1);
        let mut from = std::mem::replace(&mut numbers, next);
        spawn(async move {
            while let Some(number) = from.recv().await {
                if number % prime != 0 {
                    send(&to, number).await;
                }
            }
        });
    }
    stop.store(true, Ordering::Relaxed);
    // What is on its way, so that all end.
    spawn(async move { while numbers.recv().await.is_some() {} });
}

async fn sieve(n: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        sieve_once().await;
    }
    start.elapsed()
}

/// Boxed, for a task that spawns its own kind.
fn fib(n: u64, out: Sender<u64>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return send(&out, n).await;
        }
        let (sender, mut receiver) = channel(1);
        spawn(fib(n - 1, sender.clone()));
        spawn(fib(n - 2, sender));
        let mut sum = 0;
        for _ in 0..2 {
            sum += receiver.recv().await.expect("a part");
        }
        send(&out, sum).await;
    })
}

async fn spawn_tree(n: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        let (sender, mut receiver) = channel(1);
        spawn(fib(20, sender));
        assert_eq!(receiver.recv().await, Some(6765));
    }
    start.elapsed()
}

// ---- Latency and memory ----

async fn overshoot(sleep: Duration, percent: usize) -> f64 {
    let all = Arc::new(std::sync::Mutex::new(Vec::new()));
    let late = || {
        let all = all.clone();
        async move {
            for _ in 0..100 {
                let start = Instant::now();
                tokio::time::sleep(sleep).await;
                let us = (start.elapsed() - sleep).as_secs_f64() * 1e6;
                all.lock().expect("no panic").push(us);
            }
        }
    };
    together(8, late).await;
    percentile(std::mem::take(&mut all.lock().expect("no panic")), percent)
}

async fn mem_per_goroutine() -> f64 {
    let before = resident();
    let held = Arc::new(Semaphore::new(0));
    let started = Arc::new(AtomicU64::new(0));
    for _ in 0..PARKED {
        let (held, started) = (held.clone(), started.clone());
        spawn(async move {
            started.fetch_add(1, Ordering::Relaxed);
            let _ = held.acquire().await;
        });
    }
    while started.load(Ordering::Relaxed) != PARKED as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (resident() - before) / PARKED as f64
}

pub fn peer() -> Peer {
    const SHORT: Duration = Duration::from_micros(10);
    const MS: Duration = Duration::from_millis(1);
    let benches = vec![
        Bench::once("mem_per_goroutine", "B", || on_worker(mem_per_goroutine())),
        Bench::value("sleep_latency", "us", || on_worker(overshoot(MS, 50))),
        Bench::value("sleep_latency_p99", "us", || on_worker(overshoot(MS, 99))),
        Bench::value("sleep_latency_10us", "us", || {
            on_worker(overshoot(SHORT, 50))
        }),
        Bench::value("sleep_latency_10us_p99", "us", || {
            on_worker(overshoot(SHORT, 99))
        }),
        Bench::batched("spawn_exit", 1000, |n| on_worker(spawn_exit(n))),
        Bench::new("spawn_exit_seq", |n| on_worker(spawn_exit_seq(n))),
        Bench::new("gosched_1", |n| on_worker(gosched_1(n))).one_p(),
        Bench::batched("gosched_2", 2, |n| on_worker(gosched_2(n))).one_p(),
        Bench::new("chan_unbuf_pingpong", |n| on_worker(pingpong(n))).one_p(),
        Bench::new("chan_unbuf_pingpong_mp", |n| on_worker(pingpong(n))),
        Bench::new("chan_buf_stream", |n| on_worker(buf_stream(n))),
        Bench::new("chan_buf_stream_p1", |n| on_worker(buf_stream(n))).one_p(),
        Bench::new("chan_uncontended", |n| on_worker(uncontended(n))),
        Bench::new("select_2", |n| on_worker(select_2(n))),
        Bench::new("select_default", |n| on_worker(select_default(n))),
        Bench::new("select_2_default", |n| on_worker(select_2_default(n))),
        Bench::new("select_block", |n| on_worker(select_block(n))).one_p(),
        Bench::new("mutex_uncontended", |n| on_worker(mutex_uncontended(n))),
        Bench::new("mutex_contended", |n| on_worker(mutex_contended(n))),
        Bench::new("rwmutex_read", |n| on_worker(rwmutex_read(n))),
        Bench::new("rwmutex_read_par", |n| on_worker(rwmutex_read_par(n))),
        Bench::new("ring_1000", |n| on_worker(ring(n))),
        Bench::new("ring_1000_p1", |n| on_worker(ring(n))).one_p(),
        Bench::new("sieve", |n| on_worker(sieve(n))),
        Bench::new("sieve_p1", |n| on_worker(sieve(n))).one_p(),
        Bench::new("spawn_tree", |n| on_worker(spawn_tree(n))),
        Bench::new("spawn_tree_p1", |n| on_worker(spawn_tree(n))).one_p(),
    ];
    Peer {
        benches,
        enter: |_, run| run(),
    }
}

//! Every part of the library once, each with a result that is checked: goroutines, channels,
//! `select!`, timers, locks, groups, contexts, coroutines, strings. Small, so that it can be booted
//! a hundred times, with another fault each time (`faults=`); its last line says that all was
//! right.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use gosched::chan::{self, RecvTimeoutError};
use gosched::context::Context;
use gosched::coro;
use gosched::sync::{
    Barrier, Condvar, ErrGroup, Mutex, OnceLock, Pool, RwLock, Semaphore, WaitGroup,
};
use gosched::time::{self, Duration, Ticker, Timer};
use gosched::{go, goroutine_local, println, runtime, scope, select, spawn};

/// How long a wait may take that must end: long for a machine with faults, short for a hang.
const SOON: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

fn goroutines() {
    let group = Arc::new(WaitGroup::new());
    let sum = Arc::new(Mutex::new(0));
    for i in 0..20 {
        let (group, sum) = (Arc::clone(&group), Arc::clone(&sum));
        group.add(1);
        go(move || {
            *sum.lock() += i;
            runtime::gosched();
            group.done();
        });
    }
    group.wait();
    assert_eq!(*sum.lock(), 190);
    let squares: Vec<_> = (0..5).map(|i| spawn(move || i * i)).collect();
    let squares: Vec<i32> = squares.into_iter().filter_map(|s| s.join().ok()).collect();
    assert_eq!(squares, [0, 1, 4, 9, 16]);
    let mut parts = [0; 4];
    scope(|s| {
        for (i, part) in parts.iter_mut().enumerate() {
            s.spawn(move || *part = i + 1);
        }
    });
    assert_eq!(parts, [1, 2, 3, 4]);
    let named = gosched::Builder::new().name("deep").stack_size(1 << 20);
    // Memory for it may be refused: then nothing ran.
    match named.spawn(|| deep(200)) {
        Ok(handle) => assert_eq!(handle.join().ok(), Some(20_100)),
        Err(error) => println!("spawn: {error}"),
    }
}

/// Uses some hundred bytes of stack for each step, so that the stack grows.
#[inline(never)]
fn deep(n: u64) -> u64 {
    let room = core::hint::black_box([n; 64]);
    if n == 0 { 0 } else { room[7] + deep(n - 1) }
}

fn channels() {
    for capacity in [0, 1, 64] {
        let (tx, rx) = chan::bounded(capacity);
        for part in 0..4u64 {
            let tx = tx.clone();
            go(move || (0..50).for_each(|i| tx.send(part * 50 + i).unwrap_or(())));
        }
        drop(tx);
        assert_eq!(rx.iter().sum::<u64>(), 199 * 200 / 2);
    }
    let (tx, rx) = chan::unbounded();
    let texts = (0..100).map(|i| format!("text {i}"));
    texts.for_each(|text| tx.send(text).unwrap_or(()));
    let _ = tx.close();
    assert_eq!(rx.iter().map(|text: String| text.len()).sum::<usize>(), 690);
}

fn selects() {
    let (left_tx, left) = chan::bounded(0);
    let (right_tx, right) = chan::bounded(1);
    let sender = spawn(move || {
        for i in 0..50u32 {
            select! {
                send(left_tx, i) -> sent => assert!(sent.is_ok()),
                send(right_tx, i) -> sent => assert!(sent.is_ok()),
            }
        }
    });
    let mut got = Vec::new();
    while got.len() < 50 {
        select! {
            recv(left) -> value => got.extend(value),
            recv(right) -> value => got.extend(value),
            default(SOON) => panic!("nothing came for {SOON:?}"),
        }
    }
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..50));
    assert!(sender.join().is_ok());
}

fn timers() {
    let start = time::Instant::now();
    time::sleep(2 * MS);
    assert!(start.elapsed() >= 2 * MS);
    let (tx, rx) = chan::bounded(8);
    for i in (1..=4).rev() {
        let tx = tx.clone();
        let _ = Timer::after_func(i * MS, move || tx.send(i).unwrap_or(()));
    }
    let mut fired: Vec<u32> = (0..4).filter_map(|_| rx.recv_timeout(SOON).ok()).collect();
    fired.sort_unstable(); // each runs in a goroutine of its own
    assert_eq!(fired, [1, 2, 3, 4]);
    let ticker = Ticker::new(MS);
    for _ in 0..3 {
        assert!(ticker.channel().recv_timeout(SOON).is_ok());
    }
    ticker.stop();
    let (_quiet, never) = chan::bounded::<()>(0);
    assert_eq!(never.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
}

fn locks() {
    let shared = Arc::new((Mutex::new(0), Condvar::new(), RwLock::new(BTreeMap::new())));
    let barrier = Arc::new(Barrier::new(4));
    let permits = Arc::new(Semaphore::new(2));
    let workers: Vec<_> = (0..4)
        .map(|i| {
            let (shared, barrier, permits) = (
                Arc::clone(&shared),
                Arc::clone(&barrier),
                Arc::clone(&permits),
            );
            spawn(move || {
                permits.acquire(1);
                shared.2.write().insert(i, format!("worker {i}"));
                permits.release(1);
                barrier.wait();
                assert_eq!(shared.2.read().len(), 4);
                *shared.0.lock() += 1;
                shared.1.notify_all();
            })
        })
        .collect();
    let mut done = shared.0.lock();
    while *done < 4 {
        done = shared.1.wait(done);
    }
    drop(done);
    workers.into_iter().for_each(|w| assert!(w.join().is_ok()));
    let once = OnceLock::new();
    assert_eq!(once.get_or_init(|| String::from("once")), "once");
}

fn groups() {
    let group = ErrGroup::new();
    group.set_limit(2);
    for i in 0..6 {
        group.go(move || if i == 3 { Err(i) } else { Ok(()) });
    }
    assert_eq!(group.wait(), Err(3));
    let pool = Pool::new(|| Vec::with_capacity(16));
    let mut buffer: Vec<u8> = pool.get();
    buffer.push(1);
    pool.put(buffer);
    let (context, cancel) = Context::background().with_cancel();
    let waiter =
        spawn(move || context.done().recv_timeout(SOON).is_err() && context.err().is_some());
    cancel();
    assert_eq!(waiter.join().ok(), Some(true));
    let odd = coro::pull(|give| {
        let _ = (0..5).all(|i| give(2 * i + 1));
    });
    assert_eq!(odd.sum::<i32>(), 25);
}

goroutine_local! {
    static COUNT: Cell<u32> = Cell::new(7);
}

fn locals() {
    COUNT.set(8);
    assert_eq!(spawn(|| COUNT.get()).join().ok(), Some(7));
    assert_eq!(COUNT.get(), 8);
    assert!(runtime::stack(true).contains("everything::locals"));
}

#[gosched::main]
fn main() {
    let parts: [(&str, fn()); 7] = [
        ("goroutines", goroutines),
        ("channels", channels),
        ("selects", selects),
        ("timers", timers),
        ("locks", locks),
        ("groups", groups),
        ("locals", locals),
    ];
    for (name, part) in parts {
        part();
        println!("{name}: right");
    }
    println!("everything: right");
}

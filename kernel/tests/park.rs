//! `park`, `unpark` and handles.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

extern crate alloc;

mod common;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::eventually;
use common::watch::until_it_waits;
use gosched::time::{self, Duration, Instant};
use gosched::{Goroutine, chan, current, go, park, park_timeout, runtime, scope, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);

/// An `unpark` that comes first and is forgotten, or counted twice.
#[gosched::test]
fn the_token_waits_for_park_and_is_one() {
    for _ in 0..3 {
        current().unpark();
    }
    park();
    let start = Instant::now();
    park_timeout(3 * MS);
    assert!(start.elapsed() >= 3 * MS, "there was a second token");
}

/// A park that returns without a token, or is not woken.
#[gosched::test]
fn park_blocks_until_unpark() {
    let woken = Arc::new(AtomicBool::new(false));
    let flag = woken.clone();
    let parked = spawn(move || {
        park();
        flag.store(true, Ordering::Relaxed);
    });
    until_it_waits(parked.id(), "park");
    time::sleep(2 * MS);
    assert!(!woken.load(Ordering::Relaxed));
    parked.goroutine().unpark();
    parked.join().unwrap();
}

/// A limit that ends the wait early, takes a token with it, or leaves one.
#[gosched::test]
fn park_timeout_neither_loses_nor_makes_tokens() {
    let parked = current();
    let mut tokens = 0;
    for i in 0..300 {
        let waker = parked.clone();
        let late = Duration::from_micros(i % 60 * 10);
        let waker = spawn(move || {
            time::sleep(late);
            waker.unpark();
        });
        let (start, limit) = (Instant::now(), Duration::from_micros(300));
        park_timeout(limit);
        let in_time = start.elapsed() < limit;
        tokens += u32::from(in_time);
        waker.join().unwrap();
        // Whether its token was taken is not known if both came at about the same time.
        if in_time {
            let start = Instant::now();
            park_timeout(Duration::from_micros(100));
            assert!(
                start.elapsed() >= Duration::from_micros(100),
                "a token too many"
            );
        }
        park_timeout(Duration::ZERO);
    }
    park_timeout(Duration::ZERO);
    gosched::println!("{tokens} of 300 came in time");
}

/// Eight goroutines unpark one that counts what they published: a lost token leaves it parked for
/// ever with work to do.
#[gosched::test]
fn a_storm_of_unparks_loses_nothing() {
    const WAKERS: usize = 8;
    const EACH: usize = 5000;
    let published = Arc::new(AtomicUsize::new(0));
    let work = published.clone();
    let worker = spawn(move || {
        let mut done = 0;
        while done < WAKERS * EACH {
            let all = work.load(Ordering::Acquire);
            if done == all {
                park();
            }
            done = all;
        }
    });
    let handle = worker.goroutine().clone();
    scope(|s| {
        for _ in 0..WAKERS {
            s.spawn(|| {
                for i in 0..EACH {
                    published.fetch_add(1, Ordering::Release);
                    handle.unpark();
                    if i % 64 == 0 {
                        yield_now();
                    }
                }
            });
        }
    });
    worker.join().unwrap();
}

/// Two that only park and unpark each other: one lost token stops both.
#[gosched::test]
fn parked_ping_pong() {
    fn play(turn: &AtomicUsize, me: usize, other: &Goroutine) {
        for i in 0..10_000 {
            while turn.load(Ordering::Acquire) != 2 * i + me {
                park();
            }
            turn.fetch_add(1, Ordering::Release);
            other.unpark();
        }
    }
    let turn = AtomicUsize::new(0);
    let first = current();
    scope(|s| {
        let turn = &turn;
        let second = s.spawn(move || play(turn, 1, &first));
        play(turn, 0, second.goroutine());
    });
    assert_eq!(turn.into_inner(), 20_000);
    park_timeout(Duration::ZERO);
}

/// A handle that outlives its goroutine wakes the next one on the same G.
#[gosched::test]
fn unpark_of_an_ended_goroutine_does_nothing() {
    let ended: Vec<Goroutine> = (0..100)
        .map(|_| {
            let handle = spawn(|| ());
            let goroutine = handle.goroutine().clone();
            handle.join().unwrap();
            goroutine
        })
        .collect();
    let parked: Vec<_> = (0..100).map(|_| spawn(park)).collect();
    for _ in 0..10 {
        ended.iter().for_each(Goroutine::unpark);
        yield_now();
    }
    time::sleep(2 * MS);
    ended.iter().for_each(Goroutine::unpark);
    for handle in parked {
        assert!(!handle.is_finished(), "it took the token of another one");
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

/// Handles to goroutines that were made without one.
#[gosched::test]
fn goroutines_of_the_go_statement_have_handles_too() {
    let (tx, rx) = chan::bounded(1);
    go(move || {
        tx.send(current()).unwrap();
        park();
    });
    let handle = rx.recv().unwrap();
    assert_eq!(handle.name(), None);
    until_it_waits(handle.id(), "park");
    handle.unpark();
    assert!(eventually(
        || !runtime::stack(true).contains(&format!("goroutine {} [", handle.id()))
    ));
}

gosched::test_main!();

//! Selecting: which case is chosen, and what becomes of values.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "tests")]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use gosched::chan::{self, Select};
use gosched::sync::WaitGroup;
use gosched::{go, runtime, select};

/// Both directions, ready and not, with and without default.
#[gosched::test]
fn smoke() {
    let (s1, r1) = chan::unbounded::<i32>();
    let (s2, r2) = chan::bounded::<i32>(0);
    s1.send(1).unwrap();
    select! {
        recv(r1) -> v => assert_eq!(v, Ok(1)),
        recv(r2) -> _ => panic!(),
    }
    select! {
        recv(r1) -> _ => panic!(),
        send(s2, 5) -> _ => panic!(),
        default => {}
    }
    select! {
        recv(r1) -> _ => panic!(),
        default(Duration::from_millis(2)) => {}
    }
    go(move || s2.send(7).unwrap());
    let x = select! {
        recv(r1) -> _ => 0,
        recv(r2) -> v => v.unwrap(),
    };
    assert_eq!(x, 7);
    let none: Option<&chan::Receiver<i32>> = None;
    drop(s1);
    select! {
        recv(none) -> _ => panic!(),
        recv(r1) -> v => { assert!(v.is_err()); drop(r1) }
    }
}

/// A select-send that waits on a rendezvous channel is met by `try_recv`: its value comes.
#[gosched::test]
fn a_waiting_select_send_is_met_by_every_kind_of_receive() {
    let (s, r) = chan::bounded::<usize>(0);
    let (_s2, never) = chan::bounded::<usize>(0);
    for round in 0..300 {
        let (s, quiet) = (s.clone(), never.clone());
        go(move || {
            let value = || {
                runtime::gosched();
                round
            };
            select! {
                recv(quiet) -> _ => panic!(),
                send(s, value()) -> res => res.unwrap(),
            }
        });
        let got = match round % 4 {
            0 => r.recv().unwrap(),
            1 => loop {
                if let Ok(v) = r.try_recv() {
                    break v;
                }
                runtime::gosched();
            },
            2 => select! { recv(r) -> v => v.unwrap(), recv(never) -> _ => panic!() },
            _ => {
                let mut sel = Select::new();
                sel.recv(&never);
                let index = sel.recv(&r);
                let operation = sel.select();
                assert_eq!(operation.index(), index);
                operation.recv(&r).unwrap()
            }
        };
        assert_eq!(got, round);
    }
}

/// Senders and receivers that all select lose nothing.
#[gosched::test]
fn selects_on_both_sides_lose_nothing() {
    let chans: Vec<_> = [0, 0, 1, 3].map(chan::bounded::<u64>).into_iter().collect();
    let (total_s, total_r) = chan::unbounded();
    let wg = WaitGroup::new();
    for g in 0..8u64 {
        let s: Vec<_> = chans.iter().map(|c| c.0.clone()).collect();
        wg.go(move || {
            for i in 0..500u64 {
                let v = g * 1000 + i;
                select! {
                    send(s[0], v) -> r => r.unwrap(),
                    send(s[1], v) -> r => r.unwrap(),
                    send(s[2], v) -> r => r.unwrap(),
                    send(s[3], v) -> r => r.unwrap(),
                }
            }
        });
    }
    for _ in 0..8 {
        let r: Vec<_> = chans.iter().map(|c| c.1.clone()).collect();
        let total_s = total_s.clone();
        go(move || {
            let (mut sum, mut count) = (0, 0);
            let mut open = [true; 4];
            while open.iter().any(|&o| o) {
                let mut sel = Select::new();
                let index: Vec<_> = (0..4)
                    .filter(|&i| open[i])
                    .inspect(|&i| {
                        sel.recv(&r[i]);
                    })
                    .collect();
                let op = sel.select();
                let i = index[op.index()];
                match op.recv(&r[i]) {
                    Ok(v) => {
                        sum += v;
                        count += 1;
                    }
                    Err(_) => open[i] = false,
                }
            }
            total_s.send((sum, count)).unwrap();
        });
    }
    wg.wait();
    drop(chans);
    let (mut sum, mut count) = (0, 0);
    for _ in 0..8 {
        let (s, c) = total_r.recv().unwrap();
        sum += s;
        count += c;
    }
    let want: u64 = (0..8)
        .map(|g| (0..500).map(|i| g * 1000 + i).sum::<u64>())
        .sum();
    assert_eq!((sum, count), (want, 4000));
}

/// `ready` wakes for what others do, and chooses nothing.
#[gosched::test]
fn ready_waits_for_readiness() {
    let (s, r) = chan::bounded::<i32>(0);
    let (s1, r1) = chan::bounded::<i32>(1);
    go(move || {
        s.send(1).unwrap();
        runtime::gosched();
        s1.send(2).unwrap();
    });
    let mut sel = Select::new();
    let (a, b) = (sel.recv(&r), sel.recv(&r1));
    let mut got = Vec::new();
    while got.len() < 2 {
        let i = sel.ready();
        let v = if i == a {
            r.try_recv()
        } else {
            assert_eq!(i, b);
            r1.try_recv()
        };
        match v {
            Ok(v) => got.push(v),
            Err(e) if e.is_disconnected() => sel.remove(i),
            Err(_) => {}
        }
    }
    assert_eq!(got, [1, 2]);
}

gosched::test_main!();

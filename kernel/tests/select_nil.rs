//! Select with Go's nil channels, which are `None` here, and with no case at all.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::vec::Vec;

use chans::{Count, ms, until_parked, us};
use gosched::chan::{self, Receiver, RecvError, Sender};
use gosched::sync::WaitGroup;
use gosched::{go, runtime, select, select_biased};

/// A `None` that is ready, also as disconnected, or that is looked into.
#[gosched::test]
fn none_is_never_ready() {
    let none: Option<&Receiver<u8>> = None;
    let no_sender: Option<&Sender<u8>> = None;
    select! { recv(none) -> _ => panic!("received from nothing"), default => {} }
    select! { recv(none) -> _ => panic!("received from nothing"), default(ms(1)) => {} }
    select! { send(no_sender, 1) -> _ => panic!("sent to nothing"), default => {} }
    select_biased! {
        recv(none) -> _ => panic!("received from nothing"),
        send(no_sender, panic!("a value for nothing")) -> _ => {}
        default(us(200)) => {}
    }
    let (tx, rx) = chan::bounded(1);
    tx.send(1).unwrap();
    for _ in 0..50 {
        select! {
            recv(none) -> _ => panic!("received from nothing"),
            recv(Some(&rx)) -> n => tx.send(n.unwrap()).unwrap(),
            send(no_sender, 1) -> _ => panic!("sent to nothing"),
        }
    }
}

/// `Some` is the channel itself, in both directions, by value and by reference.
#[gosched::test]
fn some_is_the_channel() {
    let (tx, rx) = chan::bounded(2);
    select! { send(Some(&tx), 1) -> sent => assert_eq!(sent, Ok(())) }
    select! { recv(Some(&rx)) -> n => assert_eq!(n, Ok(1)) }
    let (some_tx, some_rx) = (Some(tx), Some(rx));
    select! { send(some_tx.as_ref(), 2) -> sent => assert_eq!(sent, Ok(())) }
    select! { recv(some_rx.as_ref()) -> n => assert_eq!(n, Ok(2)) }
    drop(some_tx);
    select! {
        recv(some_rx.as_ref()) -> end => assert_eq!(end, Err(RecvError)),
        default => panic!("the end is ready"),
    }
}

/// Go's idiom: a source that has ended becomes nil, and the loop ends when all are.
#[gosched::test]
fn ended_sources_are_taken_out_of_the_loop() {
    let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(0), chan::bounded(3));
    go(move || (0..100).for_each(|n| tx1.send(n).unwrap()));
    go(move || (100..300).for_each(|n| tx2.send(n).unwrap()));
    let (mut first, mut second) = (Some(&rx1), Some(&rx2));
    let mut sum = 0;
    while first.is_some() || second.is_some() {
        select! {
            recv(first) -> n => match n {
                Ok(n) => sum += n,
                Err(RecvError) => first = None,
            },
            recv(second) -> n => match n {
                Ok(n) => sum += n,
                Err(RecvError) => second = None,
            },
        }
    }
    assert_eq!(sum, 299 * 300 / 2);
}

/// Go's TestSelectStress: plain operations and selects mixed over four channels, each case out of
/// the game after its share.
#[gosched::test]
fn four_channels_under_stress_with_cases_that_go_nil() {
    const SHARE: usize = 4000;
    let channels = [0, 0, 2, 3].map(chan::bounded::<usize>);
    let group = WaitGroup::new();
    for (tx, rx) in channels.clone() {
        group.go(move || {
            for n in 0..SHARE {
                tx.send(n).unwrap();
                if n % 64 == 0 {
                    runtime::gosched();
                }
            }
        });
        group.go(move || (0..SHARE).for_each(|_| _ = rx.recv().unwrap()));
    }
    let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
    group.go(move || {
        let mut left = [SHARE; 4];
        let mut txs: Vec<Option<&Sender<usize>>> = senders.iter().map(Some).collect();
        for _ in 0..4 * SHARE {
            let i = select! {
                send(txs[3], 0) -> sent => { sent.unwrap(); 3 }
                send(txs[2], 0) -> sent => { sent.unwrap(); 2 }
                send(txs[0], 0) -> sent => { sent.unwrap(); 0 }
                send(txs[1], 0) -> sent => { sent.unwrap(); 1 }
            };
            left[i] -= 1;
            if left[i] == 0 {
                txs[i] = None;
            }
        }
        assert_eq!(left, [0; 4]);
    });
    group.go(move || {
        let mut left = [SHARE; 4];
        let mut rxs: Vec<Option<&Receiver<usize>>> = receivers.iter().map(Some).collect();
        for _ in 0..4 * SHARE {
            let i = select! {
                recv(rxs[0]) -> n => { n.unwrap(); 0 }
                recv(rxs[1]) -> n => { n.unwrap(); 1 }
                recv(rxs[2]) -> n => { n.unwrap(); 2 }
                recv(rxs[3]) -> n => { n.unwrap(); 3 }
            };
            left[i] -= 1;
            if left[i] == 0 {
                rxs[i] = None;
            }
        }
        assert_eq!(left, [0; 4]);
    });
    group.wait();
}

/// Go's select3.go: a select of nothing but nil waits for ever, under the reason of a select; and
/// one without cases under its own.
#[gosched::test]
fn nothing_to_wait_for_is_waiting_for_ever() {
    let went_on = Count::new();
    let count = went_on.clone();
    go(move || {
        if went_on.get() == 0 {
            select! {}
        }
        went_on.add(1);
    });
    until_parked(1, "select (no cases)");
    let of_nil = count.clone();
    go(move || {
        let none: Option<&Receiver<u8>> = None;
        select! { recv(none) -> _ => of_nil.add(1) };
    });
    until_parked(2, "select (no cases)");
    gosched::time::sleep(ms(2));
    assert_eq!(count.get(), 0);
}

/// `select! {}` never returns, and its type says so.
#[gosched::test]
fn a_select_without_cases_is_of_any_type() {
    fn value(now: bool) -> u32 {
        if now {
            5
        } else {
            select! {}
        }
    }
    assert_eq!(value(true), 5);
}

gosched::test_main!();

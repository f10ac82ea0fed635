//! What selecting costs. `ICOUNT=1 SMP=1 cargo bench --bench chan` counts instructions.
#![no_std]
#![no_main]

mod common;

use gosched::{Bencher, chan, go, select};

use common::on_one_p;

/// Two buffered channels, always one of them ready, and a send to the other.
#[gosched::bench]
fn select_2(b: &mut Bencher) {
    let (tx0, rx0) = chan::bounded::<u64>(1);
    let (tx1, rx1) = chan::bounded::<u64>(1);
    tx0.send(0).expect("there is room");
    b.iter(|| {
        let other = select! {
            recv(rx0) -> _ => &tx1,
            recv(rx1) -> _ => &tx0,
        };
        other.send(0).expect("there is room");
    });
}

/// One empty channel, the default taken.
#[gosched::bench]
fn select_default(b: &mut Bencher) {
    let (_tx, rx) = chan::bounded::<u64>(1);
    b.iter(|| {
        select! {
            recv(rx) -> _ => 0,
            default => 1,
        }
    });
}

/// Two empty channels, the default taken.
#[gosched::bench]
fn select_2_default(b: &mut Bencher) {
    let (_tx0, rx0) = chan::bounded::<u64>(1);
    let (_tx1, rx1) = chan::bounded::<u64>(1);
    b.iter(|| {
        select! {
            recv(rx0) -> _ => 0,
            recv(rx1) -> _ => 1,
            default => 2,
        }
    });
}

/// Two rendezvous channels in turn: the select waits each time.
#[gosched::bench]
fn select_block(b: &mut Bencher) {
    let (tx0, rx0) = chan::bounded::<u64>(0);
    let (tx1, rx1) = chan::bounded::<u64>(0);
    let (ack, acks) = chan::bounded::<u64>(0);
    go(move || {
        for tx in [tx0, tx1].iter().cycle() {
            if tx.send(1).is_err() || acks.recv().is_err() {
                break;
            }
        }
    });
    on_one_p(|| {
        b.iter(|| {
            select! {
                recv(rx0) -> _ => {}
                recv(rx1) -> _ => {}
            }
            ack.send(1).expect("the other side waits for it");
        });
    });
}

gosched::bench_main!();

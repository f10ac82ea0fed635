//! What the scheduler's own operations cost. `ICOUNT=1 SMP=1 cargo bench` counts instructions:
//! there one nanosecond of guest time is one instruction.
#![no_std]
#![no_main]

mod common;

use gosched::sync::WaitGroup;
use gosched::{Bencher, chan, go, runtime};

use common::on_one_p;

/// One `Gosched` with nobody else to run.
#[gosched::bench]
fn gosched_1(b: &mut Bencher) {
    on_one_p(|| b.iter(runtime::gosched));
}

/// Spawns goroutines that only end, and waits for all of them: the cost of one.
#[gosched::bench]
fn spawn_exit(b: &mut Bencher) {
    const BATCH: u64 = 1000;
    b.iter_batched(BATCH, || {
        let group = WaitGroup::new();
        group.add(BATCH as i64);
        for _ in 0..BATCH {
            let done = group.clone();
            go(move || done.done());
        }
        group.wait();
    });
}

/// Spawns one goroutine and waits for its end, again and again.
#[gosched::bench]
fn spawn_exit_seq(b: &mut Bencher) {
    b.iter(|| {
        let group = WaitGroup::new();
        group.go(|| ());
        group.wait();
    });
}

fn pingpong(b: &mut Bencher) {
    let (ping, pings) = chan::bounded::<u64>(0);
    let (pong, pongs) = chan::bounded::<u64>(0);
    go(move || {
        for value in pings {
            if pong.send(value).is_err() {
                break;
            }
        }
    });
    b.iter(|| {
        ping.send(1)
            .expect("the other side receives until this one is dropped");
        pongs.recv().expect("the other side answers each value")
    });
}

/// A value there and one back over two rendezvous channels.
#[gosched::bench]
fn chan_unbuf_pingpong(b: &mut Bencher) {
    on_one_p(|| pingpong(b));
}

#[gosched::bench]
fn chan_unbuf_pingpong_mp(b: &mut Bencher) {
    pingpong(b);
}

/// A value into a buffered channel and out again, without another goroutine.
#[gosched::bench]
fn chan_uncontended(b: &mut Bencher) {
    let (tx, rx) = chan::bounded::<u64>(1);
    b.iter(|| {
        tx.send(1).expect("there is room");
        rx.recv().expect("there is a value")
    });
}

gosched::bench_main!();

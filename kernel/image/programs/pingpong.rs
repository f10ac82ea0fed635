//! Ping-pong: pairs of goroutines that hand a ball back and forth over channels without buffer.
//!
//! Each hand-over makes one goroutine ready and puts the other to sleep: the scheduler's own costs
//! and little else, which is what makes it a measure of schedulers.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use gosched::chan::{self, Receiver, Sender};
use gosched::shell::{Command, PROGRAMS};
use gosched::sync::WaitGroup;
use gosched::time::Instant;
use gosched::{go, println};
use linkme::distributed_slice;

use super::numbers;

/// Lets `pairs` pairs play `rounds` rounds each; each player adds 1 to the ball before it goes
/// back. Returns the sum of all balls.
pub(crate) fn play(pairs: u64, rounds: u64) -> u64 {
    let sum = Arc::new(AtomicU64::new(0));
    let all = WaitGroup::new();
    for _ in 0..pairs {
        let sum = sum.clone();
        all.go(move || {
            sum.fetch_add(one_pair(rounds), Ordering::Relaxed);
        });
    }
    all.wait();
    sum.load(Ordering::Relaxed)
}

fn one_pair(rounds: u64) -> u64 {
    let (ping, to_partner) = chan::bounded(0);
    let (pong, from_partner) = chan::bounded(0);
    go(move || return_balls(&to_partner, &pong));
    (0..rounds).fold(0, |ball, _| {
        ping.send(ball + 1)
            .expect("the partner plays until we stop");
        from_partner.recv().expect("the partner returns every ball")
    })
}

fn return_balls(from: &Receiver<u64>, to: &Sender<u64>) {
    let _ = from.iter().try_for_each(|ball| to.send(ball + 1));
}

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "pingpong",
    usage: "[PAIRS [ROUNDS]]",
    about: "pairs of goroutines play ping-pong over channels (32, 200)",
    run: |args| {
        let [pairs, rounds] = numbers(args, [32, 200])?;
        let start = Instant::now();
        let hits = play(pairs, rounds);
        println!("{hits} hits in {:.1?}", start.elapsed());
        Ok(())
    },
};

//! A crowd: goroutines that wait, for one of four things each. What `bt all` is tried on.

use alloc::sync::Arc;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

use gosched::chan::{self, Receiver, Sender};
use gosched::println;
use gosched::shell::{Command, PROGRAMS};
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration};
use linkme::distributed_slice;

use super::numbers;

/// What a crowd waits for.
struct Place {
    /// Nobody sends; it is closed at the end.
    closed: Receiver<()>,
    /// Nobody receives until the end.
    full: Sender<u64>,
    mutex: Arc<Mutex<u64>>,
    gone: Arc<AtomicU64>,
    time: Duration,
}

#[inline(never)]
fn receives(place: &Place) {
    let closed = place.closed.recv();
    black_box(closed.is_err());
}

#[inline(never)]
fn sends(place: &Place) {
    let sent = place.full.send(1);
    black_box(sent.is_ok());
}

#[inline(never)]
fn locks(place: &Place) {
    *place.mutex.lock() += 1;
    black_box(place);
}

#[inline(never)]
fn sleeps(place: &Place) {
    time::sleep(place.time);
    black_box(place);
}

/// Starts `n` goroutines that wait for `time`, and waits for their end. How many there were.
fn gather(n: u64, time: Duration) -> u64 {
    let (closes, closed) = chan::bounded::<()>(0);
    let (full, drain) = chan::bounded(0);
    let mutex = Arc::new(Mutex::new(0));
    let gone = Arc::new(AtomicU64::new(0));
    let all = WaitGroup::new();
    let held = mutex.lock();
    for i in 0..n {
        let place = Place {
            closed: closed.clone(),
            full: full.clone(),
            mutex: mutex.clone(),
            gone: gone.clone(),
            time,
        };
        all.go(move || {
            match i % 4 {
                0 => receives(&place),
                1 => sends(&place),
                2 => locks(&place),
                _ => sleeps(&place),
            }
            place.gone.fetch_add(1, Ordering::Relaxed);
        });
    }
    drop(full);
    time::sleep(time);
    drop((closes, held));
    drain.iter().for_each(drop);
    all.wait();
    gone.load(Ordering::Relaxed)
}

#[distributed_slice(PROGRAMS)]
static PROGRAM: Command = Command {
    name: "crowd",
    usage: "[N [SECONDS]]",
    about: "N goroutines wait in four places for so long (10000, 2)",
    run: |args| {
        let [n, seconds] = numbers(args, [10_000, 2])?;
        let gone = gather(n, Duration::from_secs(seconds));
        println!("{gone} goroutines waited");
        Ok(())
    },
};

//! A program to look at in `go tool trace`: two goroutines play ping-pong, workers take orders, and
//! each order is a task with its regions and log lines.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use core::hint::black_box;

use gosched::runtime::trace::{self, Task};
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration};
use gosched::{chan, go, println, runtime, select};

/// Orders, and who works on them.
const ORDERS: u64 = 20;
const WORKERS: usize = 3;

static TILL: Mutex<u64> = Mutex::new(0);

#[inline(never)]
fn cook(order: u64) -> u64 {
    (0..200_000 * (1 + order % 3)).fold(order, |x, n| black_box(x ^ n.rotate_left(7)))
}

#[inline(never)]
fn work(order: u64, task: &Task) {
    task.log("order", &format!("number {order}"));
    task.region("cooking", || black_box(cook(order)));
    let _paying = task.start_region("paying");
    *TILL.lock() += 1;
    time::sleep(Duration::from_micros(300));
}

fn play(rounds: u64) {
    let (ping, pings) = chan::bounded(0);
    let (pong, pongs) = chan::bounded(0);
    go(move || {
        for ball in pings {
            let _ = pong.send(ball);
        }
    });
    for ball in 0..rounds {
        let _ = ping.send(ball);
        let _ = pongs.recv();
    }
}

#[gosched::main]
fn main() {
    let day = trace::task("day");
    let (orders, waiting) = chan::bounded::<(u64, Task)>(2);
    let all = WaitGroup::new();
    for _ in 0..WORKERS {
        let waiting = waiting.clone();
        all.go(move || {
            for (order, task) in waiting {
                work(order, &task);
            }
        });
    }
    all.go(|| play(200));
    for order in 0..ORDERS {
        let _ = orders.send((order, day.task("order")));
    }
    drop(orders);
    let before = runtime::gomaxprocs(1);
    runtime::gomaxprocs(before);
    let (done, over) = chan::bounded::<()>(0);
    go(move || {
        all.wait();
        drop(done);
    });
    select! {
        recv(over) -> _ => println!("{} orders are paid", *TILL.lock()),
        default(Duration::from_secs(50)) => println!("too slow"),
    }
}

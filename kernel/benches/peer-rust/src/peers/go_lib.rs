//! go-lib: a port of Go's scheduler. It has no locks of its own.

use crate::loops::{self, Tasks, repeated};
use crate::{Bench, Peer};
use go_lib::chan::{Receiver, Sender, chan};
use go_lib::sync::WaitGroup;
use go_lib::{go, select};
use std::sync::Arc;
use std::time::Duration;

struct GoLib;

impl Tasks for GoLib {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn spawn(run: impl FnOnce() + Send + 'static) {
        go!(run);
    }

    fn together(tasks: usize, run: impl Fn() + Clone + Send + 'static) {
        let all = Arc::new(WaitGroup::new());
        all.add(tasks as i64);
        loops::repeat(tasks, || {
            let (all, run) = (all.clone(), run.clone());
            go!(move || {
                run();
                all.done();
            });
        });
        all.wait();
    }

    fn yield_now() {
        go_lib::gosched();
    }

    fn sleep(time: Duration) {
        go_lib::sleep(time);
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        chan(capacity)
    }

    fn send(to: &Self::Sender, value: u64) {
        to.send(value);
    }

    fn receive(from: &Self::Receiver) -> Option<u64> {
        from.recv()
    }

    fn close(sender: Self::Sender) {
        sender.close();
    }
}

fn select_2(n: usize) -> Duration {
    let (to_a, a) = chan(1);
    let (to_b, b) = chan(1);
    to_a.send(0_u64);
    repeated(n, || {
        let other;
        select! {
            recv(a) -> _value => { other = &to_b; }
            recv(b) -> _value => { other = &to_a; }
        }
        other.send(0_u64);
    })
}

fn select_default(n: usize) -> Duration {
    let (_sender, c) = chan::<u64>(1);
    repeated(n, || {
        select! {
            recv(c) -> _value => { panic!("nobody sends") }
            default => {}
        }
    })
}

fn select_2_default(n: usize) -> Duration {
    let (_to_a, a) = chan::<u64>(1);
    let (_to_b, b) = chan::<u64>(1);
    repeated(n, || {
        select! {
            recv(a) -> _value => { panic!("nobody sends") }
            recv(b) -> _value => { panic!("nobody sends") }
            default => {}
        }
    })
}

fn select_block(n: usize) -> Duration {
    let (to_a, a) = chan(0);
    let (to_b, b) = chan(0);
    let (ack, acked) = chan(0);
    go!(move || {
        for i in 0..n {
            if i % 2 == 0 { &to_a } else { &to_b }.send(1_u64);
            acked.recv();
        }
    });
    repeated(n, || {
        select! {
            recv(a) -> _value => {}
            recv(b) -> _value => {}
        }
        ack.send(1_u64);
    })
}

fn waitgroup_add_done(n: usize) -> Duration {
    let group = WaitGroup::new();
    repeated(n, || {
        group.add(1);
        group.done();
    })
}

fn mem_per_goroutine() -> f64 {
    let (_hold, held) = chan::<u64>(0);
    loops::memory_of_waiting::<GoLib>(move || _ = held.recv())
}

pub fn peer() -> Peer {
    let mut benches = loops::of_tasks::<GoLib>();
    benches.extend(loops::of_bounded::<GoLib>());
    benches.extend(loops::of_many::<GoLib>());
    benches.extend(loops::of_preempted::<GoLib>());
    benches.extend([
        Bench::once("mem_per_goroutine", "B", mem_per_goroutine),
        Bench::new("sieve", loops::sieve::<GoLib>),
        Bench::new("sieve_p1", loops::sieve::<GoLib>).one_p(),
        Bench::new("select_2", select_2),
        Bench::new("select_default", select_default),
        Bench::new("select_2_default", select_2_default),
        Bench::new("select_block", select_block).one_p(),
        Bench::new("waitgroup_add_done", waitgroup_add_done),
    ]);
    Peer {
        benches,
        enter: |_, run| in_goroutine(run),
    }
}

/// It makes a thread for each CPU that this process has.
#[go_lib::main]
fn in_goroutine(run: Box<dyn FnOnce() -> f64 + Send>) -> f64 {
    run()
}

//! Threads of the system, and crossbeam's channels. No rows with thousands of tasks at once, and no
//! `sieve`, which takes minutes.

use crate::loops::{self, Tasks, repeated};
use crate::{Bench, Peer};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::Duration;

struct Threads;

impl Tasks for Threads {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn spawn(run: impl FnOnce() + Send + 'static) {
        thread::spawn(run);
    }

    fn together(tasks: usize, run: impl Fn() + Clone + Send + 'static) {
        let all: Vec<_> = (0..tasks).map(|_| thread::spawn(run.clone())).collect();
        all.into_iter()
            .for_each(|one| one.join().expect("no panic"));
    }

    fn yield_now() {
        thread::yield_now();
    }

    fn sleep(time: Duration) {
        thread::sleep(time);
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        bounded(capacity)
    }

    fn send(to: &Self::Sender, value: u64) {
        let _ = to.send(value); // nobody receives any more at the end of a loop
    }

    fn receive(from: &Self::Receiver) -> Option<u64> {
        from.recv().ok()
    }

    fn close(_last: Self::Sender) {}
}

fn select_2(n: usize) -> Duration {
    let (to_a, a) = bounded(1);
    let (to_b, b) = bounded(1);
    Threads::send(&to_a, 0);
    repeated(n, || {
        let other = select! {
            recv(a) -> _ => &to_b,
            recv(b) -> _ => &to_a,
        };
        Threads::send(other, 0);
    })
}

fn select_default(n: usize) -> Duration {
    let (_sender, c) = bounded::<u64>(1);
    repeated(n, || {
        select! {
            recv(c) -> _ => panic!("nobody sends"),
            default => {}
        }
    })
}

fn select_2_default(n: usize) -> Duration {
    let (_to_a, a) = bounded::<u64>(1);
    let (_to_b, b) = bounded::<u64>(1);
    repeated(n, || {
        select! {
            recv(a) -> _ => panic!("nobody sends"),
            recv(b) -> _ => panic!("nobody sends"),
            default => {}
        }
    })
}

fn select_block(n: usize) -> Duration {
    let (to_a, a) = bounded(0);
    let (to_b, b) = bounded(0);
    let (ack, acked) = bounded(0);
    thread::spawn(move || {
        for i in 0..n {
            Threads::send(if i % 2 == 0 { &to_a } else { &to_b }, 1);
            Threads::receive(&acked);
        }
        // Until the last round is over: a sender that is gone is ready in a select.
        Threads::receive(&acked);
    });
    repeated(n, || {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
        }
        Threads::send(&ack, 1);
    })
}

fn mutex_uncontended(n: usize) -> Duration {
    let mutex = Mutex::new(0_u64);
    repeated(n, || *mutex.lock().expect("no panic") += 1)
}

fn mutex_contended(n: usize) -> Duration {
    let mutex = Arc::new(Mutex::new(0_u64));
    loops::shared::<Threads>(n, move || *mutex.lock().expect("no panic") += 1)
}

fn rwmutex_read(n: usize) -> Duration {
    let lock = RwLock::new(());
    repeated(n, || drop(lock.read()))
}

fn rwmutex_read_par(n: usize) -> Duration {
    let lock = Arc::new(RwLock::new(()));
    loops::shared::<Threads>(n, move || drop(lock.read()))
}

pub fn peer() -> Peer {
    let mut benches = loops::of_tasks::<Threads>();
    benches.extend(loops::of_bounded::<Threads>());
    benches.extend(loops::of_preempted::<Threads>());
    benches.extend([
        Bench::new("select_2", select_2),
        Bench::new("select_default", select_default),
        Bench::new("select_2_default", select_2_default),
        Bench::new("select_block", select_block).one_p(),
        Bench::new("mutex_uncontended", mutex_uncontended),
        Bench::new("mutex_contended", mutex_contended),
        Bench::new("rwmutex_read", rwmutex_read),
        Bench::new("rwmutex_read_par", rwmutex_read_par),
    ]);
    Peer {
        benches,
        enter: |_, run| run(),
    }
}

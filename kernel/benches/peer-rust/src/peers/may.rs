//! may: coroutines with stacks. Its channels have no bounds: a send never waits, so the rows in
//! which that matters (streams, `sieve`) are left out. Its only select makes coroutines each time.

use crate::loops::{self, Tasks, repeated};
use crate::{Bench, Peer};
use may::coroutine;
use may::go;
use may::sync::mpsc::{Receiver, Sender, channel};
use may::sync::{Mutex, RwLock, Semphore};
use std::sync::Arc;
use std::time::Duration;

struct May;

impl Tasks for May {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn spawn(run: impl FnOnce() + Send + 'static) {
        go!(run);
    }

    fn together(tasks: usize, run: impl Fn() + Clone + Send + 'static) {
        let all: Vec<_> = (0..tasks).map(|_| go!(run.clone())).collect();
        all.into_iter()
            .for_each(|one| one.join().expect("no panic"));
    }

    fn yield_now() {
        coroutine::yield_now();
    }

    fn sleep(time: Duration) {
        coroutine::sleep(time);
    }

    fn channel(_capacity: usize) -> (Self::Sender, Self::Receiver) {
        channel()
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
    let (to_a, a) = channel();
    let (to_b, b) = channel();
    May::send(&to_a, 0);
    let either = || -> usize {
        may::select!(
            _ = a.recv() => {},
            _ = b.recv() => {}
        )
    };
    repeated(n, || {
        May::send(if either() == 0 { &to_b } else { &to_a }, 0)
    })
}

fn mutex_uncontended(n: usize) -> Duration {
    let mutex = Mutex::new(0_u64);
    repeated(n, || *mutex.lock().expect("no panic") += 1)
}

fn mutex_contended(n: usize) -> Duration {
    let mutex = Arc::new(Mutex::new(0_u64));
    loops::shared::<May>(n, move || *mutex.lock().expect("no panic") += 1)
}

fn rwmutex_read(n: usize) -> Duration {
    let lock = RwLock::new(());
    repeated(n, || drop(lock.read()))
}

fn rwmutex_read_par(n: usize) -> Duration {
    let lock = Arc::new(RwLock::new(()));
    loops::shared::<May>(n, move || drop(lock.read()))
}

fn mem_per_goroutine() -> f64 {
    let held = Arc::new(Semphore::new(0));
    loops::memory_of_waiting::<May>(move || held.wait())
}

pub fn peer() -> Peer {
    let mut benches = loops::of_tasks::<May>();
    benches.extend(loops::of_many::<May>());
    benches.extend([
        Bench::once("mem_per_goroutine", "B", mem_per_goroutine),
        Bench::new("select_2", select_2),
        Bench::new("mutex_uncontended", mutex_uncontended),
        Bench::new("mutex_contended", mutex_contended),
        Bench::new("rwmutex_read", rwmutex_read),
        Bench::new("rwmutex_read_par", rwmutex_read_par),
    ]);
    let enter = |workers, run: Box<dyn FnOnce() -> f64 + Send>| {
        may::config().set_workers(workers);
        go!(run).join().expect("no panic")
    };
    Peer { benches, enter }
}

//! Models of waking and going idle: the real words and the real queues, with the steps of
//! `idle.rs` and `find.rs` around them. Ms do not sleep here: where one would, its part ends.
//!
//! The claim: when all is quiet, there is not at once work in a queue, an idle P, and an M asleep
//! that nobody has called.

use alloc::vec::Vec;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::Spinning;
use crate::model;
use crate::sched::runq::RunQueue;

static ITEM: u32 = 0;

/// Under the scheduler's lock.
#[derive(Default)]
struct Lists {
    idle_ps: Vec<usize>,
    /// How many Ms sleep.
    idle_ms: usize,
    /// How many were woken with a P, spinning.
    called: usize,
}

struct World {
    queues: [RunQueue<u32>; 3],
    spinning: Spinning,
    idle_p_count: AtomicU32,
    lists: Mutex<Lists>,
}

impl World {
    /// `spinners` Ms look for work, `asleep` sleep, and these Ps are idle.
    fn new(spinners: usize, asleep: usize, idle_ps: &[usize]) -> Arc<Self> {
        let spinning = Spinning::new();
        for _ in 0..spinners {
            spinning.begin();
        }
        Arc::new(Self {
            queues: [RunQueue::new(), RunQueue::new(), RunQueue::new()],
            spinning,
            idle_p_count: AtomicU32::new(idle_ps.len() as u32),
            lists: Mutex::new(Lists {
                idle_ps: idle_ps.to_vec(),
                idle_ms: asleep,
                called: 0,
            }),
        })
    }

    fn publish(&self, lists: &Lists) {
        self.idle_p_count
            .store(lists.idle_ps.len() as u32, Ordering::Relaxed);
    }

    fn take_p(&self, lists: &mut Lists) -> Option<usize> {
        let p = lists.idle_ps.pop();
        self.publish(lists);
        p
    }

    fn put_p(&self, lists: &mut Lists, p: usize) {
        lists.idle_ps.push(p);
        self.publish(lists);
    }

    /// `idle::wakep`.
    fn wakep(&self) {
        let idle = || self.idle_p_count.load(Ordering::Relaxed) > 0;
        if !self.spinning.submitted(idle) || !self.spinning.try_begin_for_other() {
            return;
        }
        let mut lists = self.lists.lock().unwrap();
        match self.take_p(&mut lists) {
            Some(_) if lists.idle_ms > 0 => {
                lists.idle_ms -= 1;
                lists.called += 1;
                return;
            }
            Some(p) => self.put_p(&mut lists, p),
            None => (),
        }
        self.spinning.woke_nobody();
    }

    /// A goroutine on P `p` readies another.
    fn submit(&self, p: usize) {
        assert!(self.queues[p].put(&ITEM).is_ok());
        self.wakep();
    }

    fn work_anywhere(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    /// `find::find_runnable` of an M that holds P `p`, until it has found something (it then runs
    /// that) or would sleep.
    fn find(&self, mut p: usize, mut spins: bool) {
        loop {
            if spins && self.steal(p) {
                self.spinning.found();
                self.wakep();
                return;
            }
            // go_idle
            let mut lists = self.lists.lock().unwrap();
            if !spins && self.spinning.is_needed() {
                self.spinning.begin();
                spins = true;
                continue;
            }
            self.put_p(&mut lists, p);
            drop(lists);
            if spins {
                self.spinning.give_up();
                if self.work_anywhere() {
                    // recover
                    let mut lists = self.lists.lock().unwrap();
                    if let Some(idle) = self.take_p(&mut lists) {
                        drop(lists);
                        (p, spins) = (idle, true);
                        self.spinning.begin();
                        continue;
                    }
                    self.spinning.need();
                }
            }
            // stopm
            let mut lists = self.lists.lock().unwrap();
            if self.spinning.is_needed()
                && let Some(idle) = self.take_p(&mut lists)
            {
                drop(lists);
                (p, spins) = (idle, true);
                self.spinning.begin();
                continue;
            }
            lists.idle_ms += 1;
            return;
        }
    }

    fn steal(&self, p: usize) -> bool {
        let others = (0..self.queues.len()).filter(|other| *other != p);
        others
            .map(|other| self.queues[other].steal_into(&self.queues[p]))
            .any(|stolen| stolen.is_some())
    }

    fn assert_nothing_is_forgotten(&self) {
        let lists = self.lists.lock().unwrap();
        let could_run = !lists.idle_ps.is_empty() && lists.idle_ms > 0;
        assert!(
            !self.work_anywhere() || !could_run || lists.called > 0,
            "work, a P and an M, and nobody called"
        );
    }
}

fn spawn(world: &Arc<World>, f: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// The two sides of the protocol: work is made while the only spinner gives up.
#[test]
fn work_against_the_last_spinner() {
    model(3, || {
        let world = World::new(1, 0, &[]);
        let spinner = spawn(&world, |world| world.find(1, true));
        world.submit(0);
        spinner.join().unwrap();
        world.assert_nothing_is_forgotten();
    });
}

/// Work is made while all Ps run: the M that would go idle, without having looked, must look.
#[test]
fn work_against_an_m_that_goes_idle() {
    model(3, || {
        let world = World::new(0, 0, &[]);
        let idler = spawn(&world, |world| world.find(1, false));
        world.submit(0);
        world.submit(0);
        idler.join().unwrap();
        world.assert_nothing_is_forgotten();
    });
}

/// One submitter relies on the count that another raises and takes back.
#[test]
fn two_submitters_against_a_spinner() {
    model(2, || {
        let world = World::new(1, 0, &[]);
        let spinner = spawn(&world, |world| world.find(1, true));
        let other = spawn(&world, |world| world.submit(2));
        world.submit(0);
        other.join().unwrap();
        spinner.join().unwrap();
        world.assert_nothing_is_forgotten();
    });
}

/// As above, with the M not spinning and one that is called.
#[test]
fn two_submitters_against_an_idler() {
    model(2, || {
        let world = World::new(0, 0, &[]);
        let idler = spawn(&world, |world| world.find(1, false));
        let other = spawn(&world, |world| world.submit(2));
        world.submit(0);
        other.join().unwrap();
        idler.join().unwrap();
        world.assert_nothing_is_forgotten();
    });
}

/// Two spinners, of which the first to find work must see to it that the rest is found.
#[test]
fn two_spinners_against_work() {
    model(2, || {
        let world = World::new(2, 0, &[]);
        let spinners = [1, 2].map(|p| spawn(&world, move |world| world.find(p, true)));
        world.submit(0);
        for spinner in spinners {
            spinner.join().unwrap();
        }
        world.assert_nothing_is_forgotten();
    });
}

/// With an M asleep and its P idle, whoever makes work calls it, though a spinner gives up.
#[test]
fn a_sleeper_is_called() {
    model(3, || {
        let world = World::new(1, 1, &[2]);
        let spinner = spawn(&world, |world| world.find(1, true));
        world.submit(0);
        world.submit(0);
        spinner.join().unwrap();
        world.assert_nothing_is_forgotten();
    });
}

//! Models of idling down to the halt: as `loom_tests.rs`, but an M that finds nothing sleeps on its
//! note, and whoever takes it off the idle list hands it a P and wakes it. What it is to run is in
//! the queue of a P whose M is busy for ever. So work that nobody calls it for is a deadlock, which
//! loom reports.

use alloc::vec::Vec;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;

use super::Spinning;
use crate::model;
use crate::sched::agenda::{Agenda, Item};
use crate::sched::note::Note;
use crate::sched::runq::RunQueue;

static GOROUTINE: u32 = 0;

/// The P of the sleeper; the others are of Ms that are busy.
const OWN: usize = 0;

/// Nothing was handed over.
const NONE: u32 = u32::MAX;

/// Under the scheduler's lock.
struct Lists {
    idle_ps: Vec<usize>,
    /// The one M that may sleep does.
    m_is_idle: bool,
}

struct World {
    queues: [RunQueue<u32>; 3],
    spinning: Spinning,
    agenda: Agenda,
    npidle: AtomicU32,
    lists: Mutex<Lists>,
    // Of the M.
    nextp: AtomicU32,
    park: Note,
    interrupt: Notify,
}

/// How an M looks for work.
#[derive(Clone, Copy)]
enum Start {
    /// It holds its P and spins.
    Spinning,
    /// It holds its P and has just run out of work.
    Running,
    /// It is on the idle list, and so is its P.
    Idle,
}

impl World {
    fn new(start: Start) -> Arc<Self> {
        let spinning = Spinning::new();
        if matches!(start, Start::Spinning) {
            spinning.begin();
        }
        let is_idle = matches!(start, Start::Idle);
        let idle_ps = if is_idle {
            Vec::from([OWN])
        } else {
            Vec::new()
        };
        Arc::new(Self {
            queues: [RunQueue::new(), RunQueue::new(), RunQueue::new()],
            spinning,
            agenda: Agenda::new(),
            npidle: AtomicU32::new(idle_ps.len() as u32),
            lists: Mutex::new(Lists {
                idle_ps,
                m_is_idle: is_idle,
            }),
            nextp: AtomicU32::new(NONE),
            park: Note::new(),
            interrupt: Notify::new(),
        })
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

    fn publish(&self, lists: &Lists) {
        self.npidle
            .store(lists.idle_ps.len() as u32, Ordering::Relaxed);
    }

    /// `idle::wakep`, and `hand_over`.
    fn wakep(&self) {
        let idle = || self.npidle.load(Ordering::Relaxed) > 0;
        if !self.spinning.submitted(idle) || !self.spinning.try_begin_for_other() {
            return;
        }
        let mut lists = self.lists.lock().unwrap();
        match self.take_p(&mut lists) {
            Some(p) if lists.m_is_idle => {
                lists.m_is_idle = false;
                drop(lists);
                self.nextp.store(p as u32, Ordering::Release);
                if self.park.signal() {
                    self.interrupt.notify();
                }
                return;
            }
            Some(p) => self.put_p(&mut lists, p),
            None => (),
        }
        self.spinning.woke_nobody();
    }

    /// A goroutine on a busy P readies another.
    fn submit(&self, p: usize) {
        assert!(self.queues[p].put(&GOROUTINE).is_ok());
        self.wakep();
    }

    /// Any context: there is input (`attention::ask_for_dump`).
    fn input(&self) {
        self.agenda.add(Item::Input);
        // The fence is that of the poke.
        if self.park.poke() {
            self.interrupt.notify();
        }
    }

    fn work_anywhere(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    fn steal(&self) -> bool {
        let others = self.queues.iter().skip(OWN + 1);
        others
            .map(|queue| queue.steal_into(&self.queues[OWN]))
            .any(|stolen| stolen.is_some())
    }

    fn take_input(&self) -> bool {
        self.agenda.has(Item::Input) && self.agenda.take(Item::Input)
    }

    /// An M, until it has found this much: `find_runnable`, with `go_idle`.
    fn run(&self, start: Start, finds: usize) {
        let mut spins = matches!(start, Start::Spinning);
        let mut has_p = !matches!(start, Start::Idle);
        let mut found = 0;
        loop {
            if !has_p {
                spins = self.sleep();
            }
            has_p = true;
            found += usize::from(self.take_input());
            if spins && self.steal() {
                found += 1;
                spins = false;
                self.spinning.found();
                self.wakep();
            }
            if found == finds {
                return;
            }
            let mut lists = self.lists.lock().unwrap();
            if !spins && self.spinning.is_needed() {
                self.spinning.begin();
                spins = true;
                continue;
            }
            self.put_p(&mut lists, OWN);
            drop(lists);
            if spins {
                spins = false;
                self.spinning.give_up();
                if self.work_anywhere() && self.recover() {
                    spins = true;
                    continue;
                }
            }
            if self.stopm() {
                spins = true;
                continue;
            }
            has_p = false;
        }
    }

    /// `find::recover`.
    fn recover(&self) -> bool {
        let mut lists = self.lists.lock().unwrap();
        let taken = self.take_p(&mut lists).is_some();
        if !taken {
            self.spinning.need();
        }
        drop(lists);
        if taken {
            self.spinning.begin();
        }
        taken
    }

    /// The first half of `stopm`: goes on the idle list, unless there is something to look for.
    fn stopm(&self) -> bool {
        let mut lists = self.lists.lock().unwrap();
        if self.spinning.is_needed() && self.take_p(&mut lists).is_some() {
            drop(lists);
            self.spinning.begin();
            return true;
        }
        lists.m_is_idle = true;
        false
    }

    fn input_wants(&self) -> bool {
        self.agenda.has(Item::Input) && self.npidle.load(Ordering::Relaxed) > 0
    }

    /// The second half: the halt. Returns with a P, and whether it spins.
    fn sleep(&self) -> bool {
        loop {
            if self.park.prepare(|| self.input_wants()) {
                self.interrupt.wait();
                self.park.awake();
            }
            if self.park.is_signalled() {
                break;
            }
            if self.input_wants() && self.wake_self() {
                return false;
            }
        }
        self.park.clear();
        let p = self.nextp.swap(NONE, Ordering::Acquire);
        assert_eq!(p as usize, OWN, "a woken M is given a P");
        true
    }

    fn wake_self(&self) -> bool {
        let mut lists = self.lists.lock().unwrap();
        if !lists.m_is_idle || self.take_p(&mut lists).is_none() {
            return false;
        }
        lists.m_is_idle = false;
        true
    }
}

fn spawn(world: &Arc<World>, f: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// The submitter against an M on its way from spinning, from running, and from sleep.
#[test]
fn work_reaches_an_m_wherever_it_is() {
    for start in [Start::Spinning, Start::Running, Start::Idle] {
        model(3, move || {
            let world = World::new(start);
            let m = spawn(&world, move |world| world.run(start, 1));
            world.submit(1);
            m.join().unwrap();
        });
    }
}

/// It comes back for the second piece of work, of the same submitter.
#[test]
fn an_m_sleeps_and_is_woken_twice() {
    model(2, || {
        let world = World::new(Start::Idle);
        let m = spawn(&world, |world| world.run(Start::Idle, 2));
        world.submit(1);
        world.submit(2);
        m.join().unwrap();
    });
}

fn two_submitters_against_an_m(start: Start, finds: usize) {
    model(2, move || {
        let world = World::new(start);
        let m = spawn(&world, move |world| world.run(start, finds));
        let other = spawn(&world, |world| world.submit(2));
        world.submit(1);
        other.join().unwrap();
        m.join().unwrap();
    });
}

/// Two who submit wake the one M once, or rely on each other for it.
#[test]
fn two_submitters_against_an_m_that_halts() {
    two_submitters_against_an_m(Start::Spinning, 1);
}

/// One of them finds no P and no M, and takes back the count that it raised: not after the M has
/// found that work and gone to sleep, while the other relies on the count.
#[test]
fn two_submitters_against_an_m_that_comes_back() {
    two_submitters_against_an_m(Start::Running, 2);
}

/// Input, of which the run queues know nothing, and work: the M sees to both.
#[test]
fn input_and_work_against_an_m_that_halts() {
    model(2, || {
        let world = World::new(Start::Running);
        let m = spawn(&world, |world| world.run(Start::Running, 2));
        let other = spawn(&world, World::input);
        world.submit(1);
        other.join().unwrap();
        m.join().unwrap();
    });
}

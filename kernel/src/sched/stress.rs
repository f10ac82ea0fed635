//! A small scheduler of the real parts, run by std threads as Ms: run queues, status words,
//! tickets, timers, keeper, notes, spinning, agenda.
//!
//! What the models try step by step for two or three threads runs here at full speed, with scans
//! and steals amid it, and ThreadSanitizer watches what a goroutine would have on its stack. A lost
//! wake-up is a run that does not end: it is given up.
//!
//! Simpler than the scheduler in this: each M keeps its P, also while it sleeps.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;

use crate::arch;
use crate::base::lock::{Lock, Rank};
use crate::mem::fixture::{in_threads, random};
use crate::sched::agenda::{Agenda, Item};
use crate::sched::idle::IdleSet;
use crate::sched::keeper::Keeper;
use crate::sched::note::Note;
use crate::sched::runq::RunQueue;
use crate::sched::spinning::Spinning;
use crate::sched::status::{Status, StatusWord};
use crate::sched::ticket::Ticket;
use crate::sched::timers::{NEVER, Timer, Timers};

const MS: usize = 4;
/// More than a run queue holds, so that it overflows.
const GS: usize = 400;
const TURNS: usize = 100;
/// A wake-up that has not come by then is lost. Long, since ThreadSanitizer is slow.
const GIVE_UP_NS: u64 = 40_000_000_000;
/// A host's thread is woken by its number, which belongs to the first that took it: other tests
/// have the low ones.
const FIRST_CPU: usize = 40;

/// What a goroutine has on its stack, and so only its owner touches.
struct Frame {
    turns: usize,
    /// What it was about to wait for when it was saved.
    waits: Option<u32>,
    saved: usize,
}

struct Goroutine {
    status: StatusWord,
    wait: Ticket,
    timer: Timer,
    frame: UnsafeCell<Frame>,
}

// SAFETY: the frame belongs to the owner by the status; that it does is what is tested.
unsafe impl Sync for Goroutine {}

struct Machine {
    index: usize,
    runq: RunQueue<Goroutine>,
    timers: Timers,
    park: Note,
    called: AtomicBool,
}

struct Lists {
    idle: IdleSet,
    global: VecDeque<&'static Goroutine>,
}

struct World {
    ms: [Machine; MS],
    gs: Vec<Goroutine>,
    lists: Lock<Lists>,
    n_idle: AtomicU32,
    spinning: Spinning,
    keeper: Keeper<Machine>,
    agenda: Agenda,
    inputs: AtomicUsize,
    /// Those that wait for one of the others, with their tickets.
    queue: Lock<VecDeque<(&'static Goroutine, u32)>>,
    ended: AtomicUsize,
    /// An assertion failed in some thread: the others stop.
    failed: AtomicBool,
}

std::thread_local! {
    static HERE: Cell<Option<(&'static World, &'static Machine)>> = const { Cell::new(None) };
}

impl Goroutine {
    fn new() -> Self {
        let frame = Frame {
            turns: 0,
            waits: None,
            saved: 0,
        };
        Self {
            status: StatusWord::new(),
            wait: Ticket::new(),
            timer: Timer::new(),
            frame: UnsafeCell::new(frame),
        }
    }

    fn casgstatus(&self, from: Status, to: Status) {
        if let Err(found) = self.status.change(from, to) {
            let changed = self.status.change_after(found, from, to, arch::pause);
            assert_eq!(changed, Ok(()), "from {from:?} to {to:?}");
        }
    }

    /// A scanner: reads the frame of one that waits.
    fn scan(&self) -> usize {
        if !self.status.try_claim(Status::Waiting) {
            return 0;
        }
        // SAFETY: claimed.
        let frame = unsafe { &*self.frame.get() };
        assert_eq!(frame.saved, frame.turns, "scanned before it was saved");
        self.status.unclaim();
        1
    }
}

fn end_wait(gp: usize, ticket: u32) {
    let gp = core::ptr::with_exposed_provenance::<Goroutine>(gp);
    // SAFETY: goroutines live for ever.
    let gp = unsafe { &*gp };
    if gp.wait.win(ticket) {
        let (world, m) = HERE.get().unwrap();
        world.ready(m, gp);
    }
}

impl World {
    fn new() -> &'static Self {
        let machine = |index| Machine {
            index,
            runq: RunQueue::new(),
            timers: Timers::new(),
            park: Note::new(),
            called: AtomicBool::new(false),
        };
        let lists = Lists {
            idle: IdleSet::new(),
            global: VecDeque::new(),
        };
        Box::leak(Box::new(Self {
            ms: core::array::from_fn(machine),
            gs: (0..GS).map(|_| Goroutine::new()).collect(),
            lists: Lock::new(Rank::Sched, lists),
            n_idle: AtomicU32::new(0),
            spinning: Spinning::new(),
            keeper: Keeper::new(),
            agenda: Agenda::new(),
            inputs: AtomicUsize::new(0),
            queue: Lock::new(Rank::Chan, VecDeque::new()),
            ended: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }))
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) == GS || self.failed.load(Ordering::Relaxed)
    }

    fn set_idle(&self, lists: &mut Lists, index: usize, idle: bool) {
        match idle {
            true => lists.idle.insert(index),
            false => assert!(lists.idle.remove(index)),
        }
        self.n_idle
            .store(lists.idle.len() as u32, Ordering::Relaxed);
    }

    fn put(&self, m: &Machine, gp: &'static Goroutine) {
        while let Err(overflow) = m.runq.put(gp) {
            self.lists.lock().global.extend(overflow.iter());
        }
    }

    /// `park::ready`.
    fn ready(&self, m: &Machine, gp: &'static Goroutine) {
        gp.casgstatus(Status::Waiting, Status::Runnable);
        if let Some(kicked) = m.runq.put_next(gp) {
            self.put(m, kicked);
        }
        self.wakep();
    }

    /// `idle::wakep`.
    fn wakep(&self) {
        let is_idle = || self.n_idle.load(Ordering::Relaxed) != 0;
        if !self.spinning.submitted(is_idle) || !self.spinning.try_begin_for_other() {
            return;
        }
        let mut lists = self.lists.lock();
        let Some(index) = lists.idle.iter().next() else {
            self.spinning.need();
            drop(lists);
            return self.spinning.found();
        };
        self.set_idle(&mut lists, index, false);
        drop(lists);
        self.ms[index].called.store(true, Ordering::Release);
        self.wake(index, self.ms[index].park.signal());
    }

    fn wake(&self, index: usize, halts: bool) {
        if halts {
            arch::send_ipi(FIRST_CPU + index, arch::Ipi::Wake);
        }
    }

    fn arm(&self, m: &'static Machine, gp: &'static Goroutine, when_ns: u64, ticket: u32) {
        let arg = core::ptr::from_ref(gp).expose_provenance();
        // SAFETY: the timer is stopped before it is armed again, and lives for ever.
        unsafe { m.timers.add(&gp.timer, when_ns, end_wait, arg, ticket) };
        if let Some(keeper) = self.keeper.sleeps_past(when_ns) {
            self.wake(keeper.index, keeper.park.poke());
        }
    }

    /// `schedule::execute`, the goroutine, and what it does to the scheduler.
    fn execute(&self, m: &'static Machine, gp: &'static Goroutine, chance: usize) {
        gp.casgstatus(Status::Runnable, Status::Running);
        // SAFETY: it runs here.
        let frame = unsafe { &mut *gp.frame.get() };
        assert_eq!(frame.saved, frame.turns, "resumed before it was saved");
        if let Some(ticket) = frame.waits.take() {
            gp.timer.stop();
            self.queue.lock().retain(|waiter| *waiter != (gp, ticket));
        }
        frame.turns += 1;
        if frame.turns == TURNS {
            gp.casgstatus(Status::Running, Status::Dead);
            if self.ended.fetch_add(1, Ordering::AcqRel) + 1 == GS {
                (0..MS).for_each(|index| self.wake(index, self.ms[index].park.poke()));
            }
            return;
        }
        match chance % 4 {
            0 => {
                frame.saved = frame.turns;
                gp.casgstatus(Status::Running, Status::Runnable);
                self.put(m, gp);
                self.wakep();
            }
            1 => {
                // Waits for another, but not for ever.
                let mut queue = self.queue.lock();
                let ticket = gp.wait.begin();
                queue.push_back((gp, ticket));
                frame.waits = Some(ticket);
                frame.saved = frame.turns;
                gp.casgstatus(Status::Running, Status::Waiting);
                let until_ns = arch::nanotime() + chance as u64 % 100_000;
                self.arm(m, gp, until_ns, ticket);
                drop(queue);
            }
            _ => {
                let mut queue = self.queue.lock();
                let first = core::iter::from_fn(|| queue.pop_front())
                    .find(|(waiter, ticket)| waiter.wait.win(*ticket));
                drop(queue);
                if let Some((waiter, _)) = first {
                    self.ready(m, waiter);
                }
                frame.saved = frame.turns;
                gp.casgstatus(Status::Running, Status::Runnable);
                self.put(m, gp);
                self.wakep();
            }
        }
    }

    fn steal(&self, m: &Machine) -> Option<&'static Goroutine> {
        let others = (1..MS).map(|i| &self.ms[(m.index + i) % MS].runq);
        others
            .map(|victim| victim.steal_into(&m.runq).or_else(|| victim.steal_next()))
            .find_map(|stolen| stolen)
    }

    fn first_timer(&self) -> u64 {
        let when = self.ms.iter().map(|m| m.timers.min_when());
        when.min().unwrap_or(NEVER)
    }

    fn run_timers(&self) -> usize {
        self.ms.iter().map(|m| m.timers.run_due()).sum()
    }

    /// An M, until all goroutines have ended.
    fn run(&'static self, m: &'static Machine, mut chance: impl FnMut(usize) -> usize) -> usize {
        let mut scanned = 0;
        HERE.set(Some((self, m)));
        let mut spins = false;
        while !self.is_over() {
            self.run_timers();
            scanned += self.gs[chance(GS)].scan();
            if self.agenda.has(Item::Input) && self.agenda.take(Item::Input) {
                self.inputs.fetch_add(1, Ordering::Relaxed);
            }
            let own = m.runq.get().map(|(gp, _)| gp);
            let found = own.or_else(|| self.lists.lock().global.pop_front());
            let found = found.or_else(|| if spins { self.steal(m) } else { None });
            if let Some(gp) = found {
                if core::mem::take(&mut spins) {
                    self.spinning.found();
                    self.wakep();
                }
                self.execute(m, gp, chance(usize::MAX));
                continue;
            }
            if !spins && 2 * self.spinning.count() < MS as u32 {
                self.spinning.begin();
                spins = true;
                continue;
            }
            spins = self.go_idle(m, spins);
        }
        self.ms
            .iter()
            .for_each(|other| self.wake(other.index, other.park.poke()));
        scanned
    }

    /// `find::go_idle` and `idle::stopm`. Returns whether the M spins.
    fn go_idle(&self, m: &'static Machine, spins: bool) -> bool {
        let mut lists = self.lists.lock();
        if !lists.global.is_empty() {
            return spins;
        }
        if !spins && self.spinning.is_needed() {
            self.spinning.begin();
            return true;
        }
        self.set_idle(&mut lists, m.index, true);
        drop(lists);
        if spins {
            self.spinning.give_up();
            let work = self.ms.iter().any(|other| !other.runq.is_empty());
            if (work || self.first_timer() <= arch::nanotime()) && self.wake_self(m) {
                self.spinning.begin();
                return true;
            }
        }
        let needed = || self.spinning.is_needed() || !self.lists.lock().global.is_empty();
        if needed() && self.wake_self(m) {
            self.spinning.begin();
            return true;
        }
        self.sleep(m)
    }

    /// Takes the M off the idle list; false if somebody has, who calls it.
    fn wake_self(&self, m: &Machine) -> bool {
        let mut lists = self.lists.lock();
        let is_idle = lists.idle.contains(m.index);
        if is_idle {
            self.set_idle(&mut lists, m.index, false);
        }
        is_idle
    }

    fn keep_timers(&self, m: &'static Machine) -> u64 {
        if !self.keeper.begin(m) {
            return NEVER;
        }
        let until = self.keeper.settle(|| self.first_timer());
        if until == NEVER {
            let _ = self.keeper.end(m);
        }
        until
    }

    fn sleep(&self, m: &'static Machine) -> bool {
        let start_ns = arch::nanotime();
        loop {
            let until = self.keep_timers(m);
            let work = || {
                self.is_over()
                    || self.agenda.has(Item::Input)
                    || self.first_timer() < until && (until != NEVER || !self.keeper.is_there())
            };
            let now_ns = arch::nanotime();
            assert!(now_ns - start_ns < GIVE_UP_NS, "a wake-up is lost");
            // Looks from time to time whether it is to give up, and not whether there is work.
            arch::set_deadline(until.min(now_ns + 100_000_000));
            if m.park.prepare(work) {
                arch::halt();
                m.park.awake();
            }
            let kept = self.keeper.end(m).is_some();
            let called = m.park.is_signalled();
            // Of those that it keeps: others are not what it was woken for.
            let due = kept && until <= arch::nanotime();
            let wakes = called
                || (due || self.is_over() || self.agenda.has(Item::Input)) && self.wake_self(m);
            if !wakes {
                continue;
            }
            if kept && let Some(next) = self.lists.lock().idle.iter().next() {
                self.wake(next, self.ms[next].park.poke());
            }
            if called {
                m.park.clear();
                assert!(m.called.swap(false, Ordering::Acquire), "woken by nobody");
            }
            return called;
        }
    }
}

impl PartialEq for Goroutine {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

/// Each goroutine has all its turns, one after another, wherever they were; nobody sleeps on.
#[test]
fn a_small_scheduler_runs_all() {
    /// Tells the others of a panic.
    struct Fails(&'static World);
    impl Drop for Fails {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.failed.store(true, Ordering::Relaxed);
            }
        }
    }
    let world = World::new();
    let scanned = in_threads(MS + 1, |i| {
        arch::become_cpu(FIRST_CPU + i);
        let _tells = Fails(world);
        if let Some(m) = world.ms.get(i) {
            for gp in world.gs.iter().skip(i).step_by(MS) {
                gp.casgstatus(Status::Idle, Status::Runnable);
                world.put(m, gp);
                world.wakep();
            }
            return world.run(m, random(i as u64 + 1));
        }
        // Interrupts.
        let mut chance = random(99);
        while !world.is_over() {
            world.agenda.add(Item::Input);
            let index = chance(MS);
            world.wake(index, world.ms[index].park.poke());
            std::thread::sleep(Duration::from_micros(50));
        }
        0
    });
    assert!(scanned.iter().sum::<usize>() > 0, "nobody waited");
    for gp in &world.gs {
        // SAFETY: all threads have ended.
        let frame = unsafe { &*gp.frame.get() };
        assert_eq!(frame.turns, TURNS);
        assert_eq!(Status::of(gp.status.load()), Status::Dead);
        assert_eq!(gp.timer.armed_until_ns(), None);
    }
}

//! From the events of all Ms to one trace: finds an order in which they can have happened, and what
//! was before the first of them.
//!
//! # Order
//!
//! The next event is the earliest of the Ms' next ones that can happen now: a goroutine starts only
//! when it is runnable and is readied only when it waits, a P is taken only when it is idle. What
//! cannot happen yet waits for the event of another M that lets it: clocks of two CPUs differ a
//! little, and a stop is written only with the event after it. Go's reader wants the same, by
//! numbers that each goroutine and P counts; they are given here, in this order.
//!
//! # What is missing
//!
//! The rings hold the last events only, so the first event of a goroutine tells what it was
//! before: who starts was runnable, who is readied waited. And events may be lost amid a trace, if
//! they come faster than they leave. What then cannot have happened is made possible: a goroutine
//! that starts while it is known to wait has been readied by somebody, one that is readied while it
//! runs has blocked. The trace is always one that Go's reader takes.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::events::{Event, What};
use super::names::Names;
use super::wire::{Ev, Writer};
use crate::arch::{self, MAX_CPUS};
use crate::sched::park::WaitReason;
use crate::sched::trace::Stop;

const G_RUNNABLE: u64 = 1;
const G_RUNNING: u64 = 2;
const G_WAITING: u64 = 4;
const P_RUNNING: u64 = 1;
const P_IDLE: u64 = 2;
/// The M of a goroutine that none runs.
const NO_M: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Runnable,
    Running(usize),
    Waiting,
    Dead,
}

struct Goroutine {
    status: Status,
    seq: u64,
}

#[derive(Default)]
struct Proc {
    known: bool,
    m: Option<usize>,
    seq: u64,
}

#[derive(Default)]
struct Machine {
    p: Option<usize>,
    g: Option<u64>,
    /// The state before its first event is found out.
    begun: bool,
    events: VecDeque<Event>,
}

/// What an M does while nothing of it is in its ring.
#[derive(Clone, Copy, Default)]
pub struct Now {
    /// Its P.
    pub p: Option<usize>,
    /// Its goroutine.
    pub g: Option<u64>,
}

/// Orders events and writes the trace.
pub struct Order {
    writer: Writer,
    gs: BTreeMap<u64, Goroutine>,
    ps: Vec<Proc>,
    ms: Vec<Machine>,
    /// Longer than this, in ticks, no event waits for one that lets it happen.
    patience: u64,
}

impl Order {
    /// An empty trace, on a clock of `hz`.
    pub fn new(hz: u64) -> Self {
        Self {
            writer: Writer::new(hz),
            gs: BTreeMap::new(),
            ps: (0..MAX_CPUS).map(|_| Proc::default()).collect(),
            ms: (0..MAX_CPUS).map(|_| Machine::default()).collect(),
            patience: hz / 1000,
        }
    }

    /// Adds the next events of an M; `now` is what it does after them.
    pub fn add(&mut self, m: usize, events: Vec<Event>, now: Now) {
        let machine = &mut self.ms[m];
        machine.events.extend(events);
        if !machine.begun && (!machine.events.is_empty() || now.p.is_some()) {
            self.begin(m, now);
        }
    }

    /// What an M was before its first event.
    fn begin(&mut self, m: usize, now: Now) {
        let machine = &mut self.ms[m];
        machine.begun = true;
        let first_event = machine.events.front();
        let ticks = first_event.map_or_else(arch::cputicks, |event| event.ticks);
        let first = |wanted: fn(&Event) -> bool| machine.events.iter().find(|e| wanted(e));
        let first_p = first(|e| matches!(e.what, What::ProcStart { .. } | What::ProcStop { .. }));
        let p = match first_p.map(|event| &event.what) {
            Some(What::ProcStop { p }) => Some(*p as usize),
            Some(_) => None,
            None => now.p,
        };
        let quiet = first(|e| e.stop.is_some() || matches!(e.what, What::Start { .. })).is_none();
        let Some(p) = p.filter(|p| !self.ps[*p].known) else {
            return;
        };
        self.ps[p].known = true;
        self.ps[p].m = Some(m);
        self.ms[m].p = Some(p);
        self.emit(m, ticks, Ev::ProcStatus, &[p as u64, P_RUNNING]);
        if let Some(g) = now.g.filter(|_| quiet)
            && !self.gs.contains_key(&g)
        {
            self.status(m, ticks, g, Status::Running(m), 0);
            self.ms[m].g = Some(g);
        }
    }

    fn emit(&mut self, m: usize, ticks: u64, ev: Ev, arguments: &[u64]) {
        self.writer.event(m as u64, ticks, ev, arguments);
    }

    /// Tells of a goroutine that has not been seen yet.
    fn status(&mut self, m: usize, ticks: u64, g: u64, status: Status, stack: u64) {
        let (number, on) = match status {
            Status::Runnable => (G_RUNNABLE, NO_M),
            Status::Running(on) => (G_RUNNING, on as u64),
            Status::Waiting | Status::Dead => (G_WAITING, NO_M),
        };
        match stack {
            0 => self.emit(m, ticks, Ev::GoStatus, &[g, on, number]),
            stack => self.emit(m, ticks, Ev::GoStatusStack, &[g, on, number, stack]),
        }
        self.gs.insert(g, Goroutine { status, seq: 0 });
    }

    /// Writes all events up to `until`; what comes later stays.
    pub fn run(&mut self, until: u64, names: &mut Names) {
        while let Some(m) = self.pick(until) {
            if let Some(event) = self.ms[m].events.pop_front() {
                self.apply(m, event, names);
            }
        }
    }

    /// The M whose event is next.
    fn pick(&self, until: u64) -> Option<usize> {
        let mut earliest: Option<(u64, usize)> = None;
        let mut possible: Option<(u64, usize)> = None;
        for (m, machine) in self.ms.iter().enumerate() {
            let Some(event) = machine.events.front().filter(|e| e.ticks <= until) else {
                continue;
            };
            let candidate = (event.ticks, m);
            if earliest.is_none_or(|best| candidate < best) {
                earliest = Some(candidate);
            }
            if possible.is_none_or(|best| candidate < best) && self.can_happen(m, event) {
                possible = Some(candidate);
            }
        }
        let (first_ticks, first) = earliest?;
        match possible {
            Some((ticks, m)) if ticks - first_ticks <= self.patience => Some(m),
            _ => Some(first),
        }
    }

    fn can_happen(&self, m: usize, event: &Event) -> bool {
        let status = |g: &u64| self.gs.get(g).map(|g| g.status);
        match &event.what {
            What::Start { g } => match status(g) {
                Some(Status::Running(on)) => on == m && event.stop.is_some(),
                Some(Status::Waiting) => false,
                _ => true,
            },
            What::Unblock { g } => !matches!(status(g), Some(Status::Running(on)) if on != m),
            What::ProcStart { p } => self.ps[*p as usize].m.is_none_or(|on| on == m),
            _ => true,
        }
    }

    fn apply(&mut self, m: usize, event: Event, names: &mut Names) {
        let ticks = event.ticks;
        if let Some(stop) = event.stop {
            let stack = names.stack(&mut self.writer, &event.stop_stack);
            self.stop(m, ticks, stop, stack);
        }
        let stack = names.stack(&mut self.writer, &event.stack);
        match event.what {
            What::Nothing | What::Steal { .. } => {}
            What::Start { g } => self.start(m, ticks, g, names),
            What::Unblock { g } => self.unblock(m, ticks, g, stack, names),
            What::Create { g, function, gopc } => {
                let start = names.start(&mut self.writer, function, gopc);
                self.create(m, ticks, g, start, stack);
            }
            What::ProcStart { p } => self.proc_start(m, ticks, p as usize),
            What::ProcStop { .. } => self.proc_stop(m, ticks),
            user => self.user(m, ticks, user, stack),
        }
    }

    /// What runs on the M stops.
    fn stop(&mut self, m: usize, ticks: u64, stop: Stop, stack: u64) {
        let Some(g) = self.ms[m].g.take() else { return };
        let (status, ev, why) = match stop {
            Stop::Ended => {
                self.emit(m, ticks, Ev::GoDestroy, &[]);
                self.set(g, Status::Dead);
                return;
            }
            Stop::Gosched => (Status::Runnable, Ev::GoStop, "runtime.Gosched"),
            Stop::Preempted => (Status::Runnable, Ev::GoStop, "preempted"),
            Stop::Blocked(number) => {
                let why = super::names::reason(WaitReason::of(number));
                (Status::Waiting, Ev::GoBlock, why)
            }
        };
        let why = self.writer.string(why);
        self.emit(m, ticks, ev, &[why, stack]);
        self.set(g, status);
    }

    fn set(&mut self, g: u64, status: Status) {
        if let Some(g) = self.gs.get_mut(&g) {
            g.status = status;
        }
    }

    fn next_seq(&mut self, g: u64) -> u64 {
        self.gs.get_mut(&g).map_or(0, |g| {
            g.seq += 1;
            g.seq
        })
    }

    fn start(&mut self, m: usize, ticks: u64, g: u64, names: &mut Names) {
        if self.ms[m].g.is_some() {
            self.stop(m, ticks, Stop::Gosched, 0);
        }
        match self.gs.get(&g).map(|g| g.status) {
            None => {
                let stack = names.living(&mut self.writer, g);
                self.status(m, ticks, g, Status::Runnable, stack);
            }
            Some(Status::Waiting) => self.unblock(m, ticks, g, 0, names),
            Some(Status::Running(on)) => self.stop(on, ticks, Stop::Gosched, 0),
            Some(Status::Runnable) => {}
            Some(Status::Dead) => return,
        }
        if self.ms[m].p.is_none() && !self.take_any_p(m, ticks) {
            return;
        }
        let seq = self.next_seq(g);
        self.emit(m, ticks, Ev::GoStart, &[g, seq]);
        self.set(g, Status::Running(m));
        self.ms[m].g = Some(g);
    }

    /// An M runs a goroutine, but how it came by its P is lost.
    fn take_any_p(&mut self, m: usize, ticks: u64) -> bool {
        let free = self.ps.iter().position(|p| p.m.is_none());
        if let Some(p) = free {
            self.proc_start(m, ticks, p);
        }
        free.is_some()
    }

    fn unblock(&mut self, m: usize, ticks: u64, g: u64, stack: u64, names: &mut Names) {
        match self.gs.get(&g).map(|g| g.status) {
            None => {
                let of_it = names.living(&mut self.writer, g);
                self.status(m, ticks, g, Status::Waiting, of_it);
            }
            Some(Status::Running(on)) => {
                self.stop(on, ticks, Stop::Blocked(WaitReason::Zero as u8), 0);
            }
            Some(Status::Waiting) => {}
            Some(Status::Runnable | Status::Dead) => return,
        }
        let seq = self.next_seq(g);
        self.emit(m, ticks, Ev::GoUnblock, &[g, seq, stack]);
        self.set(g, Status::Runnable);
    }

    fn create(&mut self, m: usize, ticks: u64, g: u64, start: u64, stack: u64) {
        if self.gs.contains_key(&g) {
            return;
        }
        if self.ms[m].p.is_none() && !self.take_any_p(m, ticks) {
            return self.status(m, ticks, g, Status::Runnable, start);
        }
        self.emit(m, ticks, Ev::GoCreate, &[g, start, stack]);
        let status = Status::Runnable;
        self.gs.insert(g, Goroutine { status, seq: 0 });
    }

    fn proc_start(&mut self, m: usize, ticks: u64, p: usize) {
        if self.ms[m].p == Some(p) {
            return;
        }
        if self.ms[m].p.is_some() {
            self.proc_stop(m, ticks);
        }
        if let Some(on) = self.ps[p].m {
            self.proc_stop(on, ticks);
        }
        if !self.ps[p].known {
            self.ps[p].known = true;
            self.emit(m, ticks, Ev::ProcStatus, &[p as u64, P_IDLE]);
        }
        self.ps[p].seq += 1;
        let seq = self.ps[p].seq;
        self.emit(m, ticks, Ev::ProcStart, &[p as u64, seq]);
        self.ps[p].m = Some(m);
        self.ms[m].p = Some(p);
        self.ms[m].begun = true;
    }

    /// The M gives up the P that it has.
    fn proc_stop(&mut self, m: usize, ticks: u64) {
        let Some(p) = self.ms[m].p else { return };
        if self.ms[m].g.is_some() {
            self.stop(m, ticks, Stop::Gosched, 0);
        }
        self.emit(m, ticks, Ev::ProcStop, &[]);
        self.ps[p].m = None;
        self.ms[m].p = None;
    }

    /// Tasks, regions and logs, which need a goroutine.
    fn user(&mut self, m: usize, ticks: u64, what: What, stack: u64) {
        if self.ms[m].g.is_none() {
            return;
        }
        match what {
            What::TaskBegin { task, parent, name } => {
                let name = self.writer.string(name);
                let arguments = [task, parent, name, stack];
                self.emit(m, ticks, Ev::UserTaskBegin, &arguments);
            }
            What::TaskEnd { task } => self.emit(m, ticks, Ev::UserTaskEnd, &[task, stack]),
            What::RegionBegin { task, name } => {
                let name = self.writer.string(name);
                self.emit(m, ticks, Ev::UserRegionBegin, &[task, name, stack]);
            }
            What::RegionEnd { task, name } => {
                let name = self.writer.string(name);
                self.emit(m, ticks, Ev::UserRegionEnd, &[task, name, stack]);
            }
            What::Log {
                task,
                category,
                message,
            } => {
                let key = self.writer.string(category);
                let value = self.writer.string(&message);
                self.emit(m, ticks, Ev::UserLog, &[task, key, value, stack]);
            }
            _ => {}
        }
    }

    /// Tells of a goroutine that waits, or could run, and has not been seen: it has done nothing.
    pub fn bystander(&mut self, ticks: u64, g: u64, waits: bool, stack: u64) {
        if !self.gs.contains_key(&g) {
            let status = if waits {
                Status::Waiting
            } else {
                Status::Runnable
            };
            self.status(0, ticks, g, status, stack);
        }
    }

    /// The writer, for stacks and strings.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// The bytes since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        self.writer.take()
    }
}

//! Ten million random operations on channels by 64 goroutines on 8 CPUs (a million on fewer), with
//! every value accounted for.
//!
//! The goroutines share channels of every kind, which are closed and opened anew at any time, and
//! eight of them have a mailbox that only they receive from and that they throw away at any time.
//! A value is `(goroutine, number)`. It ends in one of three ways, exactly once: received, handed
//! back by an error, or dropped inside a channel. Each end marks the value's bit in a bitmap, and
//! a bit that was set is a value that was doubled; what is not set at the end was lost. Sums and
//! exclusive-ors, kept by each goroutine for itself, say the same by another way.
//!
//! Blocking operations have no limit, so all may come to wait for each other. A goroutine of its
//! own takes part every 50 µs in what others wait for, and closes a channel now and then.
//!
//! `cargo test --test accounting -- ops=100000000 seed=7` for more, or for another run; the default
//! seed is the scheduler's. Every round of ten million begins with new channels.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod accounts;
mod chans;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use accounts::{Account, GOROUTINES, Ledger, Value};
use chans::{Random, us};
use gosched::chan::{self, Receiver, Select, Sender, TryRecvError};
use gosched::sched::SCHED;
use gosched::sync::{Mutex, WaitGroup};
use gosched::{println, runtime, select, testing, time};

/// Capacities of the shared channels; `None` is unbounded.
const CAPS: [Option<usize>; 10] = [
    Some(0),
    Some(1),
    Some(2),
    Some(16),
    None,
    Some(0),
    Some(1),
    Some(2),
    Some(16),
    None,
];
/// Goroutines that have a mailbox: the first ones.
const MAILBOXES: usize = 8;
/// Operations in one round, at most: as many values as the bitmap has bits for.
const ROUND: u64 = 10_000_000;
/// Operations by default on fewer than eight CPUs, where the others are not needed.
const FEWER: u64 = 1_000_000;
/// Operations after which a goroutine says that it goes on.
const STRIDE: u64 = 256;
/// Without that from anybody for so long, the round is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

type Ends = (Sender<Value>, Receiver<Value>);

fn open(cap: Option<usize>) -> Ends {
    cap.map_or_else(chan::unbounded, chan::bounded)
}

/// What the goroutines of a round share.
struct Shared {
    channels: [Mutex<Ends>; CAPS.len()],
    mailboxes: [Mutex<Sender<Value>>; MAILBOXES],
    closed: AtomicU64,
    operations: AtomicU64,
}

impl Shared {
    /// Opens a new channel in a place and closes the old one, unless somebody else just did.
    fn reopen(&self, place: usize, seen: &Sender<Value>) {
        let mut current = self.channels[place].lock();
        if !current.0.same_channel(seen) {
            return;
        }
        let old = core::mem::replace(&mut *current, open(CAPS[place]));
        drop(current);
        assert_eq!(
            old.0.close(),
            Ok(()),
            "each channel is closed by one goroutine"
        );
        assert!(old.1.is_closed());
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One goroutine, with handles of its own of all that is shared.
struct Worker {
    shared: Arc<Shared>,
    ends: Vec<Ends>,
    mailboxes: Vec<Sender<Value>>,
    /// Its own mailbox, if it has one.
    mailbox: Option<Receiver<Value>>,
    account: Account,
    random: Random,
}

impl Worker {
    fn new(shared: &Arc<Shared>, id: usize, mailbox: Option<Receiver<Value>>, seed: u64) -> Self {
        Self {
            shared: shared.clone(),
            ends: shared
                .channels
                .iter()
                .map(|ends| ends.lock().clone())
                .collect(),
            mailboxes: shared
                .mailboxes
                .iter()
                .map(|tx| tx.lock().clone())
                .collect(),
            mailbox,
            account: Account::new(id),
            random: Random::new(seed.wrapping_add(id as u64 * 7919)),
        }
    }

    fn place(&mut self) -> usize {
        self.random.below(CAPS.len() as u64) as usize
    }

    fn limit(&mut self) -> Duration {
        us(self.random.below(60))
    }

    /// The result of a send. What came back says that the channel is closed, or nothing.
    fn sent(&mut self, place: usize, result: Result<(), (Value, bool)>) {
        if let Err((value, disconnected)) = result {
            self.account.returned(value);
            if disconnected {
                self.refresh(place);
            }
        }
    }

    /// The result of a receive.
    fn got(&mut self, place: usize, result: Result<Value, bool>) {
        match result {
            Ok(value) => self.account.received(value),
            Err(true) => self.refresh(place),
            Err(false) => {}
        }
    }

    /// Takes handles of the channel that stands in this place now.
    fn refresh(&mut self, place: usize) {
        self.ends[place] = self.shared.channels[place].lock().clone();
    }

    /// One random operation.
    fn operate(&mut self) {
        let place = self.place();
        match self.random.below(2000) {
            0..600 => self.plain(place),
            600..700 => self.with_limit(place),
            700..1700 => self.select(place),
            1700..1850 => self.dynamic(place),
            1850..1995 => self.mail(),
            1995..1998 => self.throw_away_mailbox(),
            _ => {
                let seen = self.ends[place].0.clone();
                self.shared.reopen(place, &seen);
            }
        }
    }

    fn plain(&mut self, place: usize) {
        let (tx, rx) = &self.ends[place];
        // Rather what need not wait, or all would soon wait for each other.
        let choice = match (self.random.below(10), rx.is_empty()) {
            (7.., true) => 0,
            (7.., false) => 3,
            (choice, _) => choice,
        };
        match choice {
            0 | 1 => {
                let result = tx.send(self.account.make());
                self.sent(place, result.map_err(|e| (e.into_inner(), true)));
            }
            2 => {
                let result = tx.try_send(self.account.make());
                let result = result.map_err(|e| (e.is_disconnected(), e.into_inner()));
                self.sent(place, result.map_err(|(gone, value)| (value, gone)));
            }
            3 | 4 => {
                let result = rx.recv().map_err(|_| true);
                self.got(place, result);
            }
            5 => {
                let result = rx.try_recv().map_err(|e| e.is_disconnected());
                self.got(place, result);
            }
            _ => {
                for value in rx.try_iter().take(3) {
                    self.account.received(value);
                }
            }
        }
    }

    fn with_limit(&mut self, place: usize) {
        let limit = self.limit();
        let (tx, rx) = &self.ends[place];
        if self.random.below(2) == 0 {
            let result = tx.send_timeout(self.account.make(), limit);
            let result = result.map_err(|e| (e.is_disconnected(), e.into_inner()));
            self.sent(place, result.map_err(|(gone, value)| (value, gone)));
        } else {
            let result = rx.recv_timeout(limit).map_err(|e| e.is_disconnected());
            self.got(place, result);
        }
    }

    /// `select!` in several shapes. A value is made only for the send that is chosen.
    fn select(&mut self, a: usize) {
        let (b, c) = (self.place(), self.place());
        let limit = self.limit();
        let shape = self.random.below(8);
        let account = &mut self.account;
        let ((tx_a, rx_a), (tx_b, _), (_, rx_c)) = (&self.ends[a], &self.ends[b], &self.ends[c]);
        let mut sent = None;
        let mut got = None;
        match shape {
            0..4 => select! {
                recv(rx_a) -> result => got = Some((a, result)),
                send(tx_b, account.make()) -> result => sent = Some((b, result)),
                recv(rx_c) -> result => got = Some((c, result)),
            },
            4 => select! {
                send(tx_a, account.make()) -> result => sent = Some((a, result)),
                send(tx_b, account.make()) -> result => sent = Some((b, result)),
                default => {}
            },
            5 | 6 => select! {
                recv(rx_a) -> result => got = Some((a, result)),
                recv(rx_c) -> result => got = Some((c, result)),
                default => {}
            },
            _ => select! {
                send(tx_a, account.make()) -> result => sent = Some((a, result)),
                recv(rx_a) -> result => got = Some((a, result)),
                recv(rx_c) -> result => got = Some((c, result)),
                default(limit) => {}
            },
        }
        if let Some((place, result)) = sent {
            self.sent(place, result.map_err(|e| (e.into_inner(), true)));
        }
        if let Some((place, result)) = got {
            self.got(place, result.map_err(|_| true));
        }
    }

    /// The same by `Select`, or only whether something is ready, and then a try.
    fn dynamic(&mut self, a: usize) {
        let b = self.place();
        let only_ready = self.random.below(3) == 0;
        let ((_, rx), (tx, _)) = (&self.ends[a], &self.ends[b]);
        let mut select = Select::new();
        let (recv, _send) = (select.recv(rx), select.send(tx));
        if only_ready {
            let index = select.ready();
            drop(select);
            if index == recv {
                let result = rx.try_recv().map_err(|e| e == TryRecvError::Disconnected);
                self.got(a, result);
            } else {
                let result = tx.try_send(self.account.make());
                let result = result.map_err(|e| (e.is_disconnected(), e.into_inner()));
                self.sent(b, result.map_err(|(gone, value)| (value, gone)));
            }
            return;
        }
        let operation = select.select();
        drop(select);
        if operation.index() == recv {
            let result = operation.recv(rx).map_err(|_| true);
            self.got(a, result);
        } else {
            let result = operation.send(tx, self.account.make());
            self.sent(b, result.map_err(|e| (e.into_inner(), true)));
        }
    }

    /// Sends to a mailbox, and empties the own one.
    fn mail(&mut self) {
        let to = self.random.below(MAILBOXES as u64) as usize;
        let own = self.mailbox.is_some();
        // Two owners that wait for each other would wait for ever: they have a limit.
        let limit = if own { self.limit() } else { Duration::MAX };
        let value = self.account.make();
        if let Err(error) = self.mailboxes[to].send_timeout(value, limit) {
            let gone = error.is_disconnected();
            self.account.returned(error.into_inner());
            if gone {
                self.mailboxes[to] = self.shared.mailboxes[to].lock().clone();
            }
        }
        self.empty_mailbox();
    }

    fn empty_mailbox(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            for value in mailbox.try_iter().take(16) {
                self.account.received(value);
            }
        }
    }

    /// An owner throws its mailbox away, with what is in it, and puts up a new one.
    fn throw_away_mailbox(&mut self) {
        if self.mailbox.is_some() {
            let (tx, rx) = chan::bounded(4);
            *self.shared.mailboxes[self.account.id()].lock() = tx;
            self.mailbox = Some(rx);
        }
    }

    fn run(mut self, operations: u64) -> Account {
        for i in 0..operations {
            self.operate();
            if i % 4 == 0 {
                self.empty_mailbox();
            }
            if i % STRIDE == 0 {
                self.shared.operations.fetch_add(STRIDE, Ordering::Relaxed);
            }
        }
        self.account
    }
}

/// Does what some goroutine waits for, until all are done, so that not all wait for each other.
fn rescue(mut worker: Worker, done: &AtomicBool) -> Account {
    for turn in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        time::sleep(us(50));
        for place in 0..CAPS.len() {
            let (tx, rx) = &worker.ends[place];
            let send = match worker.account.may_make() {
                true => tx
                    .try_send(worker.account.make())
                    .map_err(|e| e.into_inner()),
                false => Ok(()),
            };
            let result = rx.try_recv().map_err(|e| e.is_disconnected());
            worker.got(place, result);
            if let Err(value) = send {
                worker.account.returned(value);
            }
        }
        // Closing wakes everybody, so it will do alone too.
        if turn % 16 == 0 || !worker.account.may_make() {
            let place = worker.place();
            worker.refresh(place);
            let seen = worker.ends[place].0.clone();
            worker.shared.reopen(place, &seen);
        }
    }
    worker.account
}

/// One round; how many channels were closed.
fn round(operations: u64, seed: u64) -> u64 {
    Ledger::clear();
    let (mut mailboxes, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..MAILBOXES {
        let (tx, rx) = chan::bounded(4);
        mailboxes.push(Mutex::new(tx));
        receivers.push(rx);
    }
    let shared = Arc::new(Shared {
        channels: CAPS.map(|cap| Mutex::new(open(cap))),
        mailboxes: mailboxes
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many as it has")),
        closed: AtomicU64::new(0),
        operations: AtomicU64::new(0),
    });
    let accounts = Arc::new(Mutex::new(Vec::new()));
    let (group, rescuer, done) = (
        WaitGroup::new(),
        WaitGroup::new(),
        Arc::new(AtomicBool::new(false)),
    );
    let mut receivers = receivers.into_iter();
    for id in 0..GOROUTINES {
        let worker = Worker::new(&shared, id, receivers.next(), seed);
        let accounts = accounts.clone();
        let share = (operations + id as u64) / GOROUTINES as u64;
        group.go(move || {
            let account = worker.run(share);
            accounts.lock().push(account);
        });
    }
    let worker = Worker::new(&shared, GOROUTINES, None, seed);
    let (of_rescuer, is_done) = (accounts.clone(), done.clone());
    rescuer.go(move || {
        let account = rescue(worker, &is_done);
        of_rescuer.lock().push(account);
    });
    let mut before = u64::MAX;
    while !group.wait_timeout(STUCK_AFTER) {
        let now = shared.operations.load(Ordering::Relaxed);
        if now == before {
            println!("{}", runtime::stack(true));
            panic!("stuck after {now} operations, seed={seed}");
        }
        before = now;
    }
    done.store(true, Ordering::Relaxed);
    rescuer.wait();
    let closed = shared.closed.load(Ordering::Relaxed);
    drop(shared); // and with it what the last channels hold
    Ledger::balance(&accounts.lock(), seed);
    closed
}

/// A number among the arguments.
fn argument(name: &str) -> Option<u64> {
    testing::arg(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[gosched::test(timeout_s = 86400)] // it notices itself when it is stuck
fn every_value_of_millions_of_operations_is_accounted_for() {
    let default = if runtime::num_cpu() < 8 { FEWER } else { ROUND };
    let operations = argument("ops").unwrap_or(default);
    let seed = argument("seed").unwrap_or_else(|| SCHED.seed.load(Ordering::Relaxed));
    let mut left = operations;
    for number in 0.. {
        if left == 0 {
            break;
        }
        let (now, seed) = (left.min(ROUND), seed.wrapping_add(number));
        let start = time::Instant::now();
        let closed = round(now, seed);
        left -= now;
        println!(
            "{now} operations, {closed} channels closed, {} s, seed={seed}: {}",
            start.elapsed().as_secs(),
            Ledger::summary()
        );
    }
}

gosched::test_main!();

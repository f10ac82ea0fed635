//! Partial deadlocks: a thousand goroutines do honest work, and among them three wait for ever. Two
//! transfers between the same accounts have locked one each and want the other's; an echo waits for
//! a word that nobody but itself could send. The others go on, so the scheduler has nothing to
//! report, as in Go; only main sees, after three seconds, that not all have come back.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;

use gosched::chan::{self, Receiver, Sender};
use gosched::sync::{Barrier, Mutex};
use gosched::time::{self, Duration, Instant};
use gosched::{Builder, go, println};

const WORKERS: usize = 1000;
const LOST: usize = 3;
/// How long there are new jobs, and when main stops waiting.
const WORK: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(3);

/// In cents.
type Account = Mutex<i64>;

/// Takes as long as each job says, and tells how many there were.
fn worker(jobs: Receiver<Duration>, to_main: Sender<usize>) {
    let mut done = 0;
    for job in jobs {
        time::sleep(job);
        done += 1;
    }
    to_main.send(done).expect("main waits for all workers");
}

/// Locks what it takes from, then what it gives to: whoever goes the other way at the same time
/// does so in the opposite order. The barrier makes sure that somebody does.
fn transfer(from: &Account, to: &Account, cents: i64, both: &Barrier) {
    let mut from = from.lock();
    both.wait(); // by now each has locked its own
    let mut to = to.lock();
    *from -= cents;
    *to += cents;
}

/// Says again what it hears. Its channel is not closed, since it holds the sender itself.
fn echo() {
    let (voice, ear) = chan::bounded(0);
    for word in ear {
        let _: Result<(), chan::SendError<u8>> = voice.send(word);
    }
}

/// Starts a goroutine of this name that tells main when it comes back.
fn start(name: &'static str, back: &Sender<()>, body: impl FnOnce() + Send + 'static) {
    let back = back.clone();
    let body = move || {
        body();
        let _ = back.send(()); // main may have given it up
    };
    let started = Builder::new().name(name).spawn(body);
    started.expect("there is memory for a goroutine");
}

/// The three, who tell when they come back.
fn start_lost() -> Receiver<()> {
    let (back, returns) = chan::bounded(LOST);
    let accounts = Arc::new([Account::new(1000), Account::new(1000)]);
    let both = Arc::new(Barrier::new(2));
    for (name, from, cents) in [("transfer a→b", 0, 70), ("transfer b→a", 1, 30)] {
        let (accounts, both) = (accounts.clone(), both.clone());
        start(name, &back, move || {
            transfer(&accounts[from], &accounts[1 - from], cents, &both);
        });
    }
    start("echo", &back, echo);
    returns
}

#[gosched::main]
fn main() {
    let begin = Instant::now();
    let (to, jobs) = chan::bounded(0);
    let (to_main, counts) = chan::bounded(0);
    for _ in 0..WORKERS {
        let (jobs, to_main) = (jobs.clone(), to_main.clone());
        go(move || worker(jobs, to_main));
    }
    drop((jobs, to_main));
    let returns = start_lost();

    let mut given = 0;
    while begin.elapsed() < WORK {
        let job = Duration::from_millis(50 + given as u64 % 50);
        to.send(job).expect("there are workers");
        given += 1;
    }
    drop(to);
    assert_eq!(
        counts.iter().sum::<usize>(),
        given,
        "a job was lost or done twice"
    );
    println!("{given} jobs done by {WORKERS} workers");

    let mut missing = LOST;
    while returns.recv_deadline(begin + LIMIT).is_ok() {
        missing -= 1;
    }
    assert_eq!(missing, LOST, "a deadlock was none");
    println!(
        "{missing} of {} goroutines are still missing",
        WORKERS + LOST
    );
}

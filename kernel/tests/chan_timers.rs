//! The channels that time sends to: `after`, `at`, `tick`; and `never`.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use chans::{Count, ms, us};
use gosched::chan::{self, RecvTimeoutError, Select, TryRecvError};
use gosched::select;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};

/// A timer that fires early, fires twice, or says another instant than the one it was set for.
#[gosched::test]
fn after_fires_once_and_not_early() {
    for limit in [Duration::ZERO, us(10), us(500), ms(5)] {
        let start = Instant::now();
        let timer = chan::after(limit);
        assert_eq!(timer.capacity(), Some(1));
        let instant = timer.recv().unwrap();
        let now = Instant::now();
        assert!(now - start >= limit, "it fired early");
        assert!(
            start + limit <= instant && instant <= now,
            "the value is when it was due"
        );
        assert_eq!(timer.try_recv(), Err(TryRecvError::Empty), "it fires once");
        assert_eq!(timer.recv_timeout(us(500)), Err(RecvTimeoutError::Timeout));
    }
}

/// The same for an instant, of the past too.
#[gosched::test]
fn at_fires_at_its_instant() {
    let start = Instant::now();
    time::sleep(us(100));
    assert_eq!(chan::at(start).recv(), Ok(start), "the past is due at once");
    let due = Instant::now() + ms(3);
    let timer = chan::at(due);
    assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(timer.recv(), Ok(due));
    assert!(Instant::now() >= due);
}

/// A timer that is due must look like a full channel, one that is not like an empty one.
#[gosched::test]
fn a_timers_length_tells_whether_it_is_due() {
    let timer = chan::after(ms(20));
    if timer.is_empty() {
        assert_eq!((timer.len(), timer.is_full()), (0, false));
    }
    time::sleep(ms(20));
    assert_eq!(
        (timer.len(), timer.is_full(), timer.is_empty()),
        (1, true, false)
    );
    timer.recv().unwrap();
    assert_eq!(
        (timer.len(), timer.is_full(), timer.is_empty()),
        (0, false, true)
    );
}

/// Clones share the one value: two that get it would be two firings.
#[gosched::test]
fn one_of_a_timers_receivers_gets_it() {
    for _ in 0..20 {
        let timer = chan::after(us(200));
        let (got, group) = (Count::new(), WaitGroup::new());
        for i in 0..8 {
            let (timer, got) = (timer.clone(), got.clone());
            group.go(move || {
                let received = match i % 2 {
                    0 => timer.recv_timeout(ms(20)).is_ok(),
                    _ => select! { recv(timer) -> at => at.is_ok(), default(ms(20)) => false },
                };
                got.add(usize::from(received));
            });
        }
        group.wait();
        assert_eq!(got.get(), 1);
    }
}

/// Overflow: a timer beyond the end of time never fires, and does not panic.
#[gosched::test]
fn endless_timers_do_not_fire() {
    for timer in [chan::after(Duration::MAX), chan::tick(Duration::MAX)] {
        assert_eq!(timer.recv_timeout(ms(2)), Err(RecvTimeoutError::Timeout));
        assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
    }
}

/// A ticker that drifts early: the n-th tick is not before n periods.
#[gosched::test]
fn ticks_are_not_early() {
    let (start, period) = (Instant::now(), ms(2));
    let ticker = chan::tick(period);
    assert_eq!(
        (ticker.capacity(), ticker.try_recv()),
        (Some(1), Err(TryRecvError::Empty))
    );
    let mut last = start;
    for n in 1..=15 {
        let tick = ticker.recv().unwrap();
        assert!(start.elapsed() >= period * n, "tick {n} is early");
        assert!(tick >= last + period, "ticks {n} and before are too near");
        last = tick;
    }
}

/// Ticks that nobody took are lost, not kept: a slow receiver must not get a burst.
#[gosched::test]
fn missed_ticks_are_not_made_up() {
    let ticker = chan::tick(ms(40));
    time::sleep(ms(140));
    assert_eq!(ticker.len(), 1);
    ticker.recv().unwrap();
    let taken = Instant::now();
    let second = ticker.try_recv();
    // Unless this machine stood still for a whole period just here.
    if taken.elapsed() < ms(15) {
        assert_eq!(second, Err(TryRecvError::Empty));
    }
}

/// A `never` that is ready for anything, such as for being disconnected.
#[gosched::test]
fn never_is_never_ready() {
    let never = chan::never::<u8>();
    assert_eq!(never.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(never.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
    assert_eq!(
        never.recv_deadline(Instant::now()),
        Err(RecvTimeoutError::Timeout)
    );
    assert_eq!(never.try_iter().next(), None);
    assert!(never.same_channel(&never.clone()));
    let mut select = Select::new();
    select.recv(&never);
    assert!(select.try_ready().is_err() && select.try_select().is_err());
    assert!(select.ready_timeout(us(200)).is_err());
    select! {
        recv(never) -> _ => panic!("never is ready"),
        default(ms(1)) => {}
    }
}

/// Two timers that are told to be one, or clones that are told not to be.
#[gosched::test]
fn clones_of_a_timer_are_the_same_channel() {
    let (timer, ticker) = (chan::after(ms(1)), chan::tick(ms(1)));
    assert!(timer.same_channel(&timer.clone()) && ticker.same_channel(&ticker.clone()));
    assert!(!timer.same_channel(&chan::after(ms(1))) && !timer.same_channel(&ticker));
}

/// Each kind of waiting for a timer, and a timer that comes before, after or with its rival.
#[gosched::test]
fn select_waits_for_timers() {
    let start = Instant::now();
    select! {
        recv(chan::after(ms(3))) -> at => assert!(at.unwrap() >= start + ms(3)),
        recv(chan::after(ms(100_000))) -> _ => panic!("too early"),
        recv(chan::never::<u8>()) -> _ => panic!("never is ready"),
    }
    assert!(start.elapsed() >= ms(3));

    let (tx, rx) = chan::bounded::<u8>(0);
    let group = WaitGroup::new();
    group.go(move || {
        time::sleep(ms(2));
        tx.send(1).unwrap();
    });
    let limit = chan::after(ms(100_000));
    select! {
        recv(rx) -> value => assert_eq!(value, Ok(1)),
        recv(limit) -> _ => panic!("too early"),
    }
    group.wait();

    let ticker = chan::tick(us(300));
    let mut ticks = 0;
    let limit = chan::after(ms(10));
    while ticks < 5 {
        select! {
            recv(ticker) -> tick => { tick.unwrap(); ticks += 1 }
            recv(limit) -> _ => break,
        }
    }
    let (timer, mut select) = (chan::after(us(500)), Select::new());
    let index = select.recv(&timer);
    assert_eq!(select.ready(), index);
    assert!(timer.try_recv().is_ok(), "ready means that it is due");
}

/// Timers that nobody waits for any more, by the thousand: each must leave its heap or be harmless
/// when it comes due.
#[gosched::test]
fn dropped_timers_do_no_harm() {
    for round in 0..20_u64 {
        for i in 0..200 {
            let timer = chan::after(us(i * 7 % 400));
            if i % 3 == 0 {
                let _ = timer.recv_timeout(us(5));
            }
            if i % 50 == 0 {
                let ticker = chan::tick(us(100 + round));
                let _ = ticker.recv();
            }
        }
    }
    time::sleep(ms(1));
}

gosched::test_main!();

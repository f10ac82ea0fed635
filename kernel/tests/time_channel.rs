//! Channels of the clock: timers, tickers, `after`, `at`, `tick`. Never early, no stale value after
//! a stop or a reset, and whatever stop and reset say is what the channel then does.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{await_waiting, eventually};
use gosched::chan::{self, Receiver, RecvTimeoutError, Select, TryRecvError};
use gosched::select;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Duration, Instant, Ticker, Timer};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// Long enough for whatever is wrong to happen.
const A_WHILE: Duration = Duration::from_millis(20);

#[track_caller]
fn assert_silent(r: &Receiver<Instant>) {
    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    select! {
        recv(r) -> _ => panic!("a value"),
        default => {}
    }
    assert_eq!((r.len(), r.is_empty()), (0, true));
}

/// Go's TestAfter and TestAfterTick, on each kind of channel, by each way of waiting. Would catch a
/// value that is early, or is not the instant at which it was due, or does not wake.
#[gosched::test]
fn values_come_when_they_are_due_and_never_early() {
    let sources: [fn(Instant) -> Receiver<Instant>; 5] = [
        |_| chan::after(2 * MS),
        |start| chan::at(start + 2 * MS),
        |_| chan::tick(2 * MS),
        |_| Timer::new(2 * MS).channel().clone(),
        |_| Ticker::new(2 * MS).channel().clone(),
    ];
    let waits: [fn(&Receiver<Instant>) -> Instant; 6] = [
        |r| r.recv().unwrap(),
        |r| r.recv_timeout(HOUR).unwrap(),
        |r| {
            select! { recv(r) -> due => due.unwrap(), recv(chan::after(HOUR)) -> _ => panic!() }
        },
        |r| {
            let mut select = Select::new();
            select.recv(r);
            select.select().recv(r).unwrap()
        },
        |r| {
            let mut select = Select::new();
            select.recv(r);
            assert_eq!(select.ready_timeout(HOUR), Ok(0));
            r.try_recv().unwrap()
        },
        |r| {
            loop {
                match r.try_recv() {
                    Ok(due) => return due,
                    Err(error) => assert_eq!(error, TryRecvError::Empty),
                }
                time::sleep(MS / 10);
            }
        },
    ];
    for source in sources {
        for wait in waits {
            let start = Instant::now();
            let due = wait(&source(start));
            assert!(Instant::now() >= due, "early");
            assert!(due >= start + 2 * MS);
        }
    }
}

/// Go's TestChan, as far as it is about one timer: the matrix of stop and reset, before the time,
/// after it, and after the value was received.
#[gosched::test]
fn stop_and_reset_leave_no_stale_value() {
    let timer = Timer::new(HOUR);
    let r = timer.channel().clone();
    assert_silent(&r);
    assert!(timer.reset(HOUR), "it was to come");
    assert!(timer.stop());
    assert!(!timer.stop());
    assert!(!timer.reset(HOUR), "it was stopped");

    // The time passes, nobody looks.
    assert!(timer.reset(MS));
    time::sleep(2 * MS);
    assert_eq!(
        (r.len(), r.capacity()),
        (0, Some(0)),
        "Go's channels seem to have no room"
    );
    assert!(timer.stop(), "nobody received the value");
    assert_silent(&r);

    assert!(!timer.reset(MS));
    time::sleep(2 * MS);
    assert!(timer.reset(HOUR), "nobody received the value");
    assert_silent(&r);

    assert!(timer.reset(MS));
    let start = Instant::now();
    time::sleep(2 * MS);
    assert!(r.recv().unwrap() <= start + MS);
    assert_silent(&r);
    assert!(!timer.stop(), "it was received");
    assert!(!timer.reset(MS));
    assert!(r.recv().is_ok());
    assert!(!timer.reset(Duration::MAX));
    assert!(timer.stop());
}

/// Who waits while the timer is put off, stopped, and set again, gets the value of the last
/// setting. Would catch an alarm that is set for nobody, or for an old time.
#[gosched::test]
fn reset_moves_the_alarm_of_those_who_wait() {
    for waiters in [1, 3] {
        let timer = Arc::new(Timer::new(HOUR));
        let got = Arc::new(Mutex::new(Vec::new()));
        let group = WaitGroup::new();
        for _ in 0..waiters {
            let (r, got) = (timer.channel().clone(), got.clone());
            group.go(move || {
                let due = r.recv().unwrap();
                got.lock().push((due, Instant::now()));
            });
        }
        time::sleep(MS);
        assert!(timer.reset(2 * HOUR));
        assert!(timer.reset(HOUR));
        assert!(timer.stop());
        time::sleep(4 * MS);
        assert!(got.lock().is_empty(), "it was stopped");
        for n in 1..=waiters {
            let start = Instant::now();
            assert!(!timer.reset(MS));
            assert!(eventually(|| got.lock().len() == n), "one value wakes one");
            let (due, now) = got.lock()[n - 1];
            assert!(due >= start + MS && now >= due);
        }
        group.wait();
    }
}

/// Go's TestTicker and TestTickerStress: ticks lie on the grid, some may be missing.
#[gosched::test]
fn ticks_keep_time() {
    let period = Duration::from_micros(500);
    let start = Instant::now();
    let ticker = Ticker::new(period);
    let first = ticker.channel().recv().unwrap();
    assert!(first >= start + period);
    let mut last = first;
    for due in ticker.channel().iter().take(50) {
        let since = (due - first).as_nanos();
        assert!(due > last && due <= Instant::now());
        assert_eq!(since % period.as_nanos(), 0, "off the grid");
        last = due;
    }
}

/// A slow receiver gets the one tick that waits for it, and then the next one on time.
#[gosched::test]
fn a_slow_receiver_misses_ticks() {
    for r in [chan::tick(MS), Ticker::new(MS).channel().clone()] {
        time::sleep(A_WHILE);
        let late = Instant::now();
        let first = r.recv().unwrap();
        let second = r.recv().unwrap();
        assert!(second - first >= A_WHILE - 2 * MS, "ticks have piled up");
        assert!(second > late);
    }
}

/// Go's TestTeardown, and TestTicker with Reset: a ticker that is stopped says nothing more, one
/// that is set again ticks in its new time.
#[gosched::test]
fn tickers_stop_and_start_again() {
    let ticker = Ticker::new(MS);
    let r = ticker.channel();
    assert!(r.recv().is_ok());
    time::sleep(3 * MS);
    ticker.stop();
    assert_silent(r);
    assert!(r.recv_timeout(5 * MS).is_err());
    let start = Instant::now();
    ticker.reset(2 * MS);
    assert!(r.recv().unwrap() >= start + 2 * MS);
    ticker.reset(HOUR);
    assert_silent(r);
    assert!(r.recv_timeout(5 * MS).is_err());
    ticker.stop();
    ticker.stop();
}

#[gosched::test]
#[should_panic(expected = "non-positive interval for NewTicker")]
fn a_ticker_needs_a_period() {
    let _ = Ticker::new(Duration::ZERO);
}

#[gosched::test]
#[should_panic(expected = "non-positive interval for Ticker.Reset")]
fn a_ticker_needs_a_period_in_reset() {
    Ticker::new(HOUR).reset(Duration::ZERO);
}

/// crossbeam's channels of the clock: room for one value, which shows.
#[gosched::test]
fn the_length_of_after_and_tick_shows_a_due_value() {
    for r in [chan::after(HOUR), chan::tick(HOUR)] {
        assert_eq!((r.len(), r.is_empty(), r.is_full()), (0, true, false));
        assert_eq!(r.capacity(), Some(1));
    }
    for r in [chan::after(MS), chan::tick(MS)] {
        time::sleep(2 * MS);
        assert_eq!((r.len(), r.is_empty(), r.is_full()), (1, false, true));
        assert!(r.try_recv().is_ok());
        assert!(!r.is_closed());
        assert!(r.same_channel(&r.clone()) && !r.same_channel(&chan::after(MS)));
    }
    let r = chan::after(Duration::ZERO);
    assert_eq!(r.try_iter().count(), 1);
    assert_eq!(r.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
}

/// Go's TestOverflowSleep, TestOverflowPeriodRuntimeTimer.
#[gosched::test]
fn endless_times_do_not_come() {
    let timer = Timer::new(Duration::MAX);
    let ticker = Ticker::new(Duration::MAX);
    let receivers = [
        chan::after(Duration::MAX),
        chan::tick(Duration::MAX),
        chan::never(),
        timer.channel().clone(),
        ticker.channel().clone(),
    ];
    let mut select = Select::new();
    for r in &receivers {
        select.recv(r);
    }
    assert!(select.select_timeout(A_WHILE).is_err());
    assert!(timer.stop());
}

/// Waiters that give up, in a receive or a select, leave the value to those who stay; and an alarm
/// that nobody waits for is not kept. Would catch a value that goes to somebody who has left.
#[gosched::test]
fn who_gives_up_takes_nothing_along() {
    for round in 0..200_u64 {
        let due = Duration::from_micros(100 + round % 50);
        let timer = Arc::new(Timer::new(due));
        let got = Arc::new(AtomicUsize::new(0));
        let group = WaitGroup::new();
        for i in 0..6_u64 {
            let (r, got) = (timer.channel().clone(), got.clone());
            group.go(move || {
                let limit = Duration::from_micros(90 + i * 15);
                let value = match i % 2 {
                    0 => r.recv_timeout(limit).is_ok(),
                    _ => select! { recv(r) -> due => due.is_ok(), default(limit) => false },
                };
                got.fetch_add(usize::from(value), Ordering::Relaxed);
            });
        }
        group.wait();
        let taken = got.load(Ordering::Relaxed);
        let left = timer.channel().recv_timeout(match taken {
            0 => HOUR,
            _ => Duration::ZERO,
        });
        assert_eq!(taken + usize::from(left.is_ok()), 1, "one time, one value");
    }
}

/// Waiters are served in the order in which they came.
#[gosched::test]
fn ticks_go_to_who_waits_longest() {
    let ticker = Ticker::new(HOUR);
    let order = Arc::new(Mutex::new(Vec::new()));
    let group = WaitGroup::new();
    for i in 0..8_usize {
        let (r, order) = (ticker.channel().clone(), order.clone());
        group.go(move || {
            let due = r.recv().unwrap();
            order.lock().push((due, i));
        });
        await_waiting(i + 1, "chan receive");
    }
    ticker.reset(2 * MS);
    group.wait();
    let mut order = order.lock();
    order.sort();
    assert!(order.iter().map(|&(_, i)| i).eq(0..8), "{order:?}");
}

/// Go's TestStopResult and TestResetResult (#69312): whatever stop and reset answer while the time
/// comes and others receive, each setting is either received once or prevented once.
#[gosched::test]
fn stop_and_reset_agree_with_the_channel() {
    let group = WaitGroup::new();
    for i in 0..100_u64 {
        group.go(move || {
            for n in 0..100_u64 {
                one_race(n % 2 == 0, Duration::from_micros((i * 7 + n * 13) % 50));
            }
        });
    }
    group.wait();
}

fn one_race(by_stop: bool, d: Duration) {
    let timer = Arc::new(Timer::new(d));
    let (tx, rx) = chan::bounded(1);
    let (r, limit) = (timer.channel().clone(), 2 * d);
    gosched::go(move || tx.send(r.recv_timeout(limit).is_ok()).unwrap());
    if d.subsec_micros().is_multiple_of(3) {
        time::sleep(d);
    }
    let prevented = match by_stop {
        true => timer.stop(),
        false => timer.reset(HOUR),
    };
    assert_eq!(
        timer.channel().try_recv(),
        Err(TryRecvError::Empty),
        "stale"
    );
    let received = rx.recv().unwrap();
    assert_ne!(prevented, received, "by_stop: {by_stop}");
}

/// Go's TestZeroTimer (#44868): a hundred thousand timers that are due at once, by receive and by
/// select, on many goroutines; none is lost.
#[gosched::test]
fn no_timer_of_zero_is_lost() {
    let group = WaitGroup::new();
    for _ in 0..4 {
        group.go(|| {
            let timer = Timer::new(HOUR);
            for n in 0..25_000 {
                timer.reset(Duration::from_nanos(n % 3));
                match n % 4 {
                    0 => _ = timer.channel().recv().unwrap(),
                    1 => select! { recv(timer.channel()) -> due => _ = due.unwrap() },
                    2 => _ = chan::after(Duration::ZERO).recv().unwrap(),
                    _ => {
                        Timer::new(Duration::from_nanos(1))
                            .channel()
                            .recv()
                            .unwrap();
                    }
                }
            }
        });
    }
    group.wait();
}

/// Go's TestTimerModifiedEarlier (#47329), with somebody who waits: resets forth and back never
/// lose the last one.
#[gosched::test]
fn rapid_resets_reach_who_waits() {
    let group = WaitGroup::new();
    for i in 0..8_u64 {
        group.go(move || {
            let timer = Arc::new(Timer::new(HOUR));
            for n in 0..200_u64 {
                let (tx, rx) = chan::bounded(1);
                let r = timer.channel().clone();
                gosched::go(move || tx.send(r.recv().unwrap()).unwrap());
                let start = Instant::now();
                assert_eq!(timer.reset(HOUR), n == 0, "nothing was to come");
                let mut received = false;
                for far in [2 * HOUR, 3 * MS, HOUR, Duration::from_micros(n % 20)] {
                    received |= !timer.reset(far);
                    if n % 8 == 0 {
                        time::sleep(Duration::from_micros(i * 5));
                    }
                }
                assert!(rx.recv().unwrap() >= start, "early");
                // If 3 ms passed between two resets, that was the value: nobody took the last one.
                assert_eq!(timer.stop(), received);
            }
        });
    }
    group.wait();
}

/// Two tickers and a timer in one select, as in Go's rate limiters: all get their turn.
#[gosched::test]
fn a_select_over_clocks_serves_all() {
    let (fast, slow) = (chan::tick(MS), chan::tick(5 * MS));
    let not_before = Instant::now() + A_WHILE;
    let end = chan::after(A_WHILE);
    let not_after = Instant::now() + A_WHILE;
    let (mut of_fast, mut of_slow, mut ended) = (0, 0, false);
    while of_fast < 3 || of_slow < 3 || !ended {
        select! {
            recv(fast) -> due => { due.unwrap(); of_fast += 1; }
            recv(slow) -> due => { due.unwrap(); of_slow += 1; }
            recv(end) -> due => {
                assert!((not_before..=not_after).contains(&due.unwrap()));
                ended = true;
            }
        }
    }
    assert!(Instant::now() >= not_before);
}

/// Nobody waits for a hundred thousand timers: no heap holds them, also after somebody
/// has waited in vain. Would catch timers that are armed without anyone who waits.
#[gosched::test]
fn timers_that_nobody_waits_for_stand_in_no_heap() {
    let in_heaps = || -> usize {
        let ps = gosched::sched::SCHED.allp();
        ps.iter().map(|p| p.timers.len()).sum()
    };
    let before = in_heaps();
    let timers: Vec<Timer> = (0..100_000).map(|_| Timer::new(HOUR)).collect();
    assert!(in_heaps() < before + 1000, "armed though nobody waits");
    let briefly = Duration::from_micros(5);
    for timer in timers.iter().take(2000) {
        assert!(timer.channel().recv_timeout(briefly).is_err());
        select! { recv(timer.channel()) -> _ => panic!("early"), default(briefly) => {} }
    }
    assert!(
        in_heaps() < before + 1000,
        "armed though nobody waits any more"
    );
    assert!(timers.iter().all(Timer::stop));
}

gosched::test_main!();

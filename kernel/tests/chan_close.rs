//! Closing, as in Go: who is woken, what is still received, who gets a value back; and in which
//! order those that wait are served.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use chans::{Count, Counted, Random, ms, until_parked, us};
use gosched::chan::{
    self, CloseError, Receiver, RecvError, RecvTimeoutError, Select, SendError, SendTimeoutError,
    Sender, TryRecvError, TrySendError,
};
use gosched::runtime;
use gosched::select;
use gosched::sync::{Mutex, WaitGroup};
use gosched::time::{self, Instant};

/// A channel's ends.
type Ends<T> = (Sender<T>, Receiver<T>);

/// A channel of each flavour, with how many values a test may put in.
fn flavours<T>() -> Vec<(usize, Ends<T>)> {
    let bounded = |cap| (cap, chan::bounded(cap));
    vec![bounded(0), bounded(1), bounded(5), (5, chan::unbounded())]
}

/// A close that is told to one clone only, or that succeeds twice.
#[gosched::test]
fn a_channel_closes_once_for_all_its_handles() {
    for (_, (tx, rx)) in flavours::<u8>() {
        let (other_tx, other_rx) = (tx.clone(), rx.clone());
        assert!(!tx.is_closed() && !rx.is_closed());
        assert_eq!(tx.close(), Ok(()));
        for sender in [&tx, &other_tx, &tx.clone()] {
            assert!(sender.is_closed());
            assert_eq!(sender.close(), Err(CloseError));
        }
        assert!(rx.is_closed() && other_rx.is_closed() && other_rx.clone().is_closed());
    }
    assert_eq!(
        format!("{CloseError} {CloseError:?}"),
        "close of closed channel CloseError"
    );
    let error: &dyn core::error::Error = &CloseError;
    assert!(error.source().is_none());
}

/// Of many that close at the same time one succeeds.
#[gosched::test]
fn one_of_many_closes_succeeds() {
    for _ in 0..100 {
        let (tx, _rx) = chan::bounded::<u8>(1);
        let (closed, group) = (Count::new(), WaitGroup::new());
        for _ in 0..8 {
            let (tx, closed) = (tx.clone(), closed.clone());
            group.go(move || _ = closed.add(usize::from(tx.close().is_ok())));
        }
        group.wait();
        assert_eq!(closed.get(), 1);
    }
}

/// Go's closedchan.go: each form of receive gets the values first, and then the end, for ever.
#[gosched::test]
fn every_receive_drains_before_it_sees_the_end() {
    type Form = fn(&Receiver<usize>) -> Option<usize>;
    let forms: [Form; 8] = [
        |rx| rx.recv().ok(),
        |rx| rx.try_recv().ok(),
        |rx| rx.recv_timeout(ms(100_000)).ok(),
        |rx| rx.recv_deadline(Instant::now()).ok(),
        |rx| rx.iter().next(),
        |rx| rx.try_iter().next(),
        |rx| select! { recv(rx) -> n => n.ok(), recv(chan::never::<u8>()) -> _ => None },
        |rx| select! { recv(rx) -> n => n.ok(), default => panic!("the end is ready too") },
    ];
    for form in forms {
        for (cap, (tx, rx)) in flavours() {
            (0..cap).for_each(|n| tx.send(n).unwrap());
            tx.close().unwrap();
            assert_eq!((rx.len(), tx.len()), (cap, cap));
            assert!((0..cap).all(|n| form(&rx) == Some(n)));
            assert!((0..3).all(|_| form(&rx).is_none()));
            assert_eq!(rx.recv(), Err(RecvError));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(rx.recv_timeout(us(1)), Err(RecvTimeoutError::Disconnected));
        }
    }
}

/// Each form of send gets its value back, also where there is room, and where a receiver waits
/// that has not yet run since the close.
#[gosched::test]
fn every_send_on_a_closed_channel_gives_its_value_back() {
    for (_, (tx, rx)) in flavours() {
        tx.close().unwrap();
        assert_eq!(tx.send(1), Err(SendError(1)));
        assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)));
        assert_eq!(
            tx.send_timeout(3, ms(100_000)),
            Err(SendTimeoutError::Disconnected(3))
        );
        assert_eq!(
            tx.send_deadline(4, Instant::now()),
            Err(SendTimeoutError::Disconnected(4))
        );
        select! {
            send(tx, 5) -> sent => assert_eq!(sent, Err(SendError(5))),
            default => panic!("the error is ready"),
        }
        let mut dynamic = Select::new();
        dynamic.send(&tx);
        assert_eq!(dynamic.ready(), 0);
        assert_eq!(dynamic.select().send(&tx, 6), Err(SendError(6)));
        assert!(rx.is_empty());
    }
}

/// Row 47 of Go's rules: all receivers and selects that wait are woken, whatever their number.
#[gosched::test]
fn a_close_wakes_all_that_receive() {
    let (tx, rx) = chan::bounded::<u8>(3);
    let group = WaitGroup::new();
    for form in 0..60 {
        let rx = rx.clone();
        group.go(move || match form % 4 {
            0 => assert_eq!(rx.recv(), Err(RecvError)),
            1 => assert_eq!(
                rx.recv_timeout(ms(100_000)),
                Err(RecvTimeoutError::Disconnected)
            ),
            2 => select! {
                recv(chan::never::<u8>()) -> _ => unreachable!(),
                recv(rx) -> end => assert_eq!(end, Err(RecvError)),
            },
            _ => {
                let mut select = Select::new();
                select.recv(&rx);
                assert_eq!(select.ready(), 0);
                assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            }
        });
    }
    until_parked(30, "chan receive");
    until_parked(30, "select");
    tx.close().unwrap();
    group.wait();
}

/// All senders that wait get their value back, and none of those values is received; what the
/// buffer held before is.
#[gosched::test]
fn a_close_wakes_all_that_send() {
    for cap in [0, 2] {
        let (tx, rx) = chan::bounded(cap);
        (0..cap).for_each(|n| tx.send(n).unwrap());
        let group = WaitGroup::new();
        for n in 100..160 {
            let tx = tx.clone();
            group.go(move || {
                let back = match n % 3 {
                    0 => tx.send(n).unwrap_err().into_inner(),
                    1 => tx.send_timeout(n, ms(100_000)).unwrap_err().into_inner(),
                    _ => select! {
                        recv(chan::never::<u8>()) -> _ => unreachable!(),
                        send(tx, n) -> sent => sent.unwrap_err().into_inner(),
                    },
                };
                assert_eq!(back, n);
            });
        }
        until_parked(40, "chan send");
        until_parked(20, "select");
        tx.close().unwrap();
        assert!(
            rx.try_iter().eq(0..cap),
            "a waiting sender's value was taken after the close"
        );
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        group.wait();
    }
}

/// Go's TestNonblockRecvRace with a close: "empty" must never be said of a channel that had a value
/// until it was closed.
#[gosched::test]
fn a_try_receive_is_not_fooled_by_a_close() {
    for _ in 0..3000 {
        let (tx, rx) = chan::bounded(1);
        tx.send(1).unwrap();
        let group = WaitGroup::new();
        let receiver = rx.clone();
        group.go(move || assert_ne!(receiver.try_recv(), Err(TryRecvError::Empty)));
        tx.close().unwrap();
        let _ = rx.recv();
        group.wait();
    }
}

/// A close while senders and receivers are at it: what was sent is received, what was not came
/// back, and the values' drops agree.
#[gosched::test]
fn a_close_in_the_midst_loses_and_doubles_nothing() {
    for round in 0..60 {
        let (_, (tx, rx)) = flavours().swap_remove(round % 4);
        let (sent, received, drops) = (Count::new(), Count::new(), Count::new());
        let group = WaitGroup::new();
        for seed in 0..3 {
            let (tx, sent, drops) = (tx.clone(), sent.clone(), drops.clone());
            group.go(move || {
                let mut random = Random::new((round * 7 + seed) as u64);
                loop {
                    let result = match random.below(3) {
                        0 => tx.send(Counted::new(&drops)),
                        1 => select! {
                            send(tx, Counted::new(&drops)) -> result => result,
                            default(us(20)) => continue,
                        },
                        _ => select! {
                            send(tx, Counted::new(&drops)) -> result => result,
                            recv(chan::never::<u8>()) -> _ => unreachable!(),
                        },
                    };
                    match result {
                        Ok(()) => _ = sent.add(1),
                        Err(_) => return,
                    }
                    // A send to an unbounded channel never waits: without preemption the close
                    // would never come.
                    if random.below(16) == 0 {
                        runtime::gosched();
                    }
                }
            });
            let (rx, received) = (rx.clone(), received.clone());
            group.go(move || rx.iter().for_each(|_| _ = received.add(1)));
        }
        time::sleep(us(50 + 10 * round as u64));
        tx.close().unwrap();
        group.wait();
        assert_eq!((sent.get(), rx.len()), (received.get(), 0));
        // One more of each sender came back with the close.
        assert_eq!(drops.get(), sent.get() + 3);
    }
}

/// Values in a closed channel that nobody receives are dropped with it, once.
#[gosched::test]
fn what_a_closed_channel_holds_is_dropped_once() {
    for (cap, (tx, rx)) in flavours() {
        let drops = Count::new();
        (0..cap).for_each(|_| drop(tx.send(Counted::new(&drops))));
        tx.close().unwrap();
        assert_eq!(drops.get(), 0, "receivers can still get them");
        drop(rx.try_recv());
        drop(rx);
        assert_eq!(drops.get(), cap);
        drop(tx);
        assert_eq!(drops.get(), cap);
    }
}

/// The last sender's end is a close, and the sides that are left see it as one.
#[gosched::test]
fn the_last_senders_end_closes() {
    for (_, (tx, rx)) in flavours::<u8>() {
        let other = tx.clone();
        drop(tx);
        assert!(!rx.is_closed());
        drop(other);
        assert!(rx.is_closed());
    }
    for (_, (tx, rx)) in flavours() {
        tx.close().unwrap();
        drop(tx);
        assert_eq!(rx.try_recv(), Err::<u8, _>(TryRecvError::Disconnected));
        drop(rx);
    }
}

/// Those that wait to receive are served in the order in which they came, in all forms of waiting.
#[gosched::test]
fn receivers_are_served_first_in_first_out() {
    for cap in [0, 4] {
        let (tx, rx) = chan::bounded::<usize>(cap);
        let (order, group) = (Arc::new(Mutex::new(Vec::new())), WaitGroup::new());
        for turn in 0..18 {
            let (rx, order) = (rx.clone(), order.clone());
            group.go(move || {
                let got = match turn % 3 {
                    0 => rx.recv().unwrap(),
                    1 => rx.recv_timeout(ms(100_000)).unwrap(),
                    _ => select! {
                        recv(rx) -> n => n.unwrap(),
                        recv(chan::never::<u8>()) -> _ => unreachable!(),
                    },
                };
                order.lock().push((turn, got));
            });
            let selects = (turn + 1) / 3;
            until_parked(turn + 1 - selects, "chan receive");
            until_parked(selects, "select");
        }
        (0..18).for_each(|n| tx.send(n).unwrap());
        group.wait();
        assert!(
            order.lock().iter().all(|(turn, got)| turn == got),
            "{:?}",
            order.lock()
        );
    }
}

/// Those that wait to send are, too, and what waits comes behind what is in the buffer. A select
/// is left out where there is a buffer: it makes its value when it is given a place there, and
/// others may be quicker.
#[gosched::test]
fn senders_are_served_first_in_first_out() {
    for cap in [0, 1, 4] {
        let (tx, rx) = chan::bounded::<usize>(cap);
        (0..cap).for_each(|n| tx.send(n).unwrap());
        let group = WaitGroup::new();
        let mut selects = 0;
        for turn in 0..18 {
            let tx = tx.clone();
            let is_select = cap == 0 && turn % 3 == 2;
            selects += usize::from(is_select);
            group.go(move || {
                if is_select {
                    select! {
                        send(tx, cap + turn) -> sent => sent.unwrap(),
                        recv(chan::never::<u8>()) -> _ => unreachable!(),
                    }
                } else if turn % 3 == 1 {
                    tx.send_timeout(cap + turn, ms(100_000)).unwrap();
                } else {
                    tx.send(cap + turn).unwrap();
                }
            });
            until_parked(turn + 1 - selects, "chan send");
            until_parked(selects, "select");
        }
        // With so many that wait, no try fails.
        let order: Vec<_> = (0..cap + 18).map(|_| rx.try_recv()).collect();
        assert!(
            order.iter().copied().eq((0..cap + 18).map(Ok)),
            "{cap}: {order:?}"
        );
        group.wait();
    }
}

/// A value wakes one receiver, and room wakes one sender: no thundering herd.
#[gosched::test]
fn one_operation_wakes_one_waiter() {
    let switches = || runtime::stats().ps.iter().map(|p| p.switches).sum::<u64>();
    let (tx, rx) = chan::bounded::<u8>(1);
    let (woken, group) = (Count::new(), WaitGroup::new());
    for _ in 0..200 {
        let (rx, woken) = (rx.clone(), woken.clone());
        group.go(move || {
            if rx.recv().is_ok() {
                woken.add(1);
            }
        });
    }
    until_parked(200, "chan receive");
    let before = switches();
    for sent in 1..=20 {
        tx.send(1).unwrap();
        while woken.get() < sent {
            time::sleep(us(50));
        }
        assert!(rx.is_empty());
    }
    // Each round is one receiver, and this goroutine after its sleeps; 200 each would be a herd.
    let switched = switches() - before;
    assert!(switched < 20 * 100, "{switched} switches for 20 values");
    assert_eq!(woken.get(), 20);
    tx.close().unwrap();
    group.wait();
}

/// A waiter whose limit ends in the middle of the queue leaves the others in their order.
#[gosched::test]
fn those_that_give_up_leave_the_queue_in_order() {
    let (tx, rx) = chan::bounded::<usize>(0);
    let (order, group) = (Arc::new(Mutex::new(Vec::new())), WaitGroup::new());
    let impatient = WaitGroup::new();
    for turn in 0..9 {
        let (rx, order) = (rx.clone(), order.clone());
        if turn % 3 == 1 {
            impatient.go(move || {
                assert_eq!(rx.recv_timeout(ms(500)), Err(RecvTimeoutError::Timeout));
            });
        } else {
            group.go(move || {
                let got = rx.recv().unwrap();
                order.lock().push(got);
            });
        }
        until_parked(turn + 1, "chan receive");
    }
    impatient.wait();
    for n in 0..6 {
        tx.send(n).unwrap();
        while order.lock().len() == n {
            time::sleep(us(50));
        }
    }
    group.wait();
    assert!(order.lock().iter().copied().eq(0..6));
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "nobody is left");
}

gosched::test_main!();

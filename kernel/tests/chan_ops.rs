//! Every operation of a channel in every flavour: where it waits, what wakes it, what it says at
//! the end of its time.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use chans::{Count, ms, until_parked, us};
use gosched::chan::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use gosched::go;
use gosched::runtime;
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};

/// A channel's ends.
type Ends<T> = (Sender<T>, Receiver<T>);

/// A channel of each flavour that holds values, with its capacity.
fn flavours<T>() -> Vec<(Option<usize>, Ends<T>)> {
    let bounded = |cap| (Some(cap), chan::bounded(cap));
    vec![
        bounded(0),
        bounded(1),
        bounded(3),
        (None, chan::unbounded()),
    ]
}

/// A capacity that is off by one, an unbounded channel that calls itself full, a length that
/// counts what was taken.
#[gosched::test]
fn sizes_are_those_of_the_flavour() {
    for (cap, (tx, rx)) in flavours::<u32>() {
        assert_eq!((tx.capacity(), rx.capacity()), (cap, cap));
        assert!(tx.is_empty() && rx.is_empty());
        assert_eq!(
            (tx.is_full(), rx.is_full()),
            (cap == Some(0), cap == Some(0))
        );
        let fits = cap.unwrap_or(100);
        for n in 0..fits {
            assert_eq!((tx.len(), rx.len()), (n, n));
            tx.try_send(7).unwrap();
        }
        assert_eq!((tx.len(), rx.len()), (fits, fits));
        assert_eq!((tx.is_full(), rx.is_full()), (cap.is_some(), cap.is_some()));
        for n in (0..fits).rev() {
            rx.try_recv().unwrap();
            assert_eq!((tx.len(), rx.len()), (n, n));
        }
        assert!(tx.is_empty() && rx.is_empty());
    }
    let never = chan::never::<u32>();
    assert_eq!((never.len(), never.capacity()), (0, Some(0)));
    assert!(never.is_empty() && never.is_full());
}

/// Go's TestChan: a receive that returns before there is a value, or is not woken by it.
#[gosched::test]
fn a_receive_waits_for_its_value() {
    for (_, (tx, rx)) in flavours::<u32>() {
        let (received, group) = (Count::new(), WaitGroup::new());
        let count = received.clone();
        group.go(move || {
            assert_eq!(rx.recv(), Ok(5));
            count.add(1);
        });
        until_parked(1, "chan receive");
        assert_eq!(received.get(), 0);
        tx.send(5).unwrap();
        group.wait();
    }
}

/// Go's TestChan: a send that returns before there is room, or is not woken by a receive.
#[gosched::test]
fn a_send_waits_for_room() {
    for cap in [0, 1, 3] {
        let (tx, rx) = chan::bounded::<usize>(cap);
        for i in 0..cap {
            tx.send(i).unwrap();
        }
        let (sent, group) = (Count::new(), WaitGroup::new());
        let count = sent.clone();
        group.go(move || {
            tx.send(cap).unwrap();
            count.add(1);
        });
        until_parked(1, "chan send");
        assert_eq!(sent.get(), 0);
        assert_eq!(rx.recv(), Ok(0));
        group.wait();
        assert!(
            rx.iter().eq(1..=cap),
            "the values come in the order they were sent"
        );
    }
}

/// An unbounded channel that waits at some size, loses what stands at the seam of two blocks, or
/// gives its values back in another order.
#[gosched::test]
fn an_unbounded_send_never_waits() {
    let (tx, rx) = chan::unbounded();
    for round in 1..4 {
        for i in 0..5000 * round {
            tx.send(i).unwrap();
        }
        assert_eq!(rx.len(), 5000 * round);
        assert!((0..5000 * round).all(|i| rx.try_recv() == Ok(i)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    }
}

/// A form without waiting that waits, or that tells empty from disconnected by the wrong order.
#[gosched::test]
fn try_forms_never_wait() {
    for (cap, (tx, rx)) in flavours::<usize>() {
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        if let Some(cap) = cap {
            for i in 0..cap {
                assert_eq!(tx.try_send(i), Ok(()));
            }
            assert_eq!(tx.try_send(99), Err(TrySendError::Full(99)));
            for i in 0..cap {
                assert_eq!(rx.try_recv(), Ok(i));
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        }
        let sender = tx.clone();
        drop(tx);
        assert_eq!(
            rx.try_recv(),
            Err(TryRecvError::Empty),
            "one sender is left"
        );
        drop(sender);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    }
    for (_, (tx, rx)) in flavours() {
        drop(rx.clone());
        drop(rx);
        assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
        assert_eq!(tx.send(2), Err(SendError(2)));
        assert_eq!(
            tx.send_timeout(3, ms(1000)),
            Err(SendTimeoutError::Disconnected(3))
        );
    }
}

/// A limit that fires early, or a time-out that keeps the value.
#[gosched::test]
fn limits_are_never_early_and_give_the_value_back() {
    for (cap, (tx, rx)) in flavours::<usize>() {
        for limit in [Duration::ZERO, us(1), us(300), ms(3)] {
            let start = Instant::now();
            assert_eq!(rx.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
            assert!(start.elapsed() >= limit);
            let deadline = Instant::now() + limit;
            assert_eq!(rx.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
            assert!(Instant::now() >= deadline);
        }
        let Some(cap) = cap else { continue };
        for i in 0..cap {
            tx.send(i).unwrap();
        }
        for limit in [Duration::ZERO, us(1), us(300), ms(3)] {
            let start = Instant::now();
            assert_eq!(tx.send_timeout(9, limit), Err(SendTimeoutError::Timeout(9)));
            assert!(start.elapsed() >= limit);
            let deadline = Instant::now() + limit;
            assert_eq!(
                tx.send_deadline(8, deadline),
                Err(SendTimeoutError::Timeout(8))
            );
            assert!(Instant::now() >= deadline);
        }
        assert!(rx.try_iter().eq(0..cap), "a time-out left something behind");
    }
}

/// A limit that is over keeps from taking what is there; crossbeam and Go look first.
#[gosched::test]
fn what_is_possible_at_once_is_done_whatever_the_limit() {
    for (cap, (tx, rx)) in flavours::<u32>() {
        if cap == Some(0) {
            continue;
        }
        let past = Instant::now();
        time::sleep(us(50));
        assert_eq!(tx.send_deadline(1, past), Ok(()));
        assert_eq!(rx.recv_deadline(past), Ok(1));
        assert_eq!(tx.send_timeout(2, Duration::ZERO), Ok(()));
        assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(2));
    }
}

/// An overflow in `now + limit`: such a wait must go on until it is woken.
#[gosched::test]
fn endless_limits_end_with_the_peer() {
    for (cap, (tx, rx)) in flavours::<u32>() {
        let group = WaitGroup::new();
        let receiver = rx.clone();
        group.go(move || assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(1)));
        until_parked(1, "chan receive");
        tx.send(1).unwrap();
        group.wait();
        if cap == Some(0) {
            group.go(move || assert_eq!(tx.send_timeout(2, Duration::MAX), Ok(())));
            until_parked(1, "chan send");
            assert_eq!(rx.recv(), Ok(2));
            group.wait();
        }
    }
}

/// A waiter with a limit that sleeps through its peer: the wait must end long before the limit.
#[gosched::test]
fn a_peer_ends_the_wait_before_the_limit() {
    for (_, (tx, rx)) in flavours::<u32>() {
        let start = Instant::now();
        let group = WaitGroup::new();
        group.go(move || {
            assert_eq!(rx.recv_timeout(ms(100_000)), Ok(1));
            assert_eq!(
                rx.recv_timeout(ms(100_000)),
                Err(RecvTimeoutError::Disconnected)
            );
        });
        until_parked(1, "chan receive");
        tx.send_timeout(1, ms(100_000)).unwrap();
        until_parked(1, "chan receive");
        drop(tx);
        group.wait();
        assert!(start.elapsed() < ms(50_000));
    }
}

/// The last sender's end wakes only one receiver, or an earlier one's end wakes any.
#[gosched::test]
fn the_last_senders_end_wakes_all_receivers() {
    for (_, (tx, rx)) in flavours::<u32>() {
        let (woken, group) = (Count::new(), WaitGroup::new());
        for i in 0..12 {
            let (rx, woken) = (rx.clone(), woken.clone());
            group.go(move || {
                match i % 3 {
                    0 => assert_eq!(rx.recv(), Err(RecvError)),
                    1 => assert_eq!(
                        rx.recv_timeout(ms(100_000)),
                        Err(RecvTimeoutError::Disconnected)
                    ),
                    _ => assert_eq!(rx.iter().next(), None),
                }
                woken.add(1);
            });
        }
        until_parked(12, "chan receive");
        drop(tx.clone());
        time::sleep(us(200));
        assert_eq!(woken.get(), 0, "a sender is left");
        drop(tx);
        group.wait();
    }
}

/// The last receiver's end leaves senders asleep, or does not give their values back.
#[gosched::test]
fn the_last_receivers_end_wakes_all_senders() {
    for cap in [0, 2] {
        let (tx, rx) = chan::bounded(cap);
        for _ in 0..cap {
            tx.send(0).unwrap();
        }
        let group = WaitGroup::new();
        for i in 1..13 {
            let tx = tx.clone();
            group.go(move || {
                let back = match i % 2 {
                    0 => tx.send(i).unwrap_err().into_inner(),
                    _ => tx.send_timeout(i, ms(100_000)).unwrap_err().into_inner(),
                };
                assert_eq!(back, i);
            });
        }
        until_parked(12, "chan send");
        drop(rx.clone());
        drop(rx);
        group.wait();
    }
}

/// Values that were sent before the last sender went are lost with it.
#[gosched::test]
fn what_was_sent_outlives_its_senders() {
    for (cap, (tx, rx)) in flavours() {
        let n = cap.unwrap_or(50);
        (0..n).for_each(|i| tx.send(i).unwrap());
        drop(tx);
        assert_eq!(rx.len(), n);
        assert!((0..n).all(|i| rx.recv() == Ok(i)));
        assert_eq!(rx.recv(), Err(RecvError));
        assert_eq!(rx.recv(), Err(RecvError), "and so it stays");
    }
}

/// An iterator that ends too early, waits where it must not, or skips a value.
#[gosched::test]
fn iterators_end_where_they_should() {
    for (cap, (tx, rx)) in flavours() {
        let n = cap.unwrap_or(20);
        (0..n).for_each(|i| tx.send(i).unwrap());
        assert!(rx.try_iter().eq(0..n), "try_iter takes what is there");
        assert_eq!(rx.try_iter().next(), None, "and does not wait");
        let group = WaitGroup::new();
        group.go(move || (0..100).for_each(|i| tx.send(i).unwrap()));
        assert!(rx.iter().take(30).eq(0..30), "iter waits for each");
        let mut next = 30;
        for value in &rx {
            assert_eq!(value, next);
            next += 1;
            if next == 60 {
                break;
            }
        }
        let rest: Vec<usize> = rx.into_iter().collect();
        assert!(
            rest.into_iter().eq(60..100),
            "into_iter ends with the senders"
        );
        group.wait();
    }
}

/// Two channels that are told to be one, or clones that are told not to be.
#[gosched::test]
fn clones_are_the_same_channel() {
    for (_, (tx, rx)) in flavours::<u8>() {
        assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
        for (_, (other_tx, other_rx)) in flavours::<u8>() {
            assert!(!tx.same_channel(&other_tx) && !rx.same_channel(&other_rx));
        }
        assert!(!rx.same_channel(&chan::never()));
    }
}

/// A Debug that shows what is inside would have to lock the channel; crossbeam's texts.
#[gosched::test]
fn debug_texts_are_crossbeams() {
    let (tx, rx) = chan::unbounded::<u8>();
    assert_eq!(format!("{tx:?} {rx:?}"), "Sender { .. } Receiver { .. }");
    assert_eq!(
        format!("{:?} {:?}", rx.iter(), rx.try_iter()),
        "Iter { .. } TryIter { .. }"
    );
    assert_eq!(format!("{:?}", rx.into_iter()), "IntoIter { .. }");
}

/// Handles can go to and be shared by goroutines whenever their values can go, `Sync` or not.
#[gosched::test]
fn handles_are_send_and_sync_if_values_are_send() {
    fn check<T: Send + Sync + Clone>(_: &T) {}
    let (tx, rx) = chan::bounded::<Cell<u8>>(1);
    check(&tx);
    check(&rx);
    fn unpin_and_unwind_safe<T: Unpin + core::panic::UnwindSafe + core::panic::RefUnwindSafe>() {}
    unpin_and_unwind_safe::<Sender<Cell<u8>>>();
    unpin_and_unwind_safe::<Receiver<Cell<u8>>>();
}

/// A channel that holds its own receiver, and one that travels through a channel a hundred times.
#[gosched::test]
fn channels_go_through_channels() {
    struct Link(Receiver<Link>);
    let (tx, mut rx) = chan::bounded(1);
    let mut to = tx;
    let group = WaitGroup::new();
    group.go(move || {
        for _ in 0..100 {
            let (next, link) = chan::bounded(1);
            to.send(Link(link))
                .unwrap_or_else(|_| panic!("the reader is there"));
            to = next;
        }
    });
    for _ in 0..100 {
        rx = rx
            .recv()
            .unwrap_or_else(|_| panic!("a hundred links come"))
            .0;
    }
    group.wait();
    assert!(rx.recv().is_err());
}

/// Go's TestChan over many capacities with 4 by 4 goroutines: values lost, doubled or out of the
/// order of their sender. Also with unbounded, and with all kinds of operations mixed.
#[gosched::test]
fn four_by_four_lose_nothing_whatever_the_operation() {
    const EACH: usize = 400;
    let caps = [0, 1, 2, 5, 16, 100].map(chan::bounded::<(usize, usize)>);
    for (tx, rx) in caps.into_iter().chain([chan::unbounded()]) {
        let (group, sum) = (WaitGroup::new(), Count::new());
        for sender in 0..4 {
            let tx = tx.clone();
            group.go(move || {
                for i in 0..EACH {
                    let mut value = (sender, i);
                    loop {
                        let sent = match i % 3 {
                            0 => tx.send(value).map_err(|e| e.into_inner()),
                            1 => tx.try_send(value).map_err(|e| e.into_inner()),
                            _ => tx.send_timeout(value, us(20)).map_err(|e| e.into_inner()),
                        };
                        match sent {
                            Ok(()) => break,
                            Err(back) => value = back,
                        }
                        runtime::gosched();
                    }
                }
            });
        }
        drop(tx);
        for receiver in 0..4 {
            let (rx, sum) = (rx.clone(), sum.clone());
            group.go(move || {
                let mut last = [None; 4];
                for turn in receiver.. {
                    let got = match turn % 3 {
                        0 => rx.recv().ok(),
                        1 => rx.try_recv().ok(),
                        _ => rx.recv_timeout(us(20)).ok(),
                    };
                    match got {
                        Some((sender, i)) => {
                            assert!(last[sender] < Some(i), "one sender's values overtook");
                            last[sender] = Some(i);
                            sum.add(i + 1);
                        }
                        None if turn % 3 == 0 => return,
                        None => runtime::gosched(),
                    }
                }
            });
        }
        group.wait();
        assert_eq!(sum.get(), 4 * EACH * (EACH + 1) / 2);
    }
}

/// A hand-over that is not one: the sender must not go on before the receiver has the value.
#[gosched::test]
fn a_rendezvous_is_one() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let stage = Count::new();
    let of_sender = stage.clone();
    go(move || {
        tx.send(1).unwrap();
        of_sender.add(1);
    });
    until_parked(1, "chan send");
    assert_eq!(
        (stage.get(), rx.len()),
        (0, 0),
        "a parked value is not in the buffer"
    );
    assert_eq!(rx.try_recv(), Ok(1), "try_recv meets a parked sender");
    assert_eq!(rx.recv(), Err(RecvError));
    assert_eq!(stage.get(), 1);
}

gosched::test_main!();

//! What Go's own tests ask of select, in this interface: one instant for all cases, one winner,
//! chance among those that are ready, and queues that a loser leaves as they were.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use chans::{Count, ms, until_parked};
use gosched::chan::{self, Receiver, RecvError, Sender, TryRecvError, TrySendError};
use gosched::runtime;
use gosched::sync::WaitGroup;
use gosched::{go, select, select_biased};

/// Go's TestNonblockRecvRace: a receive without waiting that looks at "empty" and "closed" at two
/// instants says "empty" of a channel that never was empty and open.
#[gosched::test]
fn a_try_receive_is_not_fooled_by_a_disconnection() {
    for round in 0..3000 {
        let (tx, rx) = chan::bounded(1);
        tx.send(1).unwrap();
        let group = WaitGroup::new();
        let receiver = rx.clone();
        group.go(move || {
            if round % 2 == 0 {
                select! {
                    recv(receiver) -> _ => {}
                    default => panic!("neither a value nor its end was seen"),
                }
            } else {
                assert_ne!(receiver.try_recv(), Err(TryRecvError::Empty));
            }
        });
        drop(tx);
        let _ = rx.recv();
        group.wait();
    }
}

/// Go's TestNonblockSelectRace: of two channels one always has a value, so a select that looks at
/// them one after the other can miss both.
#[gosched::test]
fn select_looks_at_all_cases_at_one_instant() {
    for _ in 0..3000 {
        let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(1), chan::bounded(1));
        tx1.send(1).unwrap();
        let group = WaitGroup::new();
        let receivers = (rx1.clone(), rx2.clone());
        group.go(move || {
            select! {
                recv(receivers.0) -> _ => {}
                recv(receivers.1) -> _ => {}
                default => panic!("one of the channels always had a value"),
            }
        });
        tx2.send(1).unwrap();
        let _ = rx1.try_recv();
        group.wait();
    }
}

/// Go's TestNonblockSelectRace2: the second channel gets ready by its end.
#[gosched::test]
fn select_sees_a_value_or_the_end_of_another_channel() {
    for _ in 0..3000 {
        let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(1), chan::bounded::<u8>(0));
        tx1.send(1).unwrap();
        let group = WaitGroup::new();
        let receivers = (rx1.clone(), rx2.clone());
        group.go(move || {
            select! {
                recv(receivers.0) -> _ => {}
                recv(receivers.1) -> end => assert_eq!(end, Err(RecvError)),
                default => panic!("one of the channels always was ready"),
            }
        });
        drop(tx2);
        let _ = rx1.try_recv();
        group.wait();
    }
}

/// Go's TestSelfSelect: a select that meets itself, on one channel without a buffer.
#[gosched::test]
fn a_select_does_not_receive_what_it_sends() {
    for cap in [0, 10] {
        let (tx, rx) = chan::bounded::<usize>(cap);
        let group = WaitGroup::new();
        for me in 0..2 {
            let (tx, rx) = (tx.clone(), rx.clone());
            group.go(move || {
                let check = |from: Result<usize, RecvError>| {
                    assert!(cap > 0 || from.unwrap() != me, "it received its own value");
                };
                for i in 0..2000 {
                    if me == 0 || i % 2 == 0 {
                        select! {
                            send(tx, me) -> sent => sent.unwrap(),
                            recv(rx) -> from => check(from),
                        }
                    } else {
                        select! {
                            recv(rx) -> from => check(from),
                            send(tx, me) -> sent => sent.unwrap(),
                        }
                    }
                }
            });
        }
        group.wait();
    }
}

/// Go's TestSelectFairness: a choice that is no chance. Each of two within ten sigmas of half, and
/// the same for sends, and for cases of a third kind in between.
#[gosched::test]
fn each_of_those_ready_is_chosen_as_often() {
    const TRIALS: usize = 10_000;
    let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(TRIALS), chan::bounded(TRIALS));
    let mut sends = [0_usize; 2];
    for _ in 0..TRIALS {
        select! {
            send(tx1, ()) -> sent => { sent.unwrap(); sends[0] += 1 }
            recv(chan::never::<u8>()) -> _ => unreachable!(),
            send(tx2, ()) -> sent => { sent.unwrap(); sends[1] += 1 }
        }
    }
    let mut receives = [0_usize; 2];
    while !rx1.is_empty() && !rx2.is_empty() {
        select! {
            recv(rx1) -> _ => receives[0] += 1,
            recv(rx2) -> _ => receives[1] += 1,
            default => unreachable!("both have values"),
        }
    }
    for [a, b] in [sends, receives] {
        // A difference of sums of n coins has a sigma of √n.
        assert!(a.abs_diff(b).pow(2) < 100 * (a + b), "{a} and {b}");
    }
}

/// The same for two that wait: which of them came first must not decide for ever. (One may stand
/// still for long, when the host does not run its CPU: so this asks for a share, at any time.)
#[gosched::test]
fn a_receiver_takes_from_both_of_two_busy_senders() {
    let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(0), chan::bounded(0));
    for tx in [tx1, tx2] {
        go(move || while tx.send(()).is_ok() {});
    }
    let mut seen = [0; 2];
    while seen.iter().any(|&n| n < 300) {
        select! {
            recv(rx1) -> _ => seen[0] += 1,
            recv(rx2) -> _ => seen[1] += 1,
        }
        assert!(seen.iter().all(|&n| n < 500_000), "{seen:?}");
    }
}

/// Go's TestPseudoRandomSend: both of two sends on one channel are chosen, buffer or not.
#[gosched::test]
fn two_cases_of_one_channel_are_both_chosen() {
    for cap in [0, 100] {
        let (tx, rx) = chan::bounded(cap);
        let group = WaitGroup::new();
        group.go(move || {
            for _ in 0..400 {
                select! {
                    send(tx, 0) -> sent => sent.unwrap(),
                    send(tx, 1) -> sent => sent.unwrap(),
                }
            }
        });
        let ones: usize = rx.iter().sum();
        group.wait();
        assert!((40..=360).contains(&ones), "{ones} of 400");
    }
}

/// Go's TestMultiConsumer: 23 workers between two queues.
#[gosched::test]
fn many_consumers_share_the_work_without_loss() {
    const WORKERS: usize = 23;
    const ITEMS: usize = 20_000;
    let ((to_work, work), (done, results)) = (chan::bounded(69), chan::bounded(69));
    for worker in 0..WORKERS {
        let (work, done) = (work.clone(), done.clone());
        go(move || {
            for item in work {
                if item % (worker + 3) == 0 {
                    runtime::gosched();
                }
                done.send(item).unwrap();
            }
        });
    }
    drop(done);
    go(move || (0..ITEMS).for_each(|item| to_work.send(item).unwrap()));
    let (count, sum) = results
        .iter()
        .fold((0, 0), |(n, sum), item| (n + 1, sum + item));
    assert_eq!((count, sum), (ITEMS, ITEMS * (ITEMS - 1) / 2));
}

/// Go's TestSelectDuplicateChannel: a select with one channel twice leaves it by another case and
/// must take both entries out of the queue, and not the one between them.
#[gosched::test]
fn a_channel_twice_in_one_select_keeps_its_queue() {
    let (tx, rx) = chan::bounded::<u8>(0);
    let (wake, woken) = chan::bounded::<u8>(0);
    let group = WaitGroup::new();
    let receiver = rx.clone();
    group.go(move || {
        select! {
            recv(receiver) -> _ => panic!("nothing was sent"),
            recv(receiver) -> _ => panic!("nothing was sent"),
            recv(woken) -> n => assert_eq!(n, Ok(7)),
        }
    });
    until_parked(1, "select");
    let second = WaitGroup::new();
    second.go(move || assert_eq!(rx.recv(), Ok(8)));
    until_parked(1, "chan receive");
    wake.send(7).unwrap();
    group.wait();
    tx.send(8).unwrap();
    second.wait();
}

/// Go's issue 2075 (select6.go): a select that is last in a queue and loses there cuts off those
/// that queue up behind it.
#[gosched::test]
fn a_loser_leaves_the_queue_whole() {
    for before in 0..3 {
        for after in 1..3 {
            let (tx, rx) = chan::bounded::<u8>(0);
            let (wake, woken) = chan::bounded::<u8>(0);
            let group = WaitGroup::new();
            for _ in 0..before {
                let rx = rx.clone();
                group.go(move || assert!(rx.recv().is_ok()));
            }
            until_parked(before, "chan receive");
            let loser = WaitGroup::new();
            let receiver = rx.clone();
            loser.go(move || {
                select! {
                    recv(receiver) -> _ => panic!("others are before it, or nothing was sent"),
                    recv(woken) -> _ => {}
                }
            });
            until_parked(1, "select");
            wake.send(0).unwrap();
            loser.wait();
            for _ in 0..after {
                let rx = rx.clone();
                group.go(move || assert!(rx.recv().is_ok()));
            }
            until_parked(before + after, "chan receive");
            (0..before + after).for_each(|_| tx.send(0).unwrap());
            group.wait();
            assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)), "a ghost waits");
        }
    }
}

/// Go's doubleselect.go: a value that leaves by two of the cases it was offered in.
#[gosched::test]
fn no_value_leaves_by_two_cases() {
    const VALUES: usize = 8000;
    let channels: [_; 4] = core::array::from_fn(|_| chan::bounded::<usize>(0));
    let [tx0, tx1, tx2, tx3] = channels.each_ref().map(|(tx, _)| tx.clone());
    let seen: Arc<Vec<AtomicU8>> = Arc::new((0..VALUES).map(|_| AtomicU8::new(0)).collect());
    let group = WaitGroup::new();
    for (tx, rx) in channels {
        drop(tx);
        let seen = seen.clone();
        group.go(move || {
            rx.iter()
                .for_each(|n| _ = seen[n].fetch_add(1, Ordering::Relaxed))
        });
    }
    for n in 0..VALUES {
        select! {
            send(tx0, n) -> sent => sent.unwrap(),
            send(tx1, n) -> sent => sent.unwrap(),
            send(tx2, n) -> sent => sent.unwrap(),
            send(tx3, n) -> sent => sent.unwrap(),
        }
    }
    drop((tx0, tx1, tx2, tx3));
    group.wait();
    assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
}

/// Go's fifo.go: a chain of goroutines takes numbers from one channel in turn.
#[gosched::test]
fn values_come_in_the_order_they_were_sent() {
    for cap in [0, 10] {
        let (tx, rx) = chan::bounded(cap);
        let group = WaitGroup::new();
        let (first, mut turn) = chan::bounded::<()>(0);
        for n in 0..100 {
            let (rx, (next, then)) = (rx.clone(), chan::bounded(0));
            let mine = core::mem::replace(&mut turn, then);
            group.go(move || {
                mine.recv().unwrap();
                assert_eq!(rx.recv(), Ok(n));
                next.send(()).unwrap();
            });
        }
        group.go(move || (0..100).for_each(|n| tx.send(n).unwrap()));
        first.send(()).unwrap();
        turn.recv().unwrap();
        group.wait();
    }
}

/// One way to receive, and one way to send.
type ReceiveForm = fn(&Receiver<u32>) -> u32;
type SendForm = fn(&Sender<u32>, u32);

const RECEIVES: [ReceiveForm; 5] = [
    |rx| rx.recv().unwrap(),
    |rx| select! { recv(rx) -> n => n.unwrap() },
    |rx| select! { recv(rx) -> n => n.unwrap(), recv(chan::never::<u8>()) -> _ => 0 },
    |rx| loop {
        select! { recv(rx) -> n => break n.unwrap(), default => runtime::gosched() }
    },
    |rx| select! { recv(rx) -> n => n.unwrap(), recv(rx) -> n => n.unwrap() },
];

const SENDS: [SendForm; 5] = [
    |tx, n| tx.send(n).unwrap(),
    |tx, n| select! { send(tx, n) -> sent => sent.unwrap() },
    |tx, n| select! { recv(chan::never::<u8>()) -> _ => {} send(tx, n) -> sent => sent.unwrap() },
    |tx, n| loop {
        select! { send(tx, n) -> sent => break sent.unwrap(), default => runtime::gosched() }
    },
    |tx, n| select! { send(tx, n) -> sent => sent.unwrap(), send(tx, n) -> sent => sent.unwrap() },
];

/// Go's select7.go: every form of a send meets every form of a receive, also two that try. (Two
/// that only try meet if one of them waits in another form; so they are left out.)
#[gosched::test]
fn every_form_of_send_meets_every_form_of_receive() {
    for (s, send) in SENDS.into_iter().enumerate() {
        for (r, receive) in RECEIVES.into_iter().enumerate() {
            if s == 3 && r == 3 {
                continue;
            }
            for cap in [0, 1] {
                let (tx, rx) = chan::bounded(cap);
                let group = WaitGroup::new();
                group.go(move || (0..20).for_each(|n| send(&tx, n)));
                assert!((0..20).all(|n| receive(&rx) == n), "send {s}, receive {r}");
                group.wait();
            }
        }
    }
}

/// Go's select3.go without nil: what must wait, and what must not, for every state of a channel.
#[gosched::test]
fn select_waits_exactly_when_no_case_is_ready() {
    let ready_to_receive = |rx: &Receiver<u8>| {
        let now = select! { recv(rx) -> _ => true, default => false };
        let soon = select! { recv(rx) -> _ => true, default(ms(1)) => false };
        (now, soon)
    };
    let ready_to_send = |tx: &Sender<u8>| {
        let now = select! { send(tx, 1) -> _ => true, default => false };
        let soon = select! { send(tx, 1) -> _ => true, default(ms(1)) => false };
        (now, soon)
    };
    for cap in [0, 1, 5] {
        let (tx, rx) = chan::bounded(cap);
        assert_eq!(ready_to_receive(&rx), (false, false), "empty");
        (0..cap).for_each(|_| tx.send(0).unwrap());
        assert_eq!(ready_to_send(&tx), (false, false), "full");
        let other = chan::bounded::<u8>(1);
        select_biased! { // another case that is ready is chosen
            send(tx, 1) -> _ => panic!("full"),
            recv(other.1) -> _ => panic!("empty"),
            send(other.0, 1) -> sent => sent.unwrap(),
        }
        drop(tx);
        for _ in 0..cap.div_ceil(2) + 1 {
            assert_eq!(ready_to_receive(&rx), (true, true), "values, then the end");
        }
        assert_eq!(rx.recv(), Err(RecvError));
        let (tx, _) = chan::bounded(cap);
        assert_eq!(ready_to_send(&tx), (true, true), "nobody will receive");
    }
}

/// A send that is chosen for one waiting select only: the others go on waiting.
#[gosched::test]
fn one_value_wakes_one_of_many_selects() {
    let (tx, rx) = chan::bounded::<u8>(0);
    let (stop, stopped) = chan::bounded::<u8>(0);
    let (got, group) = (Count::new(), WaitGroup::new());
    for _ in 0..20 {
        let (rx, stopped, got) = (rx.clone(), stopped.clone(), got.clone());
        group.go(move || {
            select! {
                recv(rx) -> n => { n.unwrap(); got.add(1); }
                recv(stopped) -> end => assert_eq!(end, Err(RecvError)),
            }
        });
    }
    until_parked(20, "select");
    (0..5).for_each(|_| tx.send(1).unwrap());
    until_parked(15, "select");
    drop(stop);
    group.wait();
    assert_eq!(got.get(), 5);
}

gosched::test_main!();

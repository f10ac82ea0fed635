//! A parked select and those that come to it: every way to meet one, from either side, on channels
//! without a buffer; selects that meet selects; what is told to be ready and then tried.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::vec::Vec;

use chans::{Count, Random, ms, until_parked, us};
use gosched::chan::{self, Receiver, Select, SendError, Sender, TryRecvError};
use gosched::runtime;
use gosched::sync::WaitGroup;
use gosched::time;
use gosched::{go, select};

/// Starts a goroutine that sends 1 to 3 by select from a parked state, and returns the receiver and
/// the group to wait for.
fn parked_senders(cap: usize) -> (Receiver<u32>, WaitGroup) {
    let (tx, rx) = chan::bounded(cap);
    (0..cap).for_each(|_| tx.send(0).unwrap());
    let group = WaitGroup::new();
    group.go(move || {
        for n in 1..=3 {
            select! {
                send(tx, n) -> sent => sent.unwrap(),
                recv(chan::never::<u8>()) -> _ => unreachable!(),
            }
        }
    });
    until_parked(1, "select");
    (rx, group)
}

/// Each form of receive takes the value of a select that is parked in a send: those that do not
/// wait too, since the select has promised to send.
#[gosched::test]
fn a_parked_select_send_is_met_by_every_receive() {
    type Form = fn(&Receiver<u32>) -> Option<u32>;
    let forms: [Form; 8] = [
        |rx| rx.try_recv().ok(),
        |rx| rx.recv().ok(),
        |rx| rx.recv_timeout(ms(100_000)).ok(),
        |rx| rx.try_iter().next(),
        |rx| select! { recv(rx) -> n => n.ok(), default => None },
        |rx| select! { recv(rx) -> n => n.ok(), default(ms(100_000)) => None },
        |rx| select! { recv(rx) -> n => n.ok(), recv(chan::never::<u8>()) -> _ => None },
        |rx| {
            let mut select = Select::new();
            select.recv(rx);
            select
                .try_select()
                .ok()
                .and_then(|operation| operation.recv(rx).ok())
        },
    ];
    for cap in [0, 1] {
        for (i, form) in forms.into_iter().enumerate() {
            let (rx, group) = parked_senders(cap);
            for _ in 0..cap {
                assert_eq!(rx.try_recv(), Ok(0));
            }
            // The first value is one that a parked select holds; each later one is waited for.
            assert_eq!(
                form(&rx).or_else(|| rx.recv().ok()),
                Some(1),
                "form {i}, capacity {cap}"
            );
            assert_eq!((rx.recv(), rx.recv()), (Ok(2), Ok(3)));
            group.wait();
        }
    }
    // And at once, where the parked select is the only one there can be.
    for form in forms {
        let (rx, group) = parked_senders(0);
        assert_eq!(
            form(&rx),
            Some(1),
            "a form that does not wait missed a parked select"
        );
        assert_eq!((rx.recv(), rx.recv()), (Ok(2), Ok(3)));
        group.wait();
    }
}

/// The other way round: a select that is parked in a receive.
#[gosched::test]
fn a_parked_select_receive_is_met_by_every_send() {
    type Form = fn(&Sender<u32>) -> bool;
    let forms: [Form; 7] = [
        |tx| tx.try_send(1).is_ok(),
        |tx| tx.send(1).is_ok(),
        |tx| tx.send_timeout(1, ms(100_000)).is_ok(),
        |tx| select! { send(tx, 1) -> sent => sent.is_ok(), default => false },
        |tx| select! { send(tx, 1) -> sent => sent.is_ok(), default(ms(100_000)) => false },
        |tx| {
            let never = chan::never::<u8>();
            select! { send(tx, 1) -> sent => sent.is_ok(), recv(never) -> _ => false }
        },
        |tx| {
            let mut select = Select::new();
            select.send(tx);
            select
                .try_select()
                .is_ok_and(|operation| operation.send(tx, 1).is_ok())
        },
    ];
    for (tx, rx) in [chan::bounded(0), chan::bounded(1), chan::unbounded()] {
        for (i, form) in forms.into_iter().enumerate() {
            let group = WaitGroup::new();
            let receiver = rx.clone();
            group.go(move || {
                select! {
                    recv(receiver) -> n => assert_eq!(n, Ok(1)),
                    recv(chan::never::<u8>()) -> _ => unreachable!(),
                }
            });
            until_parked(1, "select");
            assert!(form(&tx), "form {i} missed a parked select");
            group.wait();
        }
    }
}

/// Two selects that meet in opposite directions on two channels at once: one pair of cases must
/// win in both, never one here and the other there.
#[gosched::test]
fn selects_that_cross_agree_on_one_channel() {
    let ((a_tx, a_rx), (b_tx, b_rx)) = (chan::bounded::<u32>(0), chan::bounded::<u32>(0));
    let (left, right) = (Count::new(), Count::new());
    let group = WaitGroup::new();
    for (mine, (tx, rx)) in [(left.clone(), (a_tx, b_rx)), (right.clone(), (b_tx, a_rx))] {
        group.go(move || {
            for _ in 0..3000 {
                select! {
                    send(tx, 1) -> sent => { sent.unwrap(); mine.add(1 << 32); }
                    recv(rx) -> n => { n.unwrap(); mine.add(1); }
                }
            }
        });
    }
    group.wait();
    let split = |n: usize| (n >> 32, n & 0xffff_ffff);
    let ((sent, received), (others_sent, others_received)) =
        (split(left.get()), split(right.get()));
    assert_eq!((sent, received), (others_received, others_sent));
    assert_eq!(sent + received, 3000);
}

/// Many selects of sends meet many selects of receives over the same channels.
#[gosched::test]
fn selects_meet_selects_without_loss() {
    const EACH: usize = 500;
    let channels: [(Sender<usize>, Receiver<usize>); 3] =
        core::array::from_fn(|_| chan::bounded(0));
    let [(tx0, rx0), (tx1, rx1), (tx2, rx2)] = channels;
    let (sum, group) = (Count::new(), WaitGroup::new());
    for _ in 0..4 {
        let (tx0, tx1, tx2) = (tx0.clone(), tx1.clone(), tx2.clone());
        group.go(move || {
            for n in 1..=EACH {
                select! {
                    send(tx2, n) -> sent => sent.unwrap(),
                    send(tx0, n) -> sent => sent.unwrap(),
                    send(tx1, n) -> sent => sent.unwrap(),
                }
            }
        });
        let (rx0, rx1, rx2, sum) = (rx0.clone(), rx1.clone(), rx2.clone(), sum.clone());
        group.go(move || {
            for _ in 0..EACH {
                let n = select! { recv(rx0) -> n => n, recv(rx1) -> n => n, recv(rx2) -> n => n };
                sum.add(n.unwrap());
            }
        });
    }
    group.wait();
    assert_eq!(sum.get(), 4 * EACH * (EACH + 1) / 2);
}

/// The value of a send is made when it is chosen: making it may take time, yield and use other
/// channels, while the receiver that was chosen waits for it, and while others come.
#[gosched::test]
fn a_value_may_take_its_time() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let (help, helper) = chan::bounded::<u32>(0);
    let group = WaitGroup::new();
    group.go(move || {
        for n in 0..30 {
            let value = |n: u32| {
                if n.is_multiple_of(3) {
                    time::sleep(us(50));
                }
                runtime::gosched();
                help.send(n).unwrap(); // waits for somebody else
                n
            };
            select! {
                send(tx, value(n)) -> sent => sent.unwrap(),
                recv(chan::never::<u8>()) -> _ => unreachable!(),
            }
        }
    });
    group.go(move || assert!(helper.iter().eq(0..30)));
    for n in 0..30 {
        let got = match n % 3 {
            0 => rx.recv().ok(),
            1 => select! { recv(rx) -> n => n.ok() },
            _ => loop {
                match rx.try_recv() {
                    Err(TryRecvError::Empty) => runtime::gosched(),
                    result => break result.ok(),
                }
            },
        };
        assert_eq!(got, Some(n));
    }
    drop(rx);
    group.wait();
}

/// While the chosen one makes its value, another sender must not slip in before it, nor must the
/// receiver be given to both.
#[gosched::test]
fn others_do_not_disturb_a_value_in_the_making() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let group = WaitGroup::new();
    for sender in 0..4 {
        let tx = tx.clone();
        group.go(move || {
            for n in 0..200 {
                let value = || {
                    runtime::gosched();
                    sender * 1000 + n
                };
                select! {
                    send(tx, value()) -> sent => sent.unwrap(),
                    recv(chan::never::<u8>()) -> _ => unreachable!(),
                }
            }
        });
    }
    drop(tx);
    let (received, receivers) = (Count::new(), WaitGroup::new());
    for _ in 0..3 {
        let (rx, received) = (rx.clone(), received.clone());
        receivers.go(move || {
            let mut last = [None; 4];
            for value in rx {
                let (sender, n) = (value as usize / 1000, value % 1000);
                assert!(last[sender] < Some(n), "doubled, or out of order");
                last[sender] = Some(n);
                received.add(1);
            }
        });
    }
    group.wait();
    receivers.wait();
    assert_eq!(received.get(), 800);
}

/// The receiver goes away, or its limit ends, while the value is made: it must come back.
#[gosched::test]
fn a_value_in_the_making_is_not_lost_when_the_receiver_goes() {
    let (mut arrived, mut came_back) = (0, 0);
    for round in 0..300_u64 {
        let (tx, rx) = chan::bounded::<u32>(0);
        let (result, results) = chan::bounded(1);
        let group = WaitGroup::new();
        group.go(move || {
            let value = || {
                for _ in 0..round % 4 {
                    runtime::gosched();
                }
                7
            };
            select! {
                send(tx, value()) -> sent => result.send(sent).unwrap(),
                recv(chan::never::<u8>()) -> _ => unreachable!(),
            }
        });
        let got = match round % 3 {
            0 => rx.try_recv().ok(),
            1 => rx.recv_timeout(us(round)).ok(),
            _ => select! { recv(rx) -> n => n.ok(), default(us(10)) => None },
        };
        drop(rx);
        group.wait();
        let sent = results.recv().unwrap();
        match got {
            Some(7) => arrived += 1,
            _ => came_back += 1,
        }
        assert_eq!(sent, got.map(|_| ()).ok_or(SendError(7)));
    }
    assert_eq!(arrived + came_back, 300);
}

/// What `ready` says can be done at once, if nobody else uses the channel; from both sides.
#[gosched::test]
fn what_is_ready_can_be_done() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let group = WaitGroup::new();
    group.go(move || (0..300).for_each(|n| tx.send(n).unwrap()));
    let mut select = Select::new();
    select.recv(&rx);
    for n in 0..300 {
        select.ready();
        assert_eq!(rx.try_recv(), Ok(n));
    }
    group.wait();

    let (tx, rx) = chan::bounded::<u32>(0);
    group.go(move || assert!(rx.iter().take(300).eq(0..300)));
    let mut select = Select::new();
    select.send(&tx);
    for n in 0..300 {
        select.ready();
        assert_eq!(tx.try_send(n), Ok(()));
    }
    group.wait();
}

/// Two that only wait to be ready for each other must not tell each other so: neither sends.
#[gosched::test]
fn ready_does_not_meet_ready() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let group = WaitGroup::new();
    group.go(move || {
        let mut select = Select::new();
        select.send(&tx);
        let ready = select.ready_timeout(ms(15)).is_ok();
        assert!(!ready || tx.try_send(1).is_err(), "nobody received");
    });
    let mut select = Select::new();
    select.recv(&rx);
    let ready = select.ready_timeout(ms(15)).is_ok();
    assert!(!ready || rx.try_recv().is_err(), "nobody sent");
    group.wait();
}

/// A select that is parked on the same channel in both directions meets others, not itself.
#[gosched::test]
fn a_select_on_both_sides_of_a_channel_meets_others() {
    let (tx, rx) = chan::bounded::<u32>(0);
    for send in [true, false] {
        let group = WaitGroup::new();
        let (both_tx, both_rx) = (tx.clone(), rx.clone());
        group.go(move || {
            select! {
                send(both_tx, 1) -> sent => { sent.unwrap(); assert!(!send) }
                recv(both_rx) -> n => { assert_eq!(n, Ok(2)); assert!(send) }
            }
        });
        until_parked(1, "select");
        if send {
            assert_eq!(tx.try_send(2), Ok(()));
        } else {
            assert_eq!(rx.try_recv(), Ok(1));
        }
        group.wait();
    }
}

/// The end of a channel finds selects parked on both of its sides, one or many.
#[gosched::test]
fn a_disconnection_wakes_parked_selects() {
    let ((tx, rx), (keep_tx, keep_rx)) = (chan::bounded::<u32>(0), chan::bounded::<u32>(0));
    let group = WaitGroup::new();
    for _ in 0..10 {
        let (rx, keep_rx) = (rx.clone(), keep_rx.clone());
        group.go(move || {
            select! {
                recv(keep_rx) -> _ => panic!("nothing was sent"),
                recv(rx) -> end => assert!(end.is_err()),
            }
        });
    }
    until_parked(10, "select");
    drop(tx);
    group.wait();
    let (tx, rx) = chan::bounded::<u32>(0);
    for n in 0..10 {
        let (tx, keep_rx) = (tx.clone(), keep_rx.clone());
        group.go(move || {
            select! {
                recv(keep_rx) -> _ => panic!("nothing was sent"),
                send(tx, n) -> sent => assert_eq!(sent, Err(SendError(n))),
            }
        });
    }
    until_parked(10, "select");
    drop(rx);
    group.wait();
    drop(keep_tx);
}

/// Limits that end while a peer comes: the select says either, and the peer agrees.
#[gosched::test]
fn limits_and_peers_race_for_a_parked_select() {
    let (tx, rx) = chan::bounded::<usize>(0);
    let (sent, received) = (Count::new(), Count::new());
    let group = WaitGroup::new();
    for seed in 0..3 {
        let (tx, sent) = (tx.clone(), sent.clone());
        group.go(move || {
            let mut random = Random::new(seed);
            for n in 0..500 {
                let done = select! {
                    send(tx, n) -> result => result.is_ok(),
                    recv(chan::never::<u8>()) -> _ => unreachable!(),
                    default(us(random.below(70))) => false,
                };
                sent.add(usize::from(done));
            }
        });
    }
    drop(tx);
    let receivers = WaitGroup::new();
    for seed in 3..5 {
        let (rx, received) = (rx.clone(), received.clone());
        receivers.go(move || {
            let mut random = Random::new(seed);
            loop {
                select! {
                    recv(rx) -> n => if n.is_ok() { received.add(1); } else { return },
                    recv(chan::never::<u8>()) -> _ => unreachable!(),
                    default(us(random.below(90))) => {}
                }
            }
        });
    }
    group.wait();
    receivers.wait();
    assert_eq!(sent.get(), received.get());
}

/// A crowd of selects over a crowd of channels in different orders: locks taken in the order of the
/// cases would deadlock.
#[gosched::test]
fn the_order_of_cases_is_not_that_of_locks() {
    let channels: Vec<_> = (0..8).map(|_| chan::bounded::<usize>(1)).collect();
    let group = WaitGroup::new();
    for seed in 0..8 {
        let channels = channels.clone();
        group.go(move || {
            let mut random = Random::new(seed);
            for n in 0..400 {
                let mut select = Select::new();
                let mut cases = Vec::new();
                for _ in 0..6 {
                    let (tx, rx) = &channels[random.below(8) as usize];
                    cases.push((select.send(tx), tx, None));
                    cases.push((select.recv(rx), tx, Some(rx)));
                }
                let operation = select.select();
                match cases[operation.index()] {
                    (_, tx, None) => operation.send(tx, n).unwrap(),
                    (_, _, Some(rx)) => _ = operation.recv(rx).unwrap(),
                }
            }
        });
    }
    group.wait();
    go(move || drop(channels));
}

gosched::test_main!();

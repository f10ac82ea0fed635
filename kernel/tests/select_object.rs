//! `Select`, the form for a number of cases that is known only at run time: select, try and ready,
//! indices, removal, misuse.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::format;
use alloc::vec::Vec;

use chans::{Count, ms, until_parked, us};
use gosched::chan::{self, Receiver, RecvError, Select, SendError, Sender, TryRecvError};
use gosched::go;
use gosched::sync::WaitGroup;
use gosched::time::{Duration, Instant};

/// An index that is not the one that `send` or `recv` returned, or a value from another case.
#[gosched::test]
fn the_index_is_that_of_the_case() {
    let channels: Vec<(Sender<usize>, Receiver<usize>)> =
        (0..10).map(|_| chan::bounded(1)).collect();
    for ready in 0..10 {
        channels[ready].0.send(ready).unwrap();
        let mut select = Select::new();
        for (i, (_, rx)) in channels.iter().enumerate() {
            assert_eq!(select.recv(rx), i);
        }
        let operation = select.select();
        assert_eq!(operation.index(), ready);
        assert_eq!(operation.recv(&channels[ready].1), Ok(ready));
        assert!(select.try_select().is_err(), "there was one value");
    }
    let mut select = Select::new();
    let indices: Vec<usize> = channels.iter().map(|(tx, _)| select.send(tx)).collect();
    assert!(indices.into_iter().eq(0..10));
    for left in (0..10).rev() {
        let operation = select.try_select().unwrap();
        let index = operation.index();
        assert_eq!(operation.send(&channels[index].0, index), Ok(()));
        assert_eq!(
            channels.iter().filter(|(tx, _)| tx.is_empty()).count(),
            left
        );
    }
    assert!(select.try_select().is_err(), "all are full");
}

/// A select that is used again must look at all its cases again.
#[gosched::test]
fn a_select_can_be_used_again_and_again() {
    let ((tx, rx), (other_tx, other)) = (chan::unbounded(), chan::bounded(0));
    let group = WaitGroup::new();
    group.go(move || {
        for i in 0..500 {
            let sent = if i % 2 == 0 {
                tx.send(i)
            } else {
                other_tx.send(i)
            };
            sent.unwrap();
        }
    });
    let mut select = Select::new();
    let first = select.recv(&rx);
    select.recv(&other);
    let (mut sum, mut open) = (0, 2);
    while open > 0 {
        let operation = select.select();
        let index = operation.index();
        let from = if index == first { &rx } else { &other };
        match operation.recv(from) {
            Ok(i) => sum += i,
            Err(RecvError) => {
                select.remove(index);
                open -= 1;
            }
        }
    }
    group.wait();
    assert_eq!(sum, 499 * 500 / 2);
}

/// The index of a removed case is not given to another one, and the others keep theirs.
#[gosched::test]
fn indices_survive_removals() {
    let channels: Vec<_> = (0..5).map(|_| chan::bounded::<usize>(1)).collect();
    let mut select = Select::new();
    for (_, rx) in &channels[..4] {
        select.recv(rx);
    }
    select.remove(1);
    select.remove(3);
    assert_eq!(select.recv(&channels[4].1), 4, "numbers go on");
    for (i, (tx, _)) in channels.iter().enumerate() {
        tx.send(i).unwrap();
    }
    let mut seen = Vec::new();
    while let Ok(operation) = select.try_select() {
        let index = operation.index();
        assert_eq!(operation.recv(&channels[index].1), Ok(index));
        seen.push(index);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 2, 4]);
}

#[gosched::test]
#[should_panic(expected = "index out of bounds; 5 >= 1")]
fn removing_what_never_was_is_a_panic() {
    let (_tx, rx) = chan::bounded::<u8>(0);
    let mut select = Select::new();
    select.recv(&rx);
    select.remove(5);
}

#[gosched::test]
#[should_panic(expected = "no operation with this index")]
fn removing_twice_is_a_panic() {
    let (_tx, rx) = chan::bounded::<u8>(0);
    let mut select = Select::new();
    let index = select.recv(&rx);
    select.remove(index);
    select.remove(index);
}

#[gosched::test]
#[should_panic(expected = "no operations have been added to `Select`")]
fn selecting_from_nothing_is_a_panic() {
    let _ = Select::new().select();
}

#[gosched::test]
#[should_panic(expected = "no operations have been added to `Select`")]
fn being_ready_for_nothing_is_a_panic() {
    Select::new().ready();
}

#[gosched::test]
#[should_panic(expected = "dropped `SelectedOperation` without completing the operation")]
fn dropping_what_was_selected_is_a_panic() {
    let (tx, rx) = chan::bounded(1);
    tx.send(1).unwrap();
    let mut select = Select::new();
    select.recv(&rx);
    drop(select.select());
}

#[gosched::test]
#[should_panic(expected = "passed a receiver that wasn't selected")]
fn receiving_from_another_channel_is_a_panic() {
    let ((tx, rx), (_other_tx, other)) = (chan::bounded(1), chan::bounded::<u8>(1));
    tx.send(1_u8).unwrap();
    let mut select = Select::new();
    select.recv(&rx);
    let _ = select.select().recv(&other);
}

#[gosched::test]
#[should_panic(expected = "passed a sender that wasn't selected")]
fn sending_to_another_channel_is_a_panic() {
    let ((tx, _rx), (other, _other_rx)) = (chan::bounded::<u8>(1), chan::bounded::<u8>(1));
    let mut select = Select::new();
    select.send(&tx);
    let _ = select.select().send(&other, 1_u8);
}

/// Without cases the forms with a limit have nothing to wait for but the limit.
#[gosched::test]
fn an_empty_select_times_out() {
    let mut select = Select::new();
    assert!(select.try_select().is_err() && select.try_ready().is_err());
    let start = Instant::now();
    assert!(select.select_timeout(ms(1)).is_err());
    assert!(start.elapsed() >= ms(1));
    assert!(select.ready_timeout(ms(1)).is_err());
    assert!(start.elapsed() >= ms(2));
    assert!(select.select_deadline(Instant::now()).is_err());
}

/// Limits that fire early, or keep a later value from being seen.
#[gosched::test]
fn limits_are_never_early() {
    let (tx, rx) = chan::bounded(1);
    let mut select = Select::new();
    let index = select.recv(&rx);
    for limit in [Duration::ZERO, us(1), us(300), ms(3)] {
        let start = Instant::now();
        assert!(select.select_timeout(limit).is_err());
        assert!(select.ready_timeout(limit).is_err());
        assert!(start.elapsed() >= limit * 2);
        let deadline = Instant::now() + limit;
        assert!(select.select_deadline(deadline).is_err());
        assert!(select.ready_deadline(deadline).is_err());
        assert!(Instant::now() >= deadline);
    }
    tx.send(1).unwrap();
    assert_eq!(select.ready_timeout(Duration::ZERO), Ok(index));
    let operation = select.select_timeout(Duration::ZERO).unwrap();
    assert_eq!(operation.recv(&rx), Ok(1));
    let group = WaitGroup::new();
    group.go(move || tx.send(2).unwrap());
    let operation = select.select_timeout(Duration::MAX).unwrap();
    assert_eq!(operation.recv(&rx), Ok(2));
    group.wait();
}

/// A disconnected channel is ready, for good, and its operation fails.
#[gosched::test]
fn what_is_disconnected_is_ready() {
    let ((tx, rx), (other, other_rx)) = (chan::bounded::<u8>(1), chan::bounded::<u8>(0));
    drop(tx);
    drop(other_rx);
    let mut select = Select::new();
    let (recv, send) = (select.recv(&rx), select.send(&other));
    let mut seen = [0; 2];
    for _ in 0..200 {
        let operation = select.select();
        let index = operation.index();
        seen[index] += 1;
        match index {
            i if i == recv => assert_eq!(operation.recv(&rx), Err(RecvError)),
            i if i == send => assert_eq!(operation.send(&other, 3), Err(SendError(3))),
            _ => unreachable!(),
        }
        assert!(select.try_ready().is_ok());
    }
    assert!(seen.iter().all(|&n| n > 40), "{seen:?}");
}

/// The biased form takes the first that is ready, of select and of ready.
#[gosched::test]
fn the_biased_form_prefers_the_first() {
    let channels: Vec<_> = (0..4).map(|_| chan::bounded(1)).collect();
    let mut select = Select::new_biased();
    for (_, rx) in &channels {
        select.recv(rx);
    }
    for i in (0..4).rev() {
        channels[i].0.send(i).unwrap();
        for _ in 0..10 {
            assert_eq!((select.ready(), select.try_ready()), (i, Ok(i)));
        }
        if i > 0 {
            let operation = select.select();
            assert_eq!(operation.index(), i);
            assert_eq!(operation.recv(&channels[i].1), Ok(i));
            channels[i].0.send(i).unwrap();
        }
    }
    for (i, (_, rx)) in channels.iter().enumerate() {
        let operation = select.select();
        assert_eq!((operation.index(), operation.recv(rx)), (i, Ok(i)));
    }
}

/// `ready` waits, says which, and takes nothing.
#[gosched::test]
fn ready_takes_nothing() {
    let ((tx, rx), (full, full_rx)) = (chan::bounded(1), chan::bounded(1));
    full.send(0).unwrap();
    let mut select = Select::new();
    let (recv, send) = (select.recv(&rx), select.send(&full));
    assert!(select.try_ready().is_err());
    let group = WaitGroup::new();
    let sender = tx.clone();
    group.go(move || sender.send(5).unwrap());
    assert_eq!(select.ready(), recv);
    assert_eq!(
        (select.ready(), rx.len()),
        (recv, 1),
        "the value is still there"
    );
    group.wait();
    assert_eq!(rx.try_recv(), Ok(5));
    let receiver = full_rx.clone();
    group.go(move || assert_eq!(receiver.recv(), Ok(0)));
    assert_eq!(select.ready(), send);
    assert_eq!(full.try_send(1), Ok(()));
    group.wait();
    drop(tx);
    assert_eq!(select.ready(), recv);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
}

/// Two that wait to be ready for one value are both told, and one of them gets it. None may be
/// left asleep beside a value.
#[gosched::test]
fn ready_may_be_told_to_many() {
    let (tx, rx) = chan::bounded(1);
    let (got, group) = (Count::new(), WaitGroup::new());
    for _ in 0..4 {
        let (rx, got) = (rx.clone(), got.clone());
        group.go(move || {
            let mut select = Select::new();
            select.recv(&rx);
            loop {
                select.ready();
                match rx.try_recv() {
                    Ok(()) => _ = got.add(1),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        });
    }
    (0..2000).for_each(|_| tx.send(()).unwrap());
    drop(tx);
    group.wait();
    assert_eq!(got.get(), 2000);
}

/// Waiting by select, by ready and by a plain receive for the same channels, with the whole of it
/// accounted for.
#[gosched::test]
fn many_selects_share_channels_without_loss() {
    const EACH: usize = 600;
    let channels: Vec<(Sender<usize>, Receiver<usize>)> =
        [0, 0, 1, 3].into_iter().map(chan::bounded).collect();
    let (group, sum) = (WaitGroup::new(), Count::new());
    for (tx, _) in &channels {
        let tx = tx.clone();
        group.go(move || (1..=EACH).for_each(|n| tx.send(n).unwrap()));
    }
    let receivers: Vec<_> = channels.into_iter().map(|(_, rx)| rx).collect();
    for form in 0..4 {
        let (receivers, sum) = (receivers.clone(), sum.clone());
        group.go(move || {
            let mut select = Select::new();
            receivers.iter().for_each(|rx| _ = select.recv(rx));
            let mut open = receivers.len();
            while open > 0 {
                let (index, result) = match form {
                    0 => {
                        let index = select.ready();
                        match receivers[index].try_recv() {
                            Err(TryRecvError::Empty) => continue,
                            result => (index, result.map_err(|_| RecvError)),
                        }
                    }
                    1 => match select.select_timeout(us(30)) {
                        Ok(operation) => {
                            let index = operation.index();
                            (index, operation.recv(&receivers[index]))
                        }
                        Err(_) => continue,
                    },
                    _ => {
                        let operation = select.select();
                        let index = operation.index();
                        (index, operation.recv(&receivers[index]))
                    }
                };
                match result {
                    Ok(n) => _ = sum.add(n),
                    Err(RecvError) => {
                        select.remove(index);
                        open -= 1;
                    }
                }
            }
        });
    }
    drop(receivers);
    group.wait();
    assert_eq!(sum.get(), 4 * EACH * (EACH + 1) / 2);
}

/// A clone is another select with the same cases; a default one has none.
#[gosched::test]
fn selects_can_be_cloned() {
    let ((tx, rx), (_other_tx, other)) = (chan::unbounded(), chan::unbounded::<u8>());
    let mut select = Select::default();
    let index = select.recv(&rx);
    let mut clone = select.clone();
    assert_eq!(clone.recv(&other), index + 1);
    clone.remove(index);
    tx.send(1).unwrap();
    assert!(clone.try_ready().is_err());
    let operation = select.try_select().unwrap();
    assert_eq!(format!("{operation:?}"), "SelectedOperation { .. }");
    assert_eq!(operation.recv(&rx), Ok(1));
    assert_eq!(format!("{select:?}"), "Select { .. }");
}

/// A select that is not used any more does not keep its handles borrowed to the end of its scope.
#[gosched::test]
fn handles_can_go_before_their_select() {
    let (tx, rx) = chan::bounded(1);
    tx.send(1).unwrap();
    let mut select = Select::new();
    select.recv(&rx);
    let operation = select.select();
    assert_eq!(operation.recv(&rx), Ok(1));
    drop(rx);
    assert_eq!(tx.send(2), Err(SendError(2)));
}

/// A select lives in a loop that adds channels as they come: a hundred cases, each served.
#[gosched::test]
fn a_hundred_cases() {
    let channels: Vec<_> = (0..100).map(|_| chan::bounded::<usize>(0)).collect();
    let group = WaitGroup::new();
    for (i, (tx, _)) in channels.iter().enumerate() {
        let tx = tx.clone();
        group.go(move || (0..5).for_each(|n| tx.send(i * n).unwrap()));
    }
    let mut select = Select::new();
    channels.iter().for_each(|(_, rx)| _ = select.recv(rx));
    let mut sum = 0;
    for _ in 0..500 {
        let operation = select.select();
        let index = operation.index();
        sum += operation.recv(&channels[index].1).unwrap();
    }
    group.wait();
    assert_eq!(sum, 10 * (99 * 100 / 2));
}

/// A selected operation that waits before it is completed: the peer waits too, and nobody else
/// gets in between.
#[gosched::test]
fn completing_late_is_allowed() {
    for cap in [0, 1] {
        let (tx, rx) = chan::bounded(cap);
        let (done, is_done) = chan::bounded(0);
        go(move || {
            let mut select = Select::new();
            select.send(&tx);
            let operation = select.select();
            gosched::time::sleep(ms(2));
            operation.send(&tx, 5).unwrap();
            done.send(()).unwrap();
        });
        if cap == 0 {
            until_parked(1, "select");
        }
        assert_eq!(rx.recv(), Ok(5));
        is_done.recv().unwrap();
    }
}

gosched::test_main!();

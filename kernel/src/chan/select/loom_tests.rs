//! Models of select: the real channels, waits and timers under it. Whatever ends a select, one
//! thing does, and what did not is as if it had not met it. A lost wake-up is a deadlock, which
//! loom reports.

use super::{Case, select};
use crate::chan::raw::{Chan, Op, Slot, elem_of};
use crate::primitive::{AtomicU32, Cell, Ordering};
use crate::sched::g::go;
use crate::sched::m::run_timers;
use crate::sched::wait::Limit;
use crate::{Leaked, model};

/// When selects with a limit end.
const LIMIT: Limit = Limit::Until(10);

struct World {
    a: Chan<u32>,
    b: Chan<u32>,
}

/// How a select over both channels ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Value(u32),
    Closed,
    TimedOut,
}

impl World {
    fn new(cap: usize) -> Leaked<Self> {
        Leaked::new(Self {
            a: Chan::new(Some(cap)),
            b: Chan::new(Some(cap)),
        })
    }

    fn recv_of_both(&self, limit: Limit) -> End {
        let slots: [Slot<u32>; 2] = [Cell::new(None), Cell::new(None)];
        // SAFETY: slots for values of these channels, which outlive the cases.
        let mut cases = unsafe {
            [
                Case::new(Some(&self.a), Op::Recv, elem_of(&slots[0])),
                Case::new(Some(&self.b), Op::Recv, elem_of(&slots[1])),
            ]
        };
        match select(&mut cases, &mut [0; 4], false, limit) {
            Some(index) => {
                assert!(slots[1 - index].take().is_none(), "a value of the other");
                slots[index].take().map_or(End::Closed, End::Value)
            }
            None => {
                assert!(slots.iter().all(|slot| slot.take().is_none()));
                End::TimedOut
            }
        }
    }

    /// Sends 1 to the one or 2 to the other.
    fn send_to_either(&self, limit: Limit) -> End {
        // SAFETY: a send has no slot.
        let mut cases = unsafe {
            [
                Case::new(Some(&self.a), Op::Send, core::ptr::null_mut()),
                Case::new(Some(&self.b), Op::Send, core::ptr::null_mut()),
            ]
        };
        let Some(index) = select(&mut cases, &mut [0; 4], false, limit) else {
            return End::TimedOut;
        };
        let grant = cases[index].grant().unwrap();
        let (chan, value) = [(&self.a, 1), (&self.b, 2)][index];
        match chan.complete_send(grant, value) {
            Ok(()) => End::Value(value),
            Err(_) => End::Closed,
        }
    }

    fn assert_nobody_waits(&self) {
        for chan in [&self.a, &self.b] {
            assert_eq!(chan.len(), 0);
            let mut state = chan.state.lock();
            for op in [Op::Send, Op::Recv] {
                assert!(state.queue(op).is_empty(), "a sudog is left behind");
            }
        }
    }
}

/// Two senders: one meets the select, the other still has its value.
#[test]
fn two_senders_against_a_select() {
    model(2, || {
        let world = World::new(0);
        let w = world.get();
        let senders = [
            go(1, || assert!(w.a.send(1, Limit::Forever).is_ok())),
            go(2, || assert!(w.b.send(2, Limit::Forever).is_ok())),
        ];
        let other = match w.recv_of_both(Limit::Forever) {
            End::Value(1) => w.b.recv(Limit::Forever),
            End::Value(2) => w.a.recv(Limit::Forever),
            end => panic!("{end:?}"),
        };
        assert!(other.is_ok());
        for sender in senders {
            sender.join().unwrap();
        }
        w.assert_nobody_waits();
    });
}

/// A sender on one channel, a close of the other, and the limit: one of the three ends it, and the
/// sender has its value as long as nobody took it.
#[test]
fn a_sender_a_close_and_the_limit() {
    model(2, || {
        let world = World::new(0);
        let w = world.get();
        let sender = go(1, || assert!(w.a.send(1, Limit::Forever).is_ok()));
        let closer = go(2, || assert!(w.b.close().is_ok()));
        let clock = go(3, || run_timers(10));
        let end = w.recv_of_both(LIMIT);
        if end != End::Value(1) {
            assert_eq!(w.a.recv(Limit::Forever).ok(), Some(1));
        }
        sender.join().unwrap();
        closer.join().unwrap();
        let fired = clock.join().unwrap();
        assert!(end != End::TimedOut || fired == 1);
        assert_eq!(run_timers(10), 0, "a timer is left behind");
        w.assert_nobody_waits();
    });
}

/// A select that sends against one that receives: they meet on one channel, once.
#[test]
fn two_selects_meet_once() {
    model(2, || {
        let world = World::new(0);
        let w = world.get();
        let sender = go(1, || w.send_to_either(Limit::Forever));
        let received = w.recv_of_both(Limit::Forever);
        assert!(matches!(received, End::Value(_)));
        assert_eq!(sender.join().unwrap(), received);
        w.assert_nobody_waits();
    });
}

/// Both may give up: then neither has sent or received anything.
#[test]
fn two_selects_with_limits_agree() {
    model(1, || {
        let world = World::new(0);
        let w = world.get();
        let ended = Leaked::new(AtomicU32::new(0));
        let e = ended.get();
        let counted = |end| {
            e.fetch_add(1, Ordering::Release);
            end
        };
        let sender = go(1, move || counted(w.send_to_either(LIMIT)));
        let receiver = go(2, move || counted(w.recv_of_both(LIMIT)));
        // Each may begin to wait when the timers were run already.
        while e.load(Ordering::Acquire) < 2 {
            run_timers(10);
            loom::thread::yield_now();
        }
        assert_eq!(sender.join().unwrap(), receiver.join().unwrap());
        w.assert_nobody_waits();
    });
}

/// Room for one value: a select that sends is granted a place, and the value is not lost on one
/// who receives meanwhile, nor on a close.
#[test]
fn a_granted_place_against_a_receiver_and_a_close() {
    model(2, || {
        let world = World::new(1);
        let w = world.get();
        let receiver = go(1, || w.a.recv(Limit::Forever).ok());
        let closer = go(2, || assert!(w.a.close().is_ok()));
        // SAFETY: a send has no slot.
        let mut cases = unsafe { [Case::new(Some(&w.a), Op::Send, core::ptr::null_mut())] };
        let chosen = select(&mut cases, &mut [0; 2], false, Limit::Forever);
        assert_eq!(chosen, Some(0));
        let sent = w.a.complete_send(cases[0].grant().unwrap(), 7).is_ok();
        closer.join().unwrap();
        let received = receiver.join().unwrap();
        assert!(sent || received.is_none());
        if sent && received.is_none() {
            // The close came first for the receiver; a value that was granted a place is there.
            assert_eq!(w.a.recv(Limit::Now).ok(), Some(7));
        }
        w.assert_nobody_waits();
    });
}

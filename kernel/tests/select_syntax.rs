//! `select!` and `select_biased!`: all that crossbeam-channel's macros accept, and what they
//! evaluate, when, and how often.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]
#![allow(unused_parens, unused_braces, reason = "the macro must take them")]

extern crate alloc;

mod chans;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Deref;

use chans::{ms, us};
use gosched::chan::{self, Receiver, RecvError, SendError, Sender};
use gosched::time::Duration;
use gosched::{select, select_biased};

/// A receiver with one value inside, and its sender.
fn full<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = chan::bounded(1);
    tx.try_send(value)
        .unwrap_or_else(|_| panic!("there is room"));
    (tx, rx)
}

/// Commas, blocks and expressions as bodies, in every mixture that crossbeam's macro takes.
#[gosched::test]
fn bodies_and_commas_in_all_mixtures() {
    let (tx, rx) = chan::unbounded::<u32>();
    let mut visits = 0;
    let mut visit = || visits += 1;
    select! { recv(rx) -> _ => visit(), default => visit() }
    select! { recv(rx) -> _ => visit(), default => visit(), }
    select! { recv(rx) -> _ => {} default => visit() }
    select! { recv(rx) -> _ => {}, default => { visit() } }
    select! { recv(rx,) -> _ => {} send(tx, 1,) -> _ => { visit() } }
    select! {
        recv(rx) -> _ => { visit(); }
        send(chan::bounded::<u8>(0).0, 1) -> _ => (),
        default() => unreachable!("a value is there"),
    }
    select! { default => visit() }
    select! { default() => visit() }
    select! { default(us(1)) => visit() }
    select! { default(us(1),) => { visit() } }
    select_biased! { recv(rx) -> _ => {} default => visit(), }
    select_biased! { send(tx, 2) -> _ => visit(), recv(rx) -> _ => {} };
    select_biased! { recv(rx) -> _ => if true { visit() }, default => {} }
    assert_eq!(visits, 13);
}

/// Bodies that are macros, matches, loops and closures called: everything that is an expression.
#[gosched::test]
fn bodies_are_any_expression() {
    let (_tx, rx) = full(4);
    let text = select! {
        recv(rx) -> n => match n {
            Ok(4) => alloc::format!("{}", 2 + 2),
            Ok(_) | Err(RecvError) => String::new(),
        },
        default => String::from("none"),
    };
    assert_eq!(text, "4");
    let list = select! { recv(rx) -> n => vec![n], default => vec![Ok(1), Err(RecvError)] };
    assert_eq!(list, [Ok(1), Err(RecvError)]);
    let number = select! { default => if true { 7 } else { 8 } };
    let closure = select! { recv(rx) -> _ => |n| n, default => |n: u32| n + 1 };
    let block = select! { default => unsafe_free::answer() };
    assert_eq!((number, closure(1), block), (7, 2, 42));
}

mod unsafe_free {
    pub(crate) fn answer() -> u32 {
        42
    }
}

/// Results can be bound, ignored, taken apart and made mutable.
#[gosched::test]
fn results_are_matched_by_any_pattern() {
    let (tx, rx) = chan::unbounded::<(u32, &str)>();
    tx.send((1, "a")).unwrap();
    tx.send((2, "b")).unwrap();
    tx.send((3, "c")).unwrap();
    tx.send((4, "d")).unwrap();
    select! { recv(rx) -> pair => assert_eq!(pair, Ok((1, "a"))) }
    select! { recv(rx) -> _ => {} }
    select! { recv(rx) -> _pair => {} }
    select! {
        recv(rx) -> mut pair => {
            pair = pair.map(|(n, s)| (n + 1, s));
            assert_eq!(pair, Ok((5, "d")));
        }
    }
    let (units, ends) = chan::unbounded::<()>();
    select! { send(units, ()) -> (Ok(()) | Err(SendError(()))) => {} }
    select! { recv(ends) -> (Ok(()) | Err(RecvError)) => {} }
    select! { send(units, ()) -> ref sent => assert_eq!(*sent, Ok(())) }
    select! { recv(ends) -> result @ (Ok(()) | Err(_)) => assert_eq!(result, Ok(())) }
    drop(units);
    select! { recv(ends) -> (Ok(()) | Err(RecvError)) => {} }
}

/// `select!` as a value, in the middle of an expression, with cases of one type by coercion.
#[gosched::test]
fn select_is_an_expression() {
    let (tx, rx) = full(20);
    let sum = 1 + select! { recv(rx) -> n => n.unwrap(), default => 100 } * 2;
    assert_eq!(sum, 41);
    let sum = 1 + select! { recv(rx) -> n => n.unwrap(), default => 100 };
    assert_eq!(sum, 101);
    let sent: Result<(), SendError<i32>> = select! { send(tx, 5) -> sent => sent };
    assert_eq!(sent, Ok(()));
    assert_eq!(rx.len(), 1);
    let shown: &dyn core::fmt::Display = select! { recv(rx) -> _ => &"text", default => &1 };
    assert_eq!(alloc::format!("{shown}"), "text");
    let (_never_sent, empty) = chan::bounded::<i32>(0);
    let by = |limit: Duration| select! { recv(empty) -> n => n.ok(), default(limit) => None };
    assert_eq!(by(us(10)), None);
    if select! { default => true } {
        return select! { default => () };
    }
    unreachable!()
}

/// Control flow goes out of a body: of the loop, the function, the labelled block around it.
#[gosched::test]
fn bodies_can_leave() {
    fn first_even(rx: &Receiver<u32>) -> Result<u32, RecvError> {
        loop {
            select! {
                recv(rx) -> n => {
                    let n = n?;
                    if n % 2 == 1 { continue }
                    return Ok(n);
                }
                default(ms(100_000)) => return Ok(0),
            }
        }
    }
    let (tx, rx) = chan::unbounded();
    (1..5).for_each(|n| tx.send(n).unwrap());
    assert_eq!((first_even(&rx), first_even(&rx)), (Ok(2), Ok(4)));
    drop(tx);
    assert_eq!(first_even(&rx), Err(RecvError));

    let (tx, rx) = chan::unbounded();
    (0..20).for_each(|n| tx.send(n).unwrap());
    let mut seen = 0;
    let last = 'outer: loop {
        for _ in 0..3 {
            select! {
                recv(rx) -> n => match n.unwrap() {
                    n if n < 10 => seen += 1,
                    11 => break 'outer 11,
                    _ => break,
                },
                default => break 'outer 0,
            }
        }
    };
    assert_eq!((seen, last, rx.len()), (10, 11, 8));
    let block = 'block: {
        select! { recv(rx) -> n => break 'block n.unwrap(), default => {} }
        0
    };
    assert_eq!(block, 12);
}

/// Channels by value, by reference, by reference of a reference, and in what dereferences to them.
#[gosched::test]
fn channels_by_any_reference() {
    struct Holder {
        tx: Sender<u32>,
        rx: Receiver<u32>,
    }
    struct Smart(Receiver<u32>);
    impl Deref for Smart {
        type Target = Receiver<u32>;
        fn deref(&self) -> &Receiver<u32> {
            &self.0
        }
    }
    let (tx, rx) = chan::unbounded::<u32>();
    for _ in 0..2 {
        select! { send(tx, 1) -> n => n.unwrap() }
        select! { send(&tx, 1) -> n => n.unwrap() }
        select! { send(&&&tx, 1) -> n => n.unwrap() }
        select! { send((tx), 1) -> n => n.unwrap() }
        select! { send(&mut &tx, 1) -> n => n.unwrap() }
        select! { send({ &tx }, 1) -> n => n.unwrap() }
        select! { send(tx.clone(), 1) -> n => n.unwrap() }
        select! { send(Box::new(tx.clone()), 1) -> n => n.unwrap() }
        select! { send(&Rc::new(tx.clone()), 1) -> n => n.unwrap() }
        select! { send(Arc::new(&tx), 1) -> n => n.unwrap() }
    }
    assert_eq!(rx.len(), 20);
    select! { recv(rx) -> n => n.unwrap() };
    select! { recv(&rx) -> n => n.unwrap() };
    select! { recv(&&&rx) -> n => n.unwrap() };
    select! { recv((&rx)) -> n => n.unwrap() };
    select! { recv(&mut &rx) -> n => n.unwrap() };
    select! { recv(rx.clone()) -> n => n.unwrap() };
    select! { recv(&rx.clone()) -> n => n.unwrap() };
    select! { recv(Box::new(rx.clone())) -> n => n.unwrap() };
    select! { recv(Rc::new(&rx)) -> n => n.unwrap() };
    select! { recv(Smart(rx.clone())) -> n => n.unwrap() };
    select! { recv([&rx, &rx][1]) -> n => n.unwrap() };
    select! { recv(if rx.is_empty() { panic!() } else { &rx }) -> n => n.unwrap() };
    let holder = &mut Holder { tx, rx };
    select! {
        recv(holder.rx) -> n => n.unwrap(),
        send(chan::bounded(0).0, holder.tx.clone()) -> _ => 0,
    };
    select! { recv(&mut holder.rx) -> n => n.unwrap() };
    let list = [holder.rx.clone()];
    select! { recv(list[0]) -> n => n.unwrap() };
    select! { recv(list.first().unwrap()) -> n => n.unwrap() };
    assert_eq!(holder.rx.len(), 4);
}

/// A handle that is selected on can be moved in a body, since the select is over by then.
#[gosched::test]
fn bodies_can_move_the_handles() {
    let ((tx, rx), (_keep, other)) = (full(1), chan::bounded::<u32>(0));
    select! {
        recv(rx) -> n => {
            assert_eq!(n, Ok(1));
            drop(rx);
        }
        recv(other) -> _ => drop((rx, other)),
    }
    assert_eq!(tx.send(2), Err(SendError(2)));
    let (tx, rx) = chan::bounded::<u32>(1);
    let both =
        select! { send(tx, 1) -> sent => { sent.unwrap(); (tx, rx) } recv(rx) -> _ => (tx, rx) };
    assert_eq!(both.1.len(), 1);
}

/// The types of handles that nothing else determines.
#[gosched::test]
fn types_are_inferred_through_select() {
    let (tx, rx) = chan::bounded(1);
    select! { send(tx, String::from("a")) -> _ => {} }
    let (other_tx, other) = chan::bounded(1);
    select! {
        recv(rx) -> text => assert_eq!(text.unwrap().len(), 1),
        recv(other) -> n => assert_eq!(n, Ok(1_u8)),
    }
    drop(other_tx);
    select! { recv(chan::never::<String>()) -> _ => {} default => {} }
    let (tx, _rx) = chan::bounded(0);
    select! { send(tx, Vec::<u8>::new()) -> _ => {} default => {} }
}

/// Names in bodies and results that the macro uses itself must not clash with it.
#[gosched::test]
fn names_do_not_clash() {
    let (tx, r) = full(1);
    let (s, _rx) = chan::bounded(1);
    select! {
        recv(r) -> r => assert_eq!(r, Ok(1)),
        send(s, 0) -> s => assert_eq!(s, Ok(())),
    }
    let (res, sel, oper, index, value, timeout) = (1, 2, 3, 4, 5, us(1));
    let msg = select! {
        recv(chan::never::<u8>()) -> _ => 0,
        default(timeout) => res + sel + oper + index + value,
    };
    assert_eq!(msg, 15);
    drop(tx);
    #[allow(non_camel_case_types, dead_code, reason = "it must not matter")]
    struct recv;
    select! { recv(r) -> r => assert_eq!(r.is_ok(), r.is_ok()), default => {} }
}

/// In and in and in, as a body and as an expression for a channel, a value, a limit.
#[gosched::test]
fn selects_nest() {
    let (tx, rx) = chan::unbounded::<u32>();
    (1..=4).for_each(|n| tx.send(n).unwrap());
    select! {
        recv(rx) -> a => select! {
            recv(rx) -> b => select! {
                recv(rx) -> c => {
                    assert_eq!((a, b, c), (Ok(1), Ok(2), Ok(3)));
                    select! { recv(rx) -> d => assert_eq!(d, Ok(4)) }
                }
            },
        },
    }
    let (other, inner) = chan::bounded::<u32>(5);
    select! {
        send(select! { default => &other }, select! { send(tx, 7) -> _ => 8 }) -> sent => {
            assert_eq!((sent, rx.recv(), inner.recv()), (Ok(()), Ok(7), Ok(8)));
        }
        default(select! { default => ms(1) }) => unreachable!("there is room"),
    }
}

/// What is written for the channels is evaluated once, in the order of the cases, before anything
/// is chosen. What is sent is evaluated only if it is sent, once, and then before the body.
#[gosched::test]
fn expressions_are_evaluated_once_and_in_order() {
    let ((_full_tx, full_rx), (tx, rx)) = (full(1), chan::bounded::<u32>(2));
    let trace = RefCell::new(Vec::new());
    let note = |what: &'static str| trace.borrow_mut().push(what);
    let noted = |what| {
        note(what);
        &tx
    };
    select_biased! {
        recv({ note("channel 1"); chan::never::<u8>() }) -> _ => note("body 1"),
        send(noted("channel 2"), { note("value 2"); 5 }) -> sent => {
            sent.unwrap();
            note("body 2")
        }
        recv({ note("channel 3"); &full_rx }) -> _ => note("body 3"),
        send(noted("channel 4"), { note("value 4"); 6 }) -> _ => note("body 4"),
        default({ note("limit"); ms(1) }) => note("default"),
    }
    let order = ["channel 1", "channel 2", "channel 3", "channel 4"];
    let seen: Vec<_> = trace
        .take()
        .into_iter()
        .filter(|&what| what != "limit")
        .collect();
    assert_eq!(seen, [order.as_slice(), &["value 2", "body 2"]].concat());
    assert_eq!((rx.recv(), full_rx.len()), (Ok(5), 1));

    // A send that is not chosen leaves its value where it was.
    let kept = String::from("kept");
    select! {
        send(chan::bounded::<String>(0).0, kept.clone() + "!") -> sent => drop(sent.unwrap_err()),
        recv(full_rx) -> n => assert_eq!(n, Ok(1)),
    }
    let (_tx, closed) = chan::bounded::<String>(0);
    let moved = String::from("moved");
    let (text_tx, text_rx) = chan::bounded(1);
    select! {
        send(text_tx, moved) -> _ => assert_eq!(text_rx.recv().unwrap(), "moved"),
        recv(closed) -> _ => assert_eq!(moved, "moved"),
    }
}

/// A limit that is evaluated twice, or not at all when a case is ready.
#[gosched::test]
fn the_limit_is_evaluated_once() {
    let evaluated = Cell::new(0);
    let limit = || {
        evaluated.set(evaluated.get() + 1);
        us(10)
    };
    let (_tx, rx) = full(1);
    select! { recv(rx) -> _ => {} default(limit()) => panic!("a value is there") }
    select! { recv(rx) -> _ => panic!("nothing is there"), default(limit()) => {} }
    assert_eq!(evaluated.get(), 2);
}

/// Things that can be moved out once must be accepted as channel and as value.
#[gosched::test]
fn expressions_may_move() {
    let (tx, rx) = full(1);
    let get = move || rx;
    select! { recv(get()) -> n => assert_eq!(n, Ok(1)) }
    let value = Box::new(5);
    let make = move || value;
    let (boxes, rx) = chan::bounded(1);
    let hand_over = move || boxes;
    select! { send(hand_over(), make()) -> sent => assert_eq!(sent, Ok(())) }
    assert_eq!(rx.recv(), Ok(Box::new(5)));
    assert_eq!(
        tx.send(1),
        Err(SendError(1)),
        "the receiver went with the first select"
    );
}

/// More cases than any hand-written list would have; the last is the one that is ready.
#[gosched::test]
fn many_cases() {
    let never = chan::never::<u8>();
    let (_tx, rx) = full(9);
    let chosen = select! {
        recv(never) -> _ => 0, recv(never) -> _ => 1, recv(never) -> _ => 2, recv(never) -> _ => 3,
        recv(never) -> _ => 4, recv(never) -> _ => 5, recv(never) -> _ => 6, recv(never) -> _ => 7,
        recv(never) -> _ => 8, recv(never) -> _ => 9, recv(never) -> _ => 10,
        recv(never) -> _ => 11, recv(never) -> _ => 12, recv(never) -> _ => 13,
        recv(never) -> _ => 14,
        recv(never) -> _ => 15, recv(never) -> _ => 16, recv(never) -> _ => 17,
        recv(rx) -> n => n.unwrap() + 9,
        default(ms(100_000)) => 19,
    };
    assert_eq!(chosen, 18);
}

/// Of several that are ready, the first one: from the top in every round, also behind a case that
/// is not ready.
#[gosched::test]
fn the_biased_form_prefers_the_first() {
    let ((a_tx, a), (_b_tx, b)) = (full(1), full(2));
    for _ in 0..20 {
        select_biased! {
            recv(chan::never::<u8>()) -> _ => unreachable!(),
            recv(a) -> n => a_tx.send(n.unwrap()).unwrap(),
            recv(b) -> _ => panic!("the second was chosen"),
            default => panic!("none was chosen"),
        }
    }
    drop(a);
    select_biased! {
        send(a_tx, 1) -> sent => assert_eq!(sent, Err(SendError(1)), "an error is ready too"),
        recv(b) -> _ => panic!("the second was chosen"),
    }
}

/// A value that leaves the select, after its case was chosen: a receiver that waits for it, or the
/// place in the buffer, would be lost in silence.
#[gosched::test]
#[should_panic(expected = "left a `select!` without the value of the `send` that was chosen")]
fn a_value_that_leaves_the_select_is_a_panic() {
    fn sends(tx: &Sender<u32>, value: Option<u32>) -> Option<()> {
        select! {
            send(tx, value?) -> sent => sent.ok(),
        }
    }
    let (tx, rx) = chan::bounded(1);
    assert_eq!(sends(&tx, Some(1)), Some(()));
    assert_eq!(rx.recv(), Ok(1));
    sends(&tx, None);
}

gosched::test_main!();

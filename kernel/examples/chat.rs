//! A chat of actors: one goroutine is the room, and one is each guest. Nobody shares anything but
//! messages, and no mailbox holds more than two. So that the room and a guest cannot wait for each
//! other, a guest who wants to speak listens at the same time: `select!` does what comes first.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use gosched::chan::{self, Receiver, Sender};
use gosched::sync::WaitGroup;
use gosched::{println, select};

const GUESTS: usize = 6;
const LINES: usize = 25;

/// Guest, and which of the guest's lines.
type Line = (usize, usize);

enum ToRoom {
    Join(usize, Sender<Line>),
    Say(Line),
    Leave(usize),
}

/// Tells each line to all who are there, also to its speaker. Returns all that was said.
fn room(mailbox: Receiver<ToRoom>) -> Vec<Line> {
    let mut guests: Vec<(usize, Sender<Line>)> = Vec::new();
    let mut log = Vec::new();
    for message in mailbox {
        match message {
            ToRoom::Join(guest, to) => guests.push((guest, to)),
            ToRoom::Say(line) => {
                log.push(line);
                for (guest, to) in &guests {
                    to.send(line)
                        .unwrap_or_else(|_| panic!("{guest} left without a word"));
                }
            }
            ToRoom::Leave(guest) => guests.retain(|(there, _)| *there != guest),
        }
    }
    log
}

/// Says all its lines and leaves; returns all that it heard from joining to leaving.
fn guest(me: usize, room: Sender<ToRoom>) -> Vec<Line> {
    let (to_me, mailbox) = chan::bounded(2);
    room.send(ToRoom::Join(me, to_me))
        .expect("the room is open");
    let mut heard = Vec::new();
    let mut said = 0;
    while said <= LINES {
        let next = if said < LINES {
            ToRoom::Say((me, said))
        } else {
            ToRoom::Leave(me)
        };
        select! {
            recv(mailbox) -> line => heard.push(line.expect("we are still there")),
            send(room, next) -> sent => {
                sent.expect("the room is open");
                said += 1;
            }
        }
    }
    heard.extend(mailbox); // what was under way; the room drops our mailbox when we leave
    heard
}

#[gosched::main]
fn main() {
    let (to_room, mailbox) = chan::bounded(2);
    let (to, transcripts) = chan::bounded(GUESTS);
    let guests = WaitGroup::new();
    for me in 0..GUESTS {
        let (to_room, to) = (to_room.clone(), to.clone());
        guests.go(move || to.send((me, guest(me, to_room))).expect("main waits"));
    }
    drop((to_room, to));
    let log = room(mailbox);
    guests.wait();

    assert_eq!(log.len(), GUESTS * LINES);
    for (me, heard) in transcripts {
        // What a guest heard is what was said in a row, and all its own lines are there in order.
        let start = log.iter().position(|line| Some(line) == heard.first());
        let start = start.expect("every guest heard itself");
        assert_eq!(
            log[start..][..heard.len()],
            heard,
            "guest {me} heard something else"
        );
        let own = heard.iter().filter(|(speaker, _)| *speaker == me);
        assert!(
            own.map(|&(_, n)| n).eq(0..LINES),
            "guest {me} did not hear itself"
        );
    }
    println!(
        "{} lines, and all heard the same in the same order",
        log.len()
    );
}

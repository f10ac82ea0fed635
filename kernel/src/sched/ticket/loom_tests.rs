//! Models of the ticket.

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::Ticket;
use crate::model;

/// Two ends of one wait: one wins.
#[test]
fn one_wins() {
    model(3, || {
        let ticket = Arc::new(Ticket::new());
        let number = ticket.begin();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let ticket = Arc::clone(&ticket);
                thread::spawn(move || ticket.win(number))
            })
            .collect();
        let mine = ticket.win(number);
        let won = others.into_iter().map(|other| other.join().unwrap());
        assert_eq!(won.filter(|won| *won).count() + usize::from(mine), 1);
    });
}

/// A timer of the first wait is late: it does not end the second, and who is to end that one does.
#[test]
fn an_old_ticket_loses() {
    model(3, || {
        let ticket = Arc::new(Ticket::new());
        let queue = Arc::new(Mutex::new(None));
        let first = ticket.begin();
        let timer = {
            let ticket = Arc::clone(&ticket);
            thread::spawn(move || ticket.win(first))
        };
        // The first wait ends here or there; then the goroutine waits anew.
        let ended_here = ticket.win(first);
        let second = ticket.begin();
        *queue.lock().unwrap() = Some(second);
        let sender = {
            let (ticket, queue) = (Arc::clone(&ticket), Arc::clone(&queue));
            thread::spawn(move || {
                queue
                    .lock()
                    .unwrap()
                    .take()
                    .map(|number| ticket.win(number))
            })
        };
        let ended_there = timer.join().unwrap();
        let ended_second = sender.join().unwrap();
        assert_ne!(ended_here, ended_there);
        assert_eq!(ended_second, Some(true));
    });
}

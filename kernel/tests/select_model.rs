//! Random programs of one goroutine against a model: every operation without waiting does exactly
//! what a queue would, and a select chooses only what the model calls ready, and nothing only if
//! nothing is. One goroutine leaves no excuse: every answer is determined but for the choice.
#![no_std]
#![no_main]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

extern crate alloc;

mod chans;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use chans::Random;
use gosched::chan::{
    self, Receiver, RecvError, Select, SendError, Sender, TryRecvError, TrySendError,
};
use gosched::{select, select_biased};

/// A channel and what it should be.
struct Modelled {
    cap: Option<usize>,
    values: VecDeque<u32>,
    tx: Option<Sender<u32>>,
    rx: Option<Receiver<u32>>,
}

/// What a select did, and on which channel.
enum Outcome {
    Sent(usize, Result<(), SendError<u32>>),
    Received(usize, Result<u32, RecvError>),
    Nothing,
}

impl Modelled {
    fn new(cap: Option<usize>) -> Self {
        let (tx, rx) = cap.map_or_else(chan::unbounded, chan::bounded);
        Self {
            cap,
            values: VecDeque::new(),
            tx: Some(tx),
            rx: Some(rx),
        }
    }

    fn has_room(&self) -> bool {
        self.cap.is_none_or(|cap| self.values.len() < cap)
    }

    fn can_send(&self) -> bool {
        self.rx.is_none() || self.has_room()
    }

    fn can_receive(&self) -> bool {
        self.tx.is_none() || !self.values.is_empty()
    }

    /// What a send that is possible must return; done in the model.
    fn send(&mut self, value: u32) -> Result<(), SendError<u32>> {
        if self.rx.is_none() {
            return Err(SendError(value));
        }
        self.values.push_back(value);
        Ok(())
    }

    fn receive(&mut self) -> Result<u32, RecvError> {
        self.values.pop_front().ok_or(RecvError)
    }

    fn check(&self) {
        if let Some(tx) = &self.tx {
            // Without receivers what was inside is gone or not, as the flavour has it.
            if self.rx.is_some() {
                assert_eq!(
                    (tx.len(), tx.is_full()),
                    (self.values.len(), !self.has_room())
                );
            }
        }
        if let Some(rx) = &self.rx {
            assert_eq!(
                (rx.len(), rx.is_empty()),
                (self.values.len(), self.values.is_empty())
            );
        }
    }

    fn try_operation(&mut self, send: bool, value: u32) {
        if send && let Some(tx) = self.tx.clone() {
            let expected = match self.can_send() {
                true => self
                    .send(value)
                    .map_err(|SendError(v)| TrySendError::Disconnected(v)),
                false => Err(TrySendError::Full(value)),
            };
            assert_eq!(tx.try_send(value), expected);
        } else if let Some(rx) = self.rx.clone() {
            let expected = match self.can_receive() {
                true => self
                    .receive()
                    .map_err(|RecvError| TryRecvError::Disconnected),
                false => Err(TryRecvError::Empty),
            };
            assert_eq!(rx.try_recv(), expected);
        }
    }
}

/// A select of three over what is left of the channels: two receives and a send, by the macro in
/// its two kinds, or by a list. `None`: it would have waited.
fn choose(channels: &[Modelled], at: [usize; 3], value: u32, form: u64) -> Outcome {
    let never = chan::never();
    let rx = |i: usize| channels[at[i]].rx.as_ref().unwrap_or(&never);
    let (a, b) = (rx(0), rx(1));
    let full = chan::bounded(0); // never ready, since nobody waits on it
    let tx = channels[at[2]].tx.as_ref().unwrap_or(&full.0);
    match form {
        0 => select! {
            recv(a) -> result => Outcome::Received(at[0], result),
            recv(b) -> result => Outcome::Received(at[1], result),
            send(tx, value) -> result => Outcome::Sent(at[2], result),
            default => Outcome::Nothing,
        },
        1 => select_biased! {
            recv(a) -> result => Outcome::Received(at[0], result),
            recv(b) -> result => Outcome::Received(at[1], result),
            send(tx, value) -> result => Outcome::Sent(at[2], result),
            default(Duration::ZERO) => Outcome::Nothing,
        },
        _ => {
            let mut select = Select::new();
            select.recv(a);
            select.recv(b);
            select.send(tx);
            let ready = select.try_ready().is_ok();
            match select.try_select() {
                Ok(operation) => {
                    assert!(ready, "not ready, and then chosen");
                    match operation.index() {
                        0 => Outcome::Received(at[0], operation.recv(a)),
                        1 => Outcome::Received(at[1], operation.recv(b)),
                        _ => Outcome::Sent(at[2], operation.send(tx, value)),
                    }
                }
                Err(_) => {
                    assert!(!ready, "ready, and then not to be had");
                    Outcome::Nothing
                }
            }
        }
    }
}

/// One random program.
fn program(seed: u64) -> [u32; 4] {
    let mut random = Random::new(seed);
    let caps = [Some(0), Some(1), Some(2), Some(5), None];
    let mut channels: Vec<Modelled> = caps.into_iter().map(Modelled::new).collect();
    let mut seen = [0; 4];
    for value in 0..600 {
        let at = [(); 3].map(|()| random.below(5) as usize);
        match random.below(100) {
            0 => channels[at[0]].tx = None,
            1 => channels[at[0]].rx = None,
            2..5 => channels[at[0]] = Modelled::new(channels[at[0]].cap),
            5..50 => channels[at[0]].try_operation(random.below(2) == 0, value),
            _ => {
                let form = random.below(3);
                let ready = [
                    channels[at[0]].rx.is_some() && channels[at[0]].can_receive(),
                    channels[at[1]].rx.is_some() && channels[at[1]].can_receive(),
                    channels[at[2]].tx.is_some() && channels[at[2]].can_send(),
                ];
                let outcome = choose(&channels, at, value, form);
                seen[match outcome {
                    Outcome::Received(from, result) => {
                        assert_eq!(result, channels[from].receive());
                        usize::from(from != at[0])
                    }
                    Outcome::Sent(to, result) => {
                        assert!(ready[2], "sent where that had to wait");
                        assert_eq!(result, channels[to].send(value));
                        2
                    }
                    Outcome::Nothing => {
                        assert_eq!(ready, [false; 3], "something was ready");
                        3
                    }
                }] += 1;
            }
        }
        channels.iter().for_each(Modelled::check);
    }
    seen
}

/// Sixty random programs of six hundred operations.
#[gosched::test]
fn random_programs_do_what_the_model_does() {
    let mut seen = [0; 4];
    for seed in 0..60 {
        for (sum, n) in seen.iter_mut().zip(program(seed)) {
            *sum += n;
        }
    }
    assert!(
        seen.iter().all(|&n| n > 500),
        "not all outcomes were met: {seen:?}"
    );
}

gosched::test_main!();

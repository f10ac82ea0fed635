//! Publish and subscribe: a broker goroutine owns the table of topics, and everything is done by
//! sending it commands, so there is no lock. A subscriber that is too slow loses messages instead
//! of holding up the others, and is told how many.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use gosched::chan::{self, Receiver, Sender, TrySendError};
use gosched::{go, println};

/// What a subscriber gets: the message, and how many it missed just before.
type Delivery = (usize, String);

enum Command {
    Subscribe {
        topic: &'static str,
        places: usize,
        reply: Sender<Receiver<Delivery>>,
    },
    Publish {
        topic: &'static str,
        message: String,
    },
}

struct Subscriber {
    to: Sender<Delivery>,
    missed: usize,
}

impl Subscriber {
    /// Hands the message over if there is room. False if the subscriber is gone.
    fn deliver(&mut self, message: &str) -> bool {
        match self.to.try_send((self.missed, message.to_string())) {
            Ok(()) => self.missed = 0,
            Err(TrySendError::Full(_)) => self.missed += 1,
            Err(TrySendError::Disconnected(_)) => return false,
        }
        true
    }
}

/// The broker, until nobody holds its command channel any more. Then all subscriptions end.
fn broker(commands: Receiver<Command>) {
    let mut topics: BTreeMap<&str, Vec<Subscriber>> = BTreeMap::new();
    for command in commands {
        match command {
            Command::Subscribe {
                topic,
                places,
                reply,
            } => {
                let (to, deliveries) = chan::bounded(places);
                topics
                    .entry(topic)
                    .or_default()
                    .push(Subscriber { to, missed: 0 });
                // Whoever does not wait for the answer has no subscription.
                let _ = reply.send(deliveries);
            }
            Command::Publish { topic, message } => {
                if let Some(subscribers) = topics.get_mut(topic) {
                    subscribers.retain_mut(|subscriber| subscriber.deliver(&message));
                }
            }
        }
    }
}

fn subscribe(to: &Sender<Command>, topic: &'static str, places: usize) -> Receiver<Delivery> {
    let (reply, deliveries) = chan::bounded(1);
    let command = Command::Subscribe {
        topic,
        places,
        reply,
    };
    to.send(command).expect("the broker lives as long as we do");
    deliveries.recv().expect("the broker answers")
}

#[gosched::main]
fn main() {
    let (to, commands) = chan::bounded(16);
    go(move || broker(commands));
    let weather = subscribe(&to, "weather", 100);
    let news = [subscribe(&to, "news", 100), subscribe(&to, "news", 100)];
    let slow = subscribe(&to, "news", 2);
    drop(subscribe(&to, "news", 1)); // one that goes away at once

    for n in 0..10 {
        for topic in ["weather", "news", "nobody's"] {
            let message = alloc::format!("{topic} {n}");
            to.send(Command::Publish { topic, message })
                .expect("the broker lives");
        }
    }
    drop(to);

    let expected = |topic: &str| -> Vec<Delivery> {
        (0..10)
            .map(|n| (0, alloc::format!("{topic} {n}")))
            .collect()
    };
    assert_eq!(weather.iter().collect::<Vec<_>>(), expected("weather"));
    for subscriber in &news {
        assert_eq!(subscriber.iter().collect::<Vec<_>>(), expected("news"));
    }
    // It read nothing before the end: the first two, in order.
    assert_eq!(slow.iter().collect::<Vec<_>>(), expected("news")[..2]);
    println!("weather: 10 messages; news: 10 to each of two, 2 to one too slow");
}

//! `sched::g`: a goroutine is a thread of loom, and keeps its M. What a G has besides what waits
//! need is not here.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

use loom::thread;

use crate::Parking;
use crate::base::aref::AtomicRef;
use crate::sched::ticket::Ticket;
use crate::sched::timers::Timer;

pub type UnlockFn = fn(&'static G, usize) -> bool;

pub struct G {
    pub schedlink: AtomicRef<G>,
    pub wait: Ticket,
    pub timer: Timer,
    pub parking: Parking,
    // Only the goroutine itself uses them here, so loom need not know them.
    pub waiting: AtomicUsize,
    pub sleep_until_ns: AtomicU64,
}

impl G {
    fn new() -> Self {
        Self {
            schedlink: AtomicRef::none(),
            wait: Ticket::new(),
            timer: Timer::new(),
            parking: Parking::new(),
            waiting: AtomicUsize::new(0),
            sleep_until_ns: AtomicU64::new(0),
        }
    }
}

/// As many as loom has threads at once.
const MAX_GS: usize = 4;

loom::lazy_static! {
    /// Gs are never freed: not in one run of a model.
    static ref GS: [G; MAX_GS] = core::array::from_fn(|_| G::new());
}

loom::thread_local! {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
}

pub fn getg() -> &'static G {
    let number = NUMBER.with(|number| number.load(core::sync::atomic::Ordering::Relaxed));
    &GS[number as usize]
}

/// A goroutine, of a number from 1: that which begins the model is 0.
pub fn go<R: 'static>(number: usize, f: impl FnOnce() -> R + 'static) -> thread::JoinHandle<R> {
    assert!((1..MAX_GS).contains(&number));
    // Before there are two: so who comes second need not come first here.
    let _ = GS.len();
    thread::spawn(move || {
        NUMBER.with(|own| own.store(number as u32, core::sync::atomic::Ordering::Relaxed));
        f()
    })
}

//! The ends of programs, for comparison with Go's: the same scenarios and functions, by the same
//! names, as in `.ci/go-texts/texts.go`. `args=NAME` chooses one; `.ci/go-texts.sh` runs them all.
//!
//! What a text may name is a function of its own, never inlined, that does something after its
//! call: a tail call would leave no frame. No two are alike, or the compiler makes them one.
#![no_std]
#![no_main]

extern crate alloc;

use core::fmt;
use core::hint::black_box;
use core::time::Duration;

use gosched::base::cmdline::options;
use gosched::chan::{self, Receiver, bounded};
use gosched::sync::{Condvar, Mutex, RwLock, WaitGroup};
use gosched::time::Instant;
use gosched::{Builder, go, println, runtime, select, time};

#[gosched::main]
fn main() {
    let scenario = match options().args.as_deref().unwrap_or("") {
        "deadlock" => deadlock,
        "deadlock_all" => deadlock_all,
        "deadlock_self" => deadlock_self,
        "deadlock_select" => deadlock_select,
        "deadlock_named" => deadlock_named,
        "goexit" => goexit,
        "goexit_blocked" => goexit_blocked,
        "panic_main" => panic_main,
        "panic_lines" => panic_lines,
        "panic_goroutine" => panic_goroutine,
        "panic_printing" => panic_printing,
        "panic_others" => panic_others,
        "negative_group" => negative_group,
        "locked_main" => locked_main,
        "locked_other" => locked_other,
        "overflow" => overflow,
        "overflow_goroutine" => overflow_goroutine,
        "unlock_mutex" => unlock_mutex,
        "unlock_read" => unlock_read,
        "unlock_write" => unlock_write,
        "schedtrace" => schedtrace,
        name => {
            println!("texts: no scenario '{name}'");
            runtime::exit(1)
        }
    };
    scenario();
    println!("main returns");
}

static HELD: Mutex<u32> = Mutex::new(0);
static WRITTEN: RwLock<u32> = RwLock::new(0);
static READ: RwLock<u32> = RwLock::new(0);
static OWN: Mutex<u32> = Mutex::new(0);
static CHANGE: Condvar = Condvar::new();

#[inline(never)]
fn receive(from: &Receiver<u8>) {
    let value = from.recv();
    println!("received {value:?}");
}

#[inline(never)]
fn wait_for_ever() {
    let (sender, receiver) = bounded(0);
    receive(&receiver);
    println!("waited {}", black_box(sender).len());
}

#[inline(never)]
fn fail_at_work() {
    if black_box(true) {
        panic!("work failed");
    }
}

#[inline(never)]
fn work() {
    fail_at_work();
    println!("worked");
}

#[inline(never)]
fn deadlock() {
    wait_for_ever();
    println!("passed");
}

/// Each waits for something else.
#[inline(never)]
fn deadlock_all() {
    let group = WaitGroup::new();
    group.add(1);
    let guards = (HELD.lock(), WRITTEN.write(), READ.read());
    go(lock_held);
    go(read_written);
    go(write_read);
    go(send);
    go(wait_for_ever);
    go(receive_nil);
    go(wait_for_change);
    group.wait();
    println!("passed");
    drop(guards);
}

#[inline(never)]
fn lock_held() {
    let guard = HELD.lock();
    println!("locked {guard:?}");
}

#[inline(never)]
fn read_written() {
    let guard = WRITTEN.read();
    println!("locked {guard:?}");
}

#[inline(never)]
fn write_read() {
    let guard = READ.write();
    println!("locked {guard:?}");
}

#[inline(never)]
fn send() {
    let (sender, receiver) = bounded(0);
    let sent = sender.send(1u8);
    println!("sent {sent:?} {}", black_box(receiver).len());
}

#[inline(never)]
fn receive_nil() {
    receive(&chan::never());
    println!("received");
}

#[inline(never)]
fn wait_for_change() {
    let guard = CHANGE.wait(OWN.lock());
    println!("changed {guard:?}");
}

#[inline(never)]
fn deadlock_self() {
    let guard = HELD.lock();
    lock_held();
    drop(guard);
}

#[inline(never)]
fn deadlock_select() {
    go(select_none);
    select_two();
    println!("passed");
}

#[inline(never)]
fn select_none() {
    select! {}
}

#[inline(never)]
fn select_two() {
    let ((to_a, a), (to_b, b)) = (bounded::<u8>(0), bounded::<u8>(0));
    select! {
        recv(a) -> _ => {}
        recv(b) -> _ => {}
    }
    println!("selected {}", black_box((to_a, to_b)).0.len());
}

#[inline(never)]
fn deadlock_named() {
    for name in ["worker-1", "worker.2", "two words\t\u{e9}"] {
        if Builder::new().name(name).spawn(wait_for_ever).is_err() {
            println!("not spawned");
        }
    }
    wait_for_ever();
    println!("passed");
}

#[inline(never)]
fn goexit() {
    go(sleep_a_little);
    runtime::goexit();
}

#[inline(never)]
fn sleep_a_little() {
    time::sleep(Duration::from_millis(50));
    println!("the other one ends");
}

#[inline(never)]
fn goexit_blocked() {
    go(wait_for_ever);
    runtime::goexit();
}

#[inline(never)]
fn panic_main() {
    fail_at_work();
    println!("passed");
}

#[inline(never)]
fn panic_lines() {
    panic!("first line\nsecond line\n\nfatal error: last line");
}

#[inline(never)]
fn panic_goroutine() {
    go(work);
    wait_for_ever();
    println!("passed");
}

struct Bomb;

impl fmt::Display for Bomb {
    #[inline(never)]
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        fail_at_work();
        Ok(())
    }
}

#[inline(never)]
fn panic_printing() {
    panic!("{}", Bomb);
}

/// One waits, one sleeps: what a report shows of them is the level's choice.
#[inline(never)]
fn panic_others() {
    go(wait_for_ever);
    go(sleep_long);
    time::sleep(Duration::from_millis(50));
    fail_at_work();
    println!("passed");
}

#[inline(never)]
fn sleep_long() {
    time::sleep(Duration::from_secs(3600));
    println!("slept");
}

#[inline(never)]
fn negative_group() {
    WaitGroup::new().done();
    println!("passed");
}

#[inline(never)]
fn locked_main() {
    runtime::lock_os_thread();
    wait_for_ever();
    println!("passed");
}

#[inline(never)]
fn locked_other() {
    go(wait_locked);
    wait_for_ever();
    println!("passed");
}

#[inline(never)]
fn wait_locked() {
    runtime::lock_os_thread();
    wait_for_ever();
    println!("waited");
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    black_box(descend(depth + 1)) + depth
}

#[inline(never)]
fn overflow() {
    println!("{}", descend(1));
}

#[inline(never)]
fn overflow_goroutine() {
    go(overflow);
    wait_for_ever();
    println!("passed");
}

#[inline(never)]
fn unlock_mutex() {
    // SAFETY: nobody has its value; that nobody has the lock either is the mistake to show.
    unsafe { Mutex::new(()).force_unlock() };
    println!("passed");
}

#[inline(never)]
fn unlock_read() {
    // SAFETY: as above.
    unsafe { RwLock::new(()).force_unlock_read() };
    println!("passed");
}

#[inline(never)]
fn unlock_write() {
    // SAFETY: as above.
    unsafe { RwLock::new(()).force_unlock_write() };
    println!("passed");
}

/// Under `schedtrace`: one is locked, one waits, main works for a while.
#[inline(never)]
fn schedtrace() {
    go(wait_locked);
    go(wait_for_ever);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(450) {
        core::hint::spin_loop();
    }
    println!("passed");
}

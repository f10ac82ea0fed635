//! Every operation of the runtime while the stack grows under it.
//!
//! A goroutine's stack gets its pages by page faults, wherever the first touch of one falls: in a
//! spawn, amid a channel's lock, on the way through the switch. Here each operation runs with the
//! stack pointer at every distance, in steps of 64 bytes, above a page that is not there, so that
//! the fault comes at every depth of it; and each result is checked. Catches: a fault where the
//! kernel does not know whose stack it is, a register or a flag that the fault's way in and out
//! does not bring back, frames that are taken under a lock that the faulting code holds, and a page
//! that comes up with the content of another.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Procs, Slice, applies, eventually};
use gosched::chan::{Receiver, Sender, bounded, never, unbounded};
use gosched::context::Context;
use gosched::coro::Coroutine;
use gosched::mem::{FRAME_SIZE, space, stack};
use gosched::sched::SCHED;
use gosched::sched::g::getg;
use gosched::sched::newproc::{Attributes, newproc};
use gosched::sched::preempt::{self, Mode};
use gosched::sched::stop::flush_all_tlbs;
use gosched::sync::{Barrier, Condvar, Mutex, Once, RwLock, Semaphore, WaitGroup};
use gosched::time::{self, Duration, Instant, Timer};
use gosched::{go, goroutine_local, print, println, runtime, scope, select, spawn};

/// From one place of the fault to the next: a line of the cache, less than any frame and its call.
const STEP: usize = 64;

/// The places of the fault, in bytes above the page that is not there. With chaos, where each
/// operation takes many times as long, every fourth.
fn rooms() -> impl ExactSizeIterator<Item = usize> {
    let step = match SCHED.chaos.load(Ordering::Relaxed) {
        0 => STEP,
        _ => 4 * STEP,
    };
    (0..FRAME_SIZE).step_by(step)
}

/// Pages between the caller of the operation and the edge: room for what prepares it, and for an
/// interrupt that preempts it there.
const KEPT: usize = 4;

/// Runs `op` once for each place of the fault: `op` is given how many there were before.
fn at_every_depth(mut op: impl FnMut(usize)) {
    let mut grown = 0;
    for (n, room) in rooms().enumerate() {
        grown += usize::from(run_above_hole(room, || op(n)));
    }
    // Those of no more room than their own depth; a call with none at all is sure to.
    assert!(grown > 0, "no stack has grown");
}

/// Runs `op` on this goroutine's stack, `room` bytes above a page that is not there. Whether it is
/// there now.
#[inline(never)]
fn run_above_hole<F: FnMut()>(room: usize, mut op: F) -> bool {
    unsafe extern "C" fn run<F: FnMut()>(op: *mut u8) {
        // SAFETY: the `op` below, which is used by this call alone until it returns.
        let op = unsafe { &mut *op.cast::<F>() };
        op();
    }
    let stack = stack::whole(getg().head.stack.get());
    let here = &raw mut op as usize;
    let edge = (here & !(FRAME_SIZE - 1)) - KEPT * FRAME_SIZE;
    assert!(
        edge > stack.lo + 16 * FRAME_SIZE,
        "too little of the stack is left"
    );
    for page in (edge..here).step_by(FRAME_SIZE).rev() {
        // SAFETY: memory of this stack, mapped or about to be.
        black_box(unsafe { (page as *const u8).read_volatile() });
    }
    let unmapped = stack::shrink(stack, edge);
    // This goroutine runs on, but not below `edge` before all CPUs know.
    flush_all_tlbs();
    unmapped.release();
    assert_eq!(space::translate(edge - 1), None);
    // SAFETY: below all frames of this goroutine, on its own stack, and 16-aligned.
    unsafe { call_at(edge + room, run::<F>, (&raw mut op).cast()) };
    space::translate(edge - 1).is_some()
}

/// Calls `f(arg)` with the stack pointer at `sp`.
///
/// # Safety
/// `sp` is lower on the stack that this runs on, and 16-aligned; `f` may be called with `arg`.
#[unsafe(naked)]
unsafe extern "C" fn call_at(sp: usize, f: unsafe extern "C" fn(*mut u8), arg: *mut u8) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16; .cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// A goroutine that answers each `n` by `f(n)`, until the sender is dropped.
fn echo<T: Send + 'static>(f: impl Fn(T) -> T + Send + 'static) -> (Sender<T>, Receiver<T>) {
    let (ask, asked) = bounded::<T>(0);
    let (answer, answered) = bounded(0);
    go(move || {
        for value in asked {
            if answer.send(f(value)).is_err() {
                return;
            }
        }
    });
    (ask, answered)
}

// ---- Goroutines ------------------------------------------------------------

#[gosched::test]
fn spawn_and_join() {
    at_every_depth(|n| {
        let words = [n; 20];
        let sum = spawn(move || words.iter().sum::<usize>()).join();
        assert_eq!(sum.ok(), Some(20 * n));
    });
}

#[gosched::test]
fn go_in_a_scope() {
    at_every_depth(|n| {
        let mut values = [n; 4];
        scope(|s| {
            for value in &mut values {
                s.spawn(move || *value += 1);
            }
        });
        assert_eq!(values, [n + 1; 4]);
    });
}

#[gosched::test]
fn yield_park_and_unpark() {
    at_every_depth(|n| {
        runtime::gosched();
        let me = gosched::current();
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        go(move || {
            flag.store(true, Ordering::Release);
            me.unpark();
        });
        while !woken.load(Ordering::Acquire) {
            gosched::park();
        }
        // The token may have come after the last look.
        gosched::park_timeout(Duration::from_micros(n as u64));
    });
}

#[gosched::test]
fn lock_to_a_thread_and_pin_to_each_cpu() {
    at_every_depth(|n| {
        runtime::lock_os_thread();
        runtime::gosched();
        runtime::unlock_os_thread();
        let cpu = n % runtime::num_cpu();
        let _pinned = runtime::pin(cpu);
        assert_eq!(runtime::cpu(), cpu);
    });
}

/// The end of a goroutine: its locals, what it deferred, and the way to `goexit`.
#[gosched::test]
fn goexit_runs_what_is_left_to_do() {
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    goroutine_local!(static LAST: core::cell::RefCell<Option<Counts>> = const {
        core::cell::RefCell::new(None)
    });
    let dropped = Arc::new(AtomicUsize::new(0));
    for room in rooms() {
        let dropped = dropped.clone();
        let ended = spawn(move || {
            run_above_hole(room, || {
                LAST.with(|last| *last.borrow_mut() = Some(Counts(dropped.clone())));
                runtime::goexit();
            });
        });
        assert!(ended.join().is_err());
    }
    assert_eq!(dropped.load(Ordering::Relaxed), rooms().len());
}

/// The panic of a goroutine with a hook: the text is made, the hook runs, the goroutine ends.
#[gosched::test]
fn panic() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    fn note(text: &dyn fmt::Display) {
        let text = format!("{text}");
        assert!(text.ends_with("room for nothing else"), "{text}");
        SEEN.fetch_add(1, Ordering::Release);
    }
    for (n, room) in rooms().enumerate() {
        let attributes = Attributes {
            panic_hook: Some(note),
            ..Attributes::default()
        };
        let panics = move || {
            run_above_hole(room, || panic!("{}", black_box("room for nothing else")));
        };
        assert!(newproc(panics, attributes).is_ok());
        assert!(eventually(|| SEEN.load(Ordering::Acquire) == n + 1));
    }
}

#[gosched::test]
fn coroutines_on_both_sides() {
    at_every_depth(|n| {
        let mut numbers = Coroutine::new(move |yielder| {
            for i in 0..3 {
                yielder.yield_(n + i);
            }
        });
        let got = [numbers.resume(), numbers.resume(), numbers.resume()];
        assert_eq!(got, [Some(n), Some(n + 1), Some(n + 2)]);
    });
    let mut inside = Coroutine::new(|yielder| {
        at_every_depth(|n| {
            yielder.yield_(n);
        });
    });
    for n in 0..rooms().len() {
        assert_eq!(inside.resume(), Some(n));
    }
    assert_eq!(inside.resume(), None);
}

/// The interrupt's own switch pushes all registers upon the stack that it finds.
#[gosched::test]
fn preemption_by_the_interrupt() {
    if !applies(preempt::mode() == Mode::Async, "preempt=async") {
        return;
    }
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let _one = Procs::new(1);
    let _slice = Slice::of_us(100);
    at_every_depth(|_| {
        let before = RAN.load(Ordering::Relaxed);
        go(|| {
            RAN.fetch_add(1, Ordering::Relaxed);
        });
        // No call, so no safe point: there is one P, and only the interrupt can give it away.
        while RAN.load(Ordering::Relaxed) == before {
            core::hint::spin_loop();
        }
    });
}

// ---- Channels --------------------------------------------------------------

#[gosched::test]
fn send_and_receive_by_parking() {
    let (ask, answered) = echo(|n: usize| n + 1);
    at_every_depth(|n| {
        assert!(ask.send(n).is_ok());
        assert_eq!(answered.recv(), Ok(n + 1));
    });
}

/// The peer writes straight into this goroutine's frame, and reads from it.
#[gosched::test]
fn large_values_go_from_stack_to_stack() {
    let (ask, answered) = echo(|block: [usize; 100]| block.map(|word| word * 3));
    at_every_depth(|n| {
        let block: [usize; 100] = core::array::from_fn(|i| n + i);
        assert!(ask.send(black_box(block)).is_ok());
        assert_eq!(answered.recv(), Ok(block.map(|word| word * 3)));
    });
}

#[gosched::test]
fn buffers_limits_and_ends() {
    at_every_depth(|n| {
        let (tx, rx) = bounded(2);
        assert!(tx.send(n).is_ok() && tx.try_send(n + 1).is_ok());
        assert!(tx.try_send(n).is_err());
        assert!(tx.send_timeout(n, Duration::from_micros(20)).is_err());
        drop(tx);
        assert_eq!(rx.iter().collect::<Vec<_>>(), [n, n + 1]);
        let (tx, rx) = unbounded();
        for i in 0..40 {
            assert!(tx.send(i).is_ok());
        }
        assert_eq!(rx.try_iter().count(), 40);
        let empty = rx.recv_timeout(Duration::from_micros(20));
        assert!(empty.is_err());
    });
}

#[gosched::test]
fn select_ready_and_parked() {
    let (ask, answered) = echo(|n: usize| n * 2);
    let nobody = never::<Instant>();
    at_every_depth(|n| {
        let mut got = None;
        for _ in 0..2 {
            select! {
                send(ask, n) -> sent => assert!(sent.is_ok()),
                recv(answered) -> answer => got = answer.ok(),
                recv(nobody) -> _ => panic!("nobody sends"),
            }
            // The echo takes nothing new before its answer is taken, and has none before that.
        }
        assert_eq!(got, Some(n * 2));
        let late = select! {
            recv(answered) -> _ => false,
            default(Duration::from_micros(20)) => true,
        };
        assert!(late);
    });
}

// ---- sync ------------------------------------------------------------------

#[gosched::test]
fn locks_that_are_contended() {
    static COUNT: Mutex<usize> = Mutex::new(0);
    static TABLE: RwLock<usize> = RwLock::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let others = WaitGroup::new();
    for _ in 0..2 {
        let stop = stop.clone();
        others.go(move || {
            while !stop.load(Ordering::Relaxed) {
                let held = COUNT.lock();
                runtime::gosched();
                drop(held);
                let read = TABLE.read();
                runtime::gosched();
                assert!(*read <= rooms().len());
                drop(read);
            }
        });
    }
    at_every_depth(|n| {
        *COUNT.lock() += 1;
        *TABLE.write() += 1;
        assert_eq!(*TABLE.read(), n + 1);
        let limited = COUNT.lock_timeout(Duration::from_secs(10));
        assert_eq!(limited.map(|count| *count), Some(n + 1));
    });
    stop.store(true, Ordering::Relaxed);
    others.wait();
}

#[gosched::test]
fn conditions_groups_and_permits() {
    let place = Arc::new((Mutex::new(0), Condvar::new()));
    let permits = Arc::new(Semaphore::new(3));
    permits.acquire(3);
    at_every_depth(|n| {
        let group = WaitGroup::new();
        let (other, released) = (place.clone(), permits.clone());
        group.go(move || {
            *other.0.lock() = n + 1;
            other.1.notify_one();
            released.release(3);
        });
        let mut value = place.0.lock();
        while *value != n + 1 {
            value = place.1.wait(value);
        }
        drop(value);
        permits.acquire(3);
        group.wait();
        assert_eq!(permits.available(), 0);
    });
}

#[gosched::test]
fn once_and_barrier() {
    at_every_depth(|n| {
        let (once, meeting) = (Once::new(), Arc::new(Barrier::new(2)));
        let mut calls = 0;
        once.call_once(|| calls += n);
        once.call_once(|| calls += n);
        assert_eq!(calls, n);
        let other = meeting.clone();
        let led = spawn(move || other.wait().is_leader());
        let leads = meeting.wait().is_leader();
        assert_eq!(led.join().ok(), Some(!leads));
    });
}

// ---- Time ------------------------------------------------------------------

#[gosched::test]
fn timers() {
    let (tx, rx) = unbounded();
    at_every_depth(|n| {
        let before = Instant::now();
        time::sleep(Duration::from_micros(30));
        assert!(before.elapsed() >= Duration::from_micros(30));
        let timer = Timer::new(Duration::from_secs(100));
        assert!(timer.stop());
        assert!(!timer.reset(Duration::from_micros(30)));
        assert!(timer.channel().recv().is_ok());
        let tx = tx.clone();
        let calls = Timer::after_func(Duration::from_micros(30), move || {
            let _ = tx.send(n);
        });
        assert_eq!(rx.recv(), Ok(n));
        assert!(!calls.stop());
    });
}

#[gosched::test]
fn contexts() {
    at_every_depth(|n| {
        let (parent, cancel) = Context::background().with_cancel();
        let (child, _cancel) = parent.with_timeout(Duration::from_secs(100));
        let named = child.with_value("n", n);
        assert_eq!(named.value::<usize>(&"n"), Some(&n));
        assert!(named.err().is_none());
        go(move || {
            cancel();
        });
        assert!(named.done().recv().is_err());
        assert!(named.err().is_some());
    });
}

// ---- Memory, console, and looking at the whole -----------------------------

#[gosched::test]
fn the_heap() {
    at_every_depth(|n| {
        let small = Box::new([n; 3]);
        let mut large = Vec::with_capacity(1000);
        for i in 0..5000 {
            large.push(n + i);
        }
        let text: String = format!("{:>30}{:?}", n, small);
        assert_eq!(large.iter().sum::<usize>(), 5000 * n + 4999 * 2500);
        assert!(text.contains(&format!("{n}[{n}, {n}, {n}]")), "{text}");
    });
}

#[gosched::test]
fn the_console() {
    at_every_depth(|n| print!("{}", if n % 2 == 0 { '.' } else { ':' }));
    println!();
}

#[gosched::test]
fn tracebacks_and_counts() {
    at_every_depth(|_| {
        let text = runtime::stack(false);
        assert!(text.contains("run_above_hole"), "{text}");
        assert!(runtime::num_goroutine() > 0);
        assert!(runtime::stats().goroutines > 0);
    });
}

#[gosched::test]
fn stopping_the_world() {
    at_every_depth(|n| {
        let procs = runtime::gomaxprocs(0);
        let other = n % procs + 1;
        let _procs = Procs::new(other);
        assert_eq!(runtime::gomaxprocs(0), other);
    });
}

gosched::test_main!();

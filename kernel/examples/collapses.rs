//! Failures where there is no goroutine's stack to stand on, within other failures, and at the same
//! instant as others: `args=NAME` chooses one, `.ci/collapses.sh` runs them all and compares status
//! and console. Each must end in one report and its status, never in silence, a hang or a reset.
//!
//! What a report must name is a function of its own, never inlined, and does something after its
//! call: a tail call would leave no frame.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::arch::asm;
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gosched::arch::switch::systemstack;
use gosched::arch::{Handlers, TrapFrame, set_handlers};
use gosched::base::cmdline::options;
use gosched::base::lock::{Lock, Rank};
use gosched::chan::bounded;
use gosched::sched::m::getm;
use gosched::sync::WaitGroup;
use gosched::time::{Duration, Timer};
use gosched::{go, goroutine_local, println, runtime, start};

/// Name, and what it does.
type Scenario = (&'static str, fn());

const SCENARIOS: &[Scenario] = &[
    ("g0", || systemstack(overflow)),
    ("g0-frame", || systemstack(|| huge_frame(&mut 0))),
    ("g0-other", || {
        go(|| systemstack(overflow));
        wait_for_ever();
    }),
    ("interrupt", || on_tick(overflow)),
    ("page-fault", overflow_in_page_fault),
    ("exception", overflow_in_exception),
    ("report", || {
        let _guard = runtime::preempt_off();
        panic!("deep: {}", Deep);
    }),
    ("text", || panic!("deep: {}", Deep)),
    ("report-panics", || {
        let _guard = runtime::preempt_off();
        panic!("a bomb: {}", Bomb);
    }),
    ("report-faults", || {
        let _guard = runtime::preempt_off();
        panic!("no text: {}", Nowhere);
    }),
    ("report-twice", || {
        let _guard = runtime::preempt_off();
        panic!("two bombs: {}", Bombs);
    }),
    ("drop", || {
        let _value = PanicsWhenDropped;
        println!("collapses: before the drop");
    }),
    ("drop-in-panic", || {
        let _value = PanicsWhenDropped;
        fail();
    }),
    ("local-drop", panic_in_local),
    ("after-func", || {
        let _timer = Timer::after_func(Duration::from_millis(1), fail);
        wait_for_ever();
    }),
    ("tick", || on_tick(fail)),
    ("tick-fault", || on_tick(|| println!("{}", read_nothing()))),
    ("double-fault", double_fault),
    ("all-kinds", fail_in_all_ways_at_once),
    ("exit", panic_while_another_exits),
    ("others-block", panic_while_others_block),
    ("lock-order", || {
        static SCHED_LIKE: Lock<u32> = Lock::new(Rank::Sched, 1);
        static TIMERS_LIKE: Lock<u32> = Lock::new(Rank::Timers, 2);
        let outer = SCHED_LIKE.lock();
        println!("collapses: {}", *outer + *TIMERS_LIKE.lock());
    }),
    ("lock-twice", || {
        static HEAP_LIKE: Lock<u32> = Lock::new(Rank::Heap, 1);
        let outer = HEAP_LIKE.lock();
        println!("collapses: {}", *outer + *HEAP_LIKE.lock());
    }),
    ("lock-tick", || {
        static CHAN_LIKE: Lock<u32> = Lock::new(Rank::Chan, 1);
        on_tick(|| *CHAN_LIKE.lock() += 1);
    }),
];

#[gosched::main]
fn main() {
    let name = options().args.as_deref().unwrap_or("");
    let Some((_, scenario)) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
        println!("collapses: no scenario '{name}'; there are:");
        for (name, _) in SCENARIOS {
            println!("{name}");
        }
        runtime::exit(1);
    };
    scenario();
    println!("collapses: main returns");
}

/// Waits for a value that nobody will send; somebody could, so the channel stays open.
#[inline(never)]
fn wait_for_ever() {
    let (sender, receiver) = bounded::<u8>(0);
    core::mem::forget(sender);
    let got = receiver.recv();
    println!("collapses: received {got:?}");
}

#[inline(never)]
fn fail() {
    panic!("work failed");
}

// ---- Stacks ----------------------------------------------------------------

#[inline(never)]
fn overflow() {
    black_box(descend(1));
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    black_box(descend(depth + 1)) + depth
}

/// Reaches over the page below a stack at once.
#[inline(never)]
fn huge_frame(sum: &mut u64) {
    let frame = [0u8; 1 << 20];
    *sum += u64::from(black_box(&frame)[0]);
    println!("collapses: a frame of {} bytes", frame.len());
}

/// Interrupts call `change` of the kernel's own table from now on.
fn with_handlers(change: impl FnOnce(&mut Handlers)) {
    let mut handlers = Handlers { ..start::HANDLERS };
    change(&mut handlers);
    set_handlers(Box::leak(Box::new(handlers)));
}

/// Runs until an interrupt of its own CPU has ended the image, in which `f` is called.
#[inline(never)]
fn on_tick(f: fn()) {
    static F: AtomicUsize = AtomicUsize::new(0);
    F.store(f as usize, Ordering::Release);
    with_handlers(|handlers| {
        handlers.tick = |frame| {
            // Not on a CPU that is idle: the report is to show what was interrupted.
            if getm().curg().is_none() {
                return (start::HANDLERS.tick)(frame);
            }
            // SAFETY: `on_tick` stored a fn() before it set this handler.
            unsafe { core::mem::transmute::<usize, fn()>(F.load(Ordering::Acquire))() };
        }
    });
    while black_box(true) {
        core::hint::spin_loop();
    }
}

/// On the stack of page faults, from which the next one begins at the top again.
fn overflow_in_page_fault() {
    with_handlers(|handlers| {
        handlers.page_fault = |_, _| {
            overflow();
            true
        }
    });
    println!("{}", read_nothing());
}

/// On the stack of all other exceptions; what that raises is the kernel's again.
fn overflow_in_exception() {
    fn exception(frame: &TrapFrame, addr: usize) -> ! {
        static FIRST: AtomicBool = AtomicBool::new(true);
        if FIRST.swap(false, Ordering::Relaxed) {
            overflow();
        }
        (start::HANDLERS.exception)(frame, addr)
    }
    with_handlers(|handlers| handlers.exception = exception);
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("ud2") };
}

/// Uses up the stack that it is printed on.
struct Deep;

impl fmt::Display for Deep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        overflow();
        f.write_str("bottom")
    }
}

// ---- Failures within failures ----------------------------------------------

/// Panics when it is printed.
struct Bomb;

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fail();
        f.write_str("defused")
    }
}

/// Panics when it is printed, with a text that panics when it is printed.
struct Bombs;

impl fmt::Display for Bombs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if black_box(true) {
            panic!("another bomb: {Bomb}");
        }
        f.write_str("defused")
    }
}

/// Reads page 0 when it is printed.
struct Nowhere;

impl fmt::Display for Nowhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", read_nothing())
    }
}

/// Volatile by assembly, so that the compiler cannot know the pointer.
#[inline(never)]
fn read_nothing() -> u8 {
    let value: u8;
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("mov {}, [{}]", out(reg_byte) value, in(reg) 0x10usize) };
    value
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        fail();
    }
}

fn panic_in_local() {
    goroutine_local!(static LAST: PanicsWhenDropped = const { PanicsWhenDropped });
    go(|| LAST.with(|_| ()));
    wait_for_ever();
}

/// The page-fault stack of this CPU leads nowhere, so that its delivery faults.
fn double_fault() {
    #[repr(C, packed)]
    struct TablePointer(u16, u64);
    let mut gdt = TablePointer(0, 0);
    let selector: u16;
    let _guard = runtime::preempt_off();
    // SAFETY: not sound, and not to be: the exception that it raises ends the image. Until then:
    // the task state segment that this CPU has loaded, whose address its descriptor has in pieces,
    // and in it the second interrupt stack (Intel SDM volume 3, 8.7).
    unsafe {
        asm!("sgdt [{}]", in(reg) &raw mut gdt);
        asm!("str {:x}", out(reg) selector);
        let descriptor = (gdt.1 as usize + usize::from(selector)) as *const u64;
        let (low, high) = (descriptor.read(), descriptor.add(1).read());
        let base = low >> 16 & 0xff_ffff | low >> 56 << 24 | high << 32;
        ((base + 36 + 8) as *mut u64).write_unaligned(0xffff_9999_0000_0000);
    }
    println!("{}", read_nothing());
}

// ---- At the same instant ---------------------------------------------------

/// Calls `f(n)` on each P at once, n from 0 on.
fn at_once(f: fn(usize)) {
    static HERE: AtomicUsize = AtomicUsize::new(0);
    let together = runtime::gomaxprocs(0);
    for n in 0..together {
        go(move || {
            HERE.fetch_add(1, Ordering::SeqCst);
            while HERE.load(Ordering::SeqCst) < together {
                core::hint::spin_loop();
            }
            f(n);
        });
    }
    wait_for_ever();
}

fn fail_in_all_ways_at_once() {
    at_once(|n| match n % 4 {
        0 => fail(),
        1 => println!("{}", read_nothing()),
        2 => overflow(),
        _ => systemstack(overflow),
    });
}

fn panic_while_another_exits() {
    at_once(|n| match n % 2 {
        0 => fail(),
        _ => runtime::exit(7),
    });
}

/// Nobody else can run any more when it panics, which is no deadlock.
fn panic_while_others_block() {
    let ready = WaitGroup::new();
    for _ in 0..8 {
        ready.add(1);
        let ready = ready.clone();
        go(move || {
            ready.done();
            wait_for_ever();
        });
    }
    ready.wait();
    fail();
}

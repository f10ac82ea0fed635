//! Every way in which an image can end: `args=NAME` chooses one, `.ci/exits.sh` runs them all and
//! compares status and console.
//!
//! A scenario either ends the image or returns, which the last line says. What a report must name
//! is a function of its own, never inlined, and does something after its call: a tail call would
//! leave no frame.
//!
//! Not a test image: a test runner would catch the panics that are looked at here.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;

use gosched::arch::switch::systemstack;
use gosched::base::cmdline::options;
use gosched::chan::{Receiver, Sender, bounded};
use gosched::coro::Coroutine;
use gosched::sync::{Mutex, RwLock, WaitGroup};
use gosched::{go, println, runtime, time};

/// Name, and what it does.
type Scenario = (&'static str, fn());

const SCENARIOS: &[Scenario] = &[
    ("return", leave_others_behind),
    ("exit-0", || runtime::exit(0)),
    ("exit-7", || runtime::exit(7)),
    ("exit-255", exit_in_another),
    ("sleep", sleep_alone),
    ("panic", panic_in_main),
    ("panic-goroutine", panic_in_goroutine),
    ("panic-lines", || {
        panic!("first line\nsecond line\n\nfatal error: last line")
    }),
    ("panic-preempt-off", panic_without_preemption),
    ("panic-mutex", panic_with_mutex),
    ("panic-everywhere", panic_everywhere),
    ("panic-return", panic_while_main_returns),
    ("panic-display", panic_in_display),
    ("panic-yield", || panic!("{}", Yields)),
    ("panic-system", panic_on_g0),
    ("panic-index", || println!("{}", [1, 2][black_box(5)])),
    ("panic-others", panic_among_others),
    ("panic-coroutine", panic_in_coroutine),
    ("coroutine-pin", || {
        let _ = Coroutine::new(|y| (runtime::pin(0), y.yield_(1)).1).resume();
    }),
    ("waitgroup", || WaitGroup::new().done()),
    ("unlock-mutex", || {
        // SAFETY: nobody has its value; that nobody has the lock either is the mistake to show.
        unsafe { Mutex::new(()).force_unlock() }
    }),
    ("unlock-read", || {
        // SAFETY: as above.
        unsafe { RwLock::new(()).force_unlock_read() }
    }),
    ("unlock-write", || {
        // SAFETY: as above.
        unsafe { RwLock::new(()).force_unlock_write() }
    }),
    ("deadlock", deadlock),
    ("deadlock-all", deadlock_of_all),
    ("deadlock-self", lock_twice),
    ("deadlock-sleepers", deadlock_after_sleep),
    ("goexit", goexit_others_finish),
    ("goexit-blocked", goexit_others_block),
    ("locked-main", deadlock_locked_main),
    ("locked-other", deadlock_locked_other),
    ("overflow", || println!("{}", descend(1))),
    ("overflow-goroutine", overflow_in_goroutine),
    ("overflow-frame", || huge_frame(&mut 0)),
    ("read-null", || println!("{}", read(core::ptr::null()))),
    ("write-text", || write(write as *const () as *mut u8)),
    ("write-rodata", || {
        write(SCENARIOS.as_ptr().cast::<u8>().cast_mut())
    }),
    ("jump-data", jump_to_data),
    ("jump-wild", jump_to_nowhere),
    ("undefined", undefined_instruction),
    ("divide", divide_by_zero),
    ("general", read_no_address),
    ("breakpoint", breakpoint),
    ("lost-stack", lose_the_stack),
    ("fault-goroutine", fault_in_goroutine),
    ("heap", use_up_heap),
    ("heap-small", use_up_heap_by_little),
    ("goroutines", use_up_goroutines),
    ("stacks", use_up_stacks),
];

#[gosched::main]
fn main() {
    let name = options().args.as_deref().unwrap_or("");
    let Some((_, scenario)) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
        println!("exits: no scenario '{name}'; there are:");
        for (name, _) in SCENARIOS {
            println!("{name}");
        }
        runtime::exit(1);
    };
    scenario();
    println!("exits: main returns");
}

// ---- Plain ends ------------------------------------------------------------

/// One runs, one waits, one sleeps.
fn leave_others_behind() {
    let started = WaitGroup::new();
    started.add(3);
    let (first, second, third) = (started.clone(), started.clone(), started.clone());
    go(move || {
        first.done();
        spin();
    });
    go(move || {
        second.done();
        wait_for_ever();
    });
    go(move || {
        third.done();
        time::sleep(Duration::from_secs(3600));
    });
    started.wait();
}

fn exit_in_another() {
    go(|| runtime::exit(255));
    wait_for_ever();
}

/// All CPUs idle, and yet no deadlock.
fn sleep_alone() {
    time::sleep(Duration::from_millis(300));
    println!("awake");
}

#[inline(never)]
fn spin() {
    while black_box(true) {
        core::hint::spin_loop();
    }
}

/// Waits for a value that nobody will send; somebody could, so the channel stays open.
#[inline(never)]
fn wait_for_ever() {
    let (sender, receiver) = bounded::<u8>(0);
    core::mem::forget(sender);
    receive(&receiver);
}

#[inline(never)]
fn receive(receiver: &Receiver<u8>) {
    let got = receiver.recv();
    println!("exits: received {got:?}");
}

// ---- Panics ----------------------------------------------------------------

#[inline(never)]
fn panic_in_main() {
    panic!("the answer is {}", black_box(41));
}

fn panic_in_goroutine() {
    go(worker);
    wait_for_ever();
}

fn worker() {
    fail_at_work();
    println!("exits: worker returns");
}

#[inline(never)]
fn fail_at_work() {
    panic!("work failed");
}

fn panic_without_preemption() {
    go(|| {
        let _guard = runtime::preempt_off();
        fail_at_work();
    });
    wait_for_ever();
}

static HELD: Mutex<u32> = Mutex::new(0);

/// The others wait for the mutex of the one that panics.
fn panic_with_mutex() {
    let guard = HELD.lock();
    for _ in 0..3 {
        go(|| *HELD.lock() += 1);
    }
    runtime::gosched();
    fail_at_work();
    drop(guard);
}

/// All CPUs panic at once; one of them reports.
fn panic_everywhere() {
    static HERE: AtomicUsize = AtomicUsize::new(0);
    let together = runtime::gomaxprocs(0);
    for _ in 0..together {
        go(move || {
            HERE.fetch_add(1, Ordering::SeqCst);
            while HERE.load(Ordering::SeqCst) < together {
                core::hint::spin_loop();
            }
            fail_at_work();
        });
    }
    wait_for_ever();
}

/// Whoever comes first, an image that panicked never ends as if all were well after its report.
fn panic_while_main_returns() {
    static READY: AtomicBool = AtomicBool::new(false);
    go(|| {
        READY.store(true, Ordering::Release);
        fail_at_work();
    });
    while !READY.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
}

/// In the scheduler, as a broken invariant of its own would.
fn panic_on_g0() {
    systemstack(fail_at_work);
    println!("exits: g0 returns");
}

/// Panics when it is printed.
struct Bomb;

impl fmt::Display for Bomb {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        fail_at_work();
        Ok(())
    }
}

#[inline(never)]
fn panic_in_display() {
    panic!("a bomb: {Bomb}");
}

/// Gives up the CPU while it is printed.
struct Yields;

impl fmt::Display for Yields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        runtime::gosched();
        f.write_str("printed after a yield")
    }
}

/// One other goroutine runs, one waits: what a report shows of them is the level's choice.
fn panic_among_others() {
    static SPINS: AtomicBool = AtomicBool::new(false);
    go(wait_for_ever);
    go(|| {
        SPINS.store(true, Ordering::Release);
        spin();
        println!("exits: spin returns");
    });
    while !SPINS.load(Ordering::Acquire) {
        runtime::gosched();
    }
    time::sleep(Duration::from_millis(20));
    fail_at_work();
}

/// Go's TestPullPanic: the report is that of the body, and whoever resumed it is shown waiting.
fn panic_in_coroutine() {
    let mut body = Coroutine::new(|yielder| {
        yielder.yield_(1);
        fail_at_work();
    });
    while body.resume().is_some() {}
}

// ---- Nobody can run --------------------------------------------------------

fn deadlock() {
    let (sender, receiver) = bounded::<u8>(0);
    receive(&receiver);
    drop(sender);
}

/// Each waits for something else.
fn deadlock_of_all() {
    let group = WaitGroup::new();
    group.add(1);
    let guard = HELD.lock();
    go(|| *HELD.lock() += 1);
    go(|| {
        let (sender, receiver): (Sender<u8>, _) = bounded(0);
        let sent = sender.send(1);
        println!("exits: sent {sent:?} {receiver:?}");
    });
    go(wait_for_ever);
    group.wait();
    drop(guard);
}

fn lock_twice() {
    let outer = HELD.lock();
    let inner = HELD.lock();
    println!("exits: locked twice");
    drop((outer, inner));
}

/// The last timer fires, and only then is there a deadlock.
fn deadlock_after_sleep() {
    go(|| {
        time::sleep(Duration::from_millis(100));
        println!("awake");
        wait_for_ever();
    });
    wait_for_ever();
}

fn goexit_others_finish() {
    go(|| {
        time::sleep(Duration::from_millis(50));
        println!("the other one ends");
    });
    runtime::goexit();
}

fn goexit_others_block() {
    go(wait_for_ever);
    runtime::goexit();
}

fn deadlock_locked_main() {
    runtime::lock_os_thread();
    wait_for_ever();
}

fn deadlock_locked_other() {
    go(|| {
        runtime::lock_os_thread();
        wait_for_ever();
    });
    runtime::lock_os_thread();
    runtime::unlock_os_thread();
    wait_for_ever();
}

// ---- Stacks ----------------------------------------------------------------

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    black_box(descend(depth + 1)) + depth
}

fn overflow_in_goroutine() {
    go(|| println!("exits: {}", descend(1)));
    wait_for_ever();
}

/// Reaches over the guard of a stack at once.
#[inline(never)]
fn huge_frame(sum: &mut u64) {
    let frame = [0u8; 1 << 20];
    *sum += u64::from(black_box(&frame)[0]);
    println!("exits: a frame of {} bytes", frame.len());
}

// ---- Exceptions ------------------------------------------------------------

/// Volatile by assembly, so that the compiler cannot know the pointer.
#[inline(never)]
fn read(from: *const u8) -> u8 {
    let value: u8;
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("mov {}, [{}]", out(reg_byte) value, in(reg) from) };
    value
}

#[inline(never)]
fn write(to: *mut u8) {
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("mov byte ptr [{}], 0xcc", in(reg) to) };
}

#[inline(never)]
fn jump_to_data() {
    static CODE: [u8; 1] = [0xc3];
    let code: Box<[u8; 1]> = Box::new(black_box(CODE));
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("call {}", in(reg) code.as_ptr(), clobber_abi("C")) };
    println!("exits: data was run");
}

#[inline(never)]
fn jump_to_nowhere() {
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("call {}", in(reg) 0x1234_5678usize, clobber_abi("C")) };
    println!("exits: nothing was run");
}

#[inline(never)]
fn undefined_instruction() {
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("mov r15, 0x1122334455667788", "ud2", out("r15") _) };
}

#[inline(never)]
fn divide_by_zero() {
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("div {:e}", in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _) };
}

/// An address that is not canonical.
#[inline(never)]
fn read_no_address() {
    black_box(read(0x1234_0000_0000_0000 as *const u8));
}

#[inline(never)]
fn breakpoint() {
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe { asm!("int3") };
}

/// A stack pointer that leads nowhere: the report must do without a stack.
#[inline(never)]
fn lose_the_stack() {
    // SAFETY: not sound, and not to be: the exception that it raises ends the image.
    unsafe {
        asm!(
            "mov rsp, {}",
            "mov rbp, rsp",
            "push rax",
            in(reg) 0xffff_9999_0000_0000usize,
            options(noreturn)
        );
    }
}

fn fault_in_goroutine() {
    go(|| {
        black_box(read(core::ptr::without_provenance(0x10)));
        println!("exits: page 0 was read");
    });
    wait_for_ever();
}

// ---- No memory -------------------------------------------------------------

fn use_up_heap() {
    loop {
        core::mem::forget(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

fn use_up_heap_by_little() {
    loop {
        core::mem::forget(black_box(Box::new([1u64; 5])));
    }
}

fn use_up_goroutines() {
    loop {
        go(wait_for_ever);
    }
}

/// Each goroutine wants more stack than it began with.
fn use_up_stacks() {
    loop {
        go(|| {
            let mut room = [0u8; 100 << 10];
            black_box(&mut room).fill(1);
            wait_for_ever();
            black_box(&room);
        });
        runtime::gosched();
    }
}

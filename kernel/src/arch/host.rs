//! The seam over std threads, for the tests that run on the host.
//!
//! A thread that called [`become_cpu`] plays a CPU: its GS base points at an `MHead` of its own, so
//! `switch.rs`, the locks and the per-CPU caches work as on the machine. What such a thread lacks
//! is interrupts: nothing ever breaks into it, and its interrupt flag is a variable. An IPI only
//! ends a [`halt`], and so does the deadline.
//!
//! What boot alone needs (starting CPUs, handlers, the banner) does not exist here: the host tests
//! do not boot. Refused: signals as interrupts, since std's own locks do not expect them.

use alloc::boxed::Box;
use core::arch::asm;
use core::cell::Cell;
use std::io::Write;
use std::sync::{LazyLock, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::arch::Place;
use crate::arch::switch::{GHead, MHead, cpu_index};
use crate::arch::trap_frame::TrapFrame;

/// The most CPUs that are used.
pub const MAX_CPUS: usize = 64;

/// What one CPU can ask of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipi {
    /// Ends a halt.
    Wake,
    /// Asks for preemption.
    Preempt,
    /// Asks to forget all translations.
    FlushTlb,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The threads that play CPUs, by index; the first that took a number keeps it.
static THREADS: [OnceLock<Thread>; MAX_CPUS] = [const { OnceLock::new() }; MAX_CPUS];

std::thread_local! {
    static INTERRUPTS_ON: Cell<bool> = const { Cell::new(false) };
    static DEADLINE_NS: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Makes this thread a CPU with its own M and a g0 that is running. Both live for ever.
pub(crate) fn become_cpu(index: usize) {
    const SYS_ARCH_PRCTL: usize = 158;
    const ARCH_SET_GS: usize = 0x1001;
    // SAFETY: zeroes are valid for both heads.
    let (g, m) = unsafe {
        (
            Box::<GHead>::new_zeroed().assume_init(),
            Box::<MHead>::new_zeroed().assume_init(),
        )
    };
    let m: &'static MHead = Box::leak(m);
    m.this.set(core::ptr::from_ref(m).cast_mut());
    m.g.set(Box::leak(g));
    m.g0.set(m.g.get());
    m.cpu.set(u32::try_from(index).expect("a small number"));
    let result: isize;
    // SAFETY: nothing on the host uses GS; the head is never freed.
    unsafe {
        asm!("syscall", inlateout("rax") SYS_ARCH_PRCTL => result, in("rdi") ARCH_SET_GS,
            in("rsi") core::ptr::from_ref(m), out("rcx") _, out("r11") _, options(nostack));
    }
    assert_eq!(result, 0, "arch_prctl");
    let _ = THREADS[index].set(thread::current());
}

/// Nanoseconds since the first call.
pub fn nanotime() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).expect("585 years have not passed")
}

/// A counter that runs at 1 GHz.
pub fn cputicks() -> u64 {
    nanotime()
}

/// How many ticks of [`cputicks`] so many nanoseconds are.
pub fn ns_to_cputicks(ns: u64) -> u64 {
    ns
}

/// Ends this CPU's halt at that time.
pub fn set_deadline(deadline_ns: u64) {
    DEADLINE_NS.set(deadline_ns);
}

/// Sleeps until an IPI or the deadline.
pub fn halt() {
    match DEADLINE_NS.get() {
        u64::MAX => thread::park(),
        at_ns => thread::park_timeout(Duration::from_nanos(at_ns.saturating_sub(nanotime()))),
    }
    if DEADLINE_NS.get() <= nanotime() {
        DEADLINE_NS.set(u64::MAX);
    }
}

/// Lets the threads that play other CPUs run: the host may have fewer.
pub fn pause() {
    thread::yield_now();
}

/// As many as the host has.
pub fn num_cpu() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get().min(MAX_CPUS))
}

/// Ends that CPU's halt, or its next one.
pub fn send_ipi(cpu: usize, _: Ipi) {
    if let Some(thread) = THREADS[cpu].get() {
        thread.unpark();
    }
}

/// There is nothing to forget: the tests' page tables are data.
pub fn flush_tlb() {}

/// No thread can be stopped.
pub fn freeze_others() -> usize {
    0
}

/// No thread was stopped.
pub fn frozen_frame(_: usize) -> Option<&'static TrapFrame> {
    None
}

/// No thread stands still.
pub struct Held(());

impl Held {
    /// No thread stands still.
    pub fn frame(&self, _: usize) -> Option<&TrapFrame> {
        None
    }
}

/// No thread can be stopped.
pub fn hold<R>(_: u64, _: Place, _: u64, f: impl FnOnce(&Held) -> R) -> R {
    f(&Held(()))
}

/// "Physical" addresses of the tests are the host's own.
pub fn phys_to_virt(pa: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(pa as usize)
}

/// To standard output.
pub fn console_write(bytes: &[u8]) {
    // Like a serial line, it does not tell whether anybody listens.
    let _ = std::io::stdout().write_all(bytes);
}

/// There is none.
pub fn has_second_port() -> bool {
    false
}

/// Nobody takes them.
pub fn second_port_write(_: &[u8]) -> usize {
    0
}

/// Nobody types.
pub fn console_read() -> Option<u8> {
    None
}

/// Nobody types, and so nobody need ask for it.
pub fn enable_console_input() -> bool {
    true
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    std::eprintln!("CPU {} ends the image with status {status}", cpu_index());
    std::process::exit(i32::from(status))
}

/// The interrupt flag of a thread.
pub mod irq {
    use super::INTERRUPTS_ON;

    /// What [`save`] found; give it back to [`restore`].
    #[must_use = "interrupts stay off until the flags are restored"]
    pub struct Flags(bool);

    /// Turns interrupts off and says what they were.
    pub fn save() -> Flags {
        Flags(INTERRUPTS_ON.replace(false))
    }

    /// Puts back what [`save`] found.
    pub fn restore(flags: Flags) {
        INTERRUPTS_ON.set(flags.0);
    }

    /// Turns them on.
    pub fn enable() {
        INTERRUPTS_ON.set(true);
    }

    /// Turns them off.
    pub fn disable() {
        INTERRUPTS_ON.set(false);
    }

    /// Are they on?
    pub fn enabled() -> bool {
        INTERRUPTS_ON.get()
    }
}

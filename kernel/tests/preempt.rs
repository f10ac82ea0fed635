//! Preemption: nobody waits for a goroutine that does not yield, and nothing is lost on the way.
//!
//! The kernel's mode is a boot option, so these tests read it and assert what must hold in it:
//! `async` preempts everything, `coop` what calls functions, `off` nothing.
#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use gosched::runtime;
use gosched::sched::SCHED;
use gosched::sched::preempt::{Mode, mode};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration, Instant};

/// How often each kind of preemption must hit the goroutines that hold patterns in registers.
const PREEMPTIONS: u64 = 10_000;

fn taken() -> (u64, u64) {
    let stats = runtime::stats();
    let coop = stats.ps.iter().map(|p| p.preempt_taken).sum();
    let forced = stats.ps.iter().map(|p| p.preempt_async).sum();
    (coop, forced)
}

#[inline(never)]
fn small(x: u64) -> u64 {
    black_box(x) + 1
}

/// Runs `hog` on one P and says whether another goroutine could stop it.
fn is_stopped(hog: fn(&AtomicBool) -> bool) -> bool {
    static STOP: AtomicBool = AtomicBool::new(false);
    static STOPPED: AtomicBool = AtomicBool::new(false);
    STOP.store(false, Ordering::Relaxed);
    let before = runtime::gomaxprocs(1);
    let group = WaitGroup::new();
    group.go(|| STOP.store(true, Ordering::Relaxed));
    // Spawned last, so it runs first.
    group.go(move || STOPPED.store(hog(&STOP), Ordering::Relaxed));
    group.wait();
    runtime::gomaxprocs(before);
    STOPPED.load(Ordering::Relaxed)
}

/// Go's TestAsyncPreempt: a loop without any call on the only P lets another goroutine run.
#[gosched::test]
fn a_loop_without_calls_is_preempted_asynchronously_only() {
    // The pure spin: not even the clock is read, since a call would be a safe point.
    fn hog(stop: &AtomicBool) -> bool {
        let mut turns = 1_u64 << 28;
        while turns > 0 && !stop.load(Ordering::Relaxed) {
            turns -= 1;
        }
        turns > 0
    }
    assert_eq!(is_stopped(hog), mode() == Mode::Async);
}

/// Go's TestPreemption: a loop that calls functions yields at their entries.
#[gosched::test]
fn a_loop_with_calls_is_preempted_unless_off() {
    fn hog(stop: &AtomicBool) -> bool {
        let mut turns = 1_u64 << 26;
        while turns > 0 && !stop.load(Ordering::Relaxed) {
            turns -= small(0);
        }
        turns > 0
    }
    assert_eq!(is_stopped(hog), mode() != Mode::Off);
}

/// Go's TestTimerFairness and more: with a hog on every P a sleeper wakes all the same.
#[gosched::test]
#[allow(clippy::missing_spin_loop, reason = "hogs are not polite")]
fn sleepers_wake_while_hogs_hold_all_cpus() {
    if mode() != Mode::Async {
        return;
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    STOP.store(false, Ordering::Relaxed);
    let group = WaitGroup::new();
    for _ in 0..2 * runtime::num_cpu() {
        group.go(|| while !STOP.load(Ordering::Relaxed) {});
    }
    for _ in 0..20 {
        time::sleep(Duration::from_millis(1));
    }
    STOP.store(true, Ordering::Relaxed);
    group.wait();
}

/// Nothing preempts, moves or delays a goroutine that turned preemption off, and the request that
/// came meanwhile is taken when it turns it on.
#[gosched::test]
fn preempt_off_holds_and_the_request_is_kept() {
    static OTHER: AtomicUsize = AtomicUsize::new(0);
    OTHER.store(0, Ordering::Relaxed);
    let before = runtime::gomaxprocs(1);
    let group = WaitGroup::new();
    group.go(|| {
        OTHER.fetch_add(1, Ordering::Relaxed);
    });
    let guard = runtime::preempt_off();
    let cpu = runtime::cpu();
    let end = Instant::now() + Duration::from_millis(60);
    while Instant::now() < end {
        assert_eq!(runtime::cpu(), cpu, "moved while preemption is off");
        small(0);
    }
    assert_eq!(
        OTHER.load(Ordering::Relaxed),
        0,
        "preempted while preemption is off"
    );
    let before_taken = taken().0;
    drop(guard);
    runtime::safepoint();
    if mode() != Mode::Off {
        assert!(taken().0 > before_taken, "the request was lost");
    }
    group.wait();
    runtime::gomaxprocs(before);
}

/// What the register tests put into the registers, and what they found afterwards. The assembly
/// knows the offsets from `offset_of!`.
#[repr(C, align(16))]
struct Patterns {
    xmm: [u128; 16],
    xmm_after: [u128; 16],
    gpr: [u64; 13],
    turns: u64,
    mxcsr: u32,
    mxcsr_after: u32,
    mxcsr_before: u32,
    cw: u16,
    cw_after: u16,
    cw_before: u16,
    /// Bit i: general register i differs; bit 40: the carry flag was lost.
    differs: u64,
}

impl Patterns {
    fn new(seed: u64, turns: u64) -> Self {
        let word = |i: usize| {
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(i as u32 * 5)
        };
        Self {
            xmm: core::array::from_fn(|i| u128::from(word(i)) << 64 | u128::from(!word(i))),
            xmm_after: [0; 16],
            gpr: core::array::from_fn(|i| word(i + 20)),
            turns,
            // Rounding mode and flush-to-zero, with all exceptions masked.
            mxcsr: 0x1f80 | ((seed as u32 & 3) << 13) | ((seed as u32 & 4) << 13),
            mxcsr_after: 0,
            mxcsr_before: 0,
            cw: 0x037f ^ ((seed as u16 & 3) << 10),
            cw_after: 0,
            cw_before: 0,
            differs: 0,
        }
    }

    fn check(&self, xmm_too: bool) {
        assert_eq!(
            self.differs, 0,
            "general registers (as bits) or the carry flag were lost"
        );
        assert_eq!(self.mxcsr_after, self.mxcsr, "MXCSR was lost");
        assert_eq!(self.cw_after, self.cw, "the x87 control word was lost");
        assert!(
            !xmm_too || self.xmm_after == self.xmm,
            "xmm registers were lost"
        );
    }
}

/// The common frame of both spins: rdi = patterns throughout, rsp as on entry in the middle.
macro_rules! with_control_words {
    ($patterns:expr, [$($body:literal),* $(,)?], $($operand:tt)*) => {
        // SAFETY: rbx and rbp are put back, all else that changes is declared; memory is touched
        // through rdi alone, which points to a Patterns of this frame.
        unsafe {
            asm!(
                "push rbx",
                "push rbp",
                "stmxcsr [rdi + {mxcsr_before}]",
                "fnstcw [rdi + {cw_before}]",
                "ldmxcsr [rdi + {mxcsr}]",
                "fldcw [rdi + {cw}]",
                $($body,)*
                "stmxcsr [rdi + {mxcsr_after}]",
                "fnstcw [rdi + {cw_after}]",
                "ldmxcsr [rdi + {mxcsr_before}]",
                "fldcw [rdi + {cw_before}]",
                "pop rbp",
                "pop rbx",
                $($operand)*
                inout("rdi") &raw mut $patterns => _,
                out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                mxcsr = const offset_of!(Patterns, mxcsr),
                mxcsr_after = const offset_of!(Patterns, mxcsr_after),
                mxcsr_before = const offset_of!(Patterns, mxcsr_before),
                cw = const offset_of!(Patterns, cw),
                cw_after = const offset_of!(Patterns, cw_after),
                cw_before = const offset_of!(Patterns, cw_before),
                gpr = const offset_of!(Patterns, gpr),
                differs = const offset_of!(Patterns, differs),
            );
        }
    };
}

/// Every register holds a pattern while a loop without calls spins: only an interrupt can preempt.
#[inline(never)]
fn spin_with_all_registers(patterns: &mut Patterns) {
    with_control_words!(*patterns, [
        "movaps xmm0, [rdi]", "movaps xmm1, [rdi + 16]",
        "movaps xmm2, [rdi + 32]", "movaps xmm3, [rdi + 48]",
        "movaps xmm4, [rdi + 64]", "movaps xmm5, [rdi + 80]",
        "movaps xmm6, [rdi + 96]", "movaps xmm7, [rdi + 112]",
        "movaps xmm8, [rdi + 128]", "movaps xmm9, [rdi + 144]",
        "movaps xmm10, [rdi + 160]", "movaps xmm11, [rdi + 176]",
        "movaps xmm12, [rdi + 192]", "movaps xmm13, [rdi + 208]",
        "movaps xmm14, [rdi + 224]", "movaps xmm15, [rdi + 240]",
        "mov rax, [rdi + {gpr}]", "mov rbx, [rdi + {gpr} + 8]",
        "mov rdx, [rdi + {gpr} + 16]", "mov rsi, [rdi + {gpr} + 24]",
        "mov rbp, [rdi + {gpr} + 32]", "mov r8, [rdi + {gpr} + 40]",
        "mov r9, [rdi + {gpr} + 48]", "mov r10, [rdi + {gpr} + 56]",
        "mov r11, [rdi + {gpr} + 64]", "mov r12, [rdi + {gpr} + 72]",
        "mov r13, [rdi + {gpr} + 80]", "mov r14, [rdi + {gpr} + 88]",
        "mov r15, [rdi + {gpr} + 96]",
        "mov rcx, [rdi + {turns}]",
        // CF = 1 throughout: `dec` leaves it alone, and so must a preemption.
        "stc",
        "2:", "dec rcx", "jnz 2b",
        "setnc cl", "movzx ecx, cl", "shl rcx, 40",
        "cmp rax, [rdi + {gpr}]", "je 3f", "bts rcx, 0", "3:",
        "cmp rbx, [rdi + {gpr} + 8]", "je 3f", "bts rcx, 1", "3:",
        "cmp rdx, [rdi + {gpr} + 16]", "je 3f", "bts rcx, 2", "3:",
        "cmp rsi, [rdi + {gpr} + 24]", "je 3f", "bts rcx, 3", "3:",
        "cmp rbp, [rdi + {gpr} + 32]", "je 3f", "bts rcx, 4", "3:",
        "cmp r8, [rdi + {gpr} + 40]", "je 3f", "bts rcx, 5", "3:",
        "cmp r9, [rdi + {gpr} + 48]", "je 3f", "bts rcx, 6", "3:",
        "cmp r10, [rdi + {gpr} + 56]", "je 3f", "bts rcx, 7", "3:",
        "cmp r11, [rdi + {gpr} + 64]", "je 3f", "bts rcx, 8", "3:",
        "cmp r12, [rdi + {gpr} + 72]", "je 3f", "bts rcx, 9", "3:",
        "cmp r13, [rdi + {gpr} + 80]", "je 3f", "bts rcx, 10", "3:",
        "cmp r14, [rdi + {gpr} + 88]", "je 3f", "bts rcx, 11", "3:",
        "cmp r15, [rdi + {gpr} + 96]", "je 3f", "bts rcx, 12", "3:",
        "mov [rdi + {differs}], rcx",
        "movaps [rdi + {after}], xmm0", "movaps [rdi + {after} + 16], xmm1",
        "movaps [rdi + {after} + 32], xmm2", "movaps [rdi + {after} + 48], xmm3",
        "movaps [rdi + {after} + 64], xmm4", "movaps [rdi + {after} + 80], xmm5",
        "movaps [rdi + {after} + 96], xmm6", "movaps [rdi + {after} + 112], xmm7",
        "movaps [rdi + {after} + 128], xmm8", "movaps [rdi + {after} + 144], xmm9",
        "movaps [rdi + {after} + 160], xmm10", "movaps [rdi + {after} + 176], xmm11",
        "movaps [rdi + {after} + 192], xmm12", "movaps [rdi + {after} + 208], xmm13",
        "movaps [rdi + {after} + 224], xmm14", "movaps [rdi + {after} + 240], xmm15",
    ],
        turns = const offset_of!(Patterns, turns),
        after = const offset_of!(Patterns, xmm_after),
    );
}

/// The registers that a call preserves hold patterns while the compiler's safe point is called.
#[inline(never)]
fn safepoint_with_callee_saved(patterns: &mut Patterns) {
    with_control_words!(*patterns, [
        "mov rbx, rdi", // the only way back to the patterns: it is checked by being used
        "mov rbp, [rdi + {gpr} + 32]", "mov r12, [rdi + {gpr} + 72]",
        "mov r13, [rdi + {gpr} + 80]", "mov r14, [rdi + {gpr} + 88]",
        "mov r15, [rdi + {gpr} + 96]",
        "mov rax, rsp", "and rsp, -16", "push rax", "push rax",
        "call {safepoint}",
        "pop rsp",
        "mov rdi, rbx",
        "xor ecx, ecx",
        "cmp rbp, [rdi + {gpr} + 32]", "je 3f", "bts rcx, 4", "3:",
        "cmp r12, [rdi + {gpr} + 72]", "je 3f", "bts rcx, 9", "3:",
        "cmp r13, [rdi + {gpr} + 80]", "je 3f", "bts rcx, 10", "3:",
        "cmp r14, [rdi + {gpr} + 88]", "je 3f", "bts rcx, 11", "3:",
        "cmp r15, [rdi + {gpr} + 96]", "je 3f", "bts rcx, 12", "3:",
        "mov [rdi + {differs}], rcx",
    ],
        safepoint = sym gosched::arch::switch::__sanitizer_cov_trace_pc,
    );
}

/// Runs `work(seed)` on twice as many goroutines as there are CPUs until `enough`.
fn on_all_cpus(work: fn(u64), enough: fn() -> bool) {
    let group = WaitGroup::new();
    for i in 0..2 * runtime::num_cpu() as u64 {
        group.go(move || {
            let mut seed = i;
            while !enough() {
                work(seed);
                seed += 16;
            }
        });
    }
    group.wait();
}

#[gosched::test]
fn all_registers_survive_ten_thousand_asynchronous_preemptions() {
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    if mode() != Mode::Async {
        return;
    }
    // Short slices, or it would take minutes.
    let slice = Slice::of(200_000);
    BEFORE.store(taken().1, Ordering::Relaxed);
    on_all_cpus(
        |seed| {
            let mut patterns = Patterns::new(seed, 200_000);
            spin_with_all_registers(&mut patterns);
            patterns.check(true);
        },
        || taken().1 - BEFORE.load(Ordering::Relaxed) >= PREEMPTIONS,
    );
    drop(slice);
}

#[gosched::test]
fn preserved_registers_survive_ten_thousand_cooperative_preemptions() {
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    if mode() == Mode::Off {
        return;
    }
    BEFORE.store(taken().0, Ordering::Relaxed);
    on_all_cpus(
        |seed| {
            for i in 0..100 {
                let mut patterns = Patterns::new(seed + i, 1);
                gosched::sched::g::getg().request_preempt();
                safepoint_with_callee_saved(&mut patterns);
                patterns.check(false);
            }
        },
        || taken().0 - BEFORE.load(Ordering::Relaxed) >= PREEMPTIONS,
    );
}

/// Another length of the slices, until dropped.
struct Slice {
    ns: u64,
    ticks: u64,
}

impl Slice {
    fn of(ns: u64) -> Self {
        Self {
            ns: SCHED.slice_ns.swap(ns, Ordering::Relaxed),
            ticks: SCHED
                .slice_ticks
                .swap(gosched::arch::ns_to_cputicks(ns), Ordering::Relaxed),
        }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        SCHED.slice_ns.store(self.ns, Ordering::Relaxed);
        SCHED.slice_ticks.store(self.ticks, Ordering::Relaxed);
    }
}

gosched::test_main!();

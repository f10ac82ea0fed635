//! A goroutine's registers are its own: they survive every way of losing the CPU.
//!
//! Two functions in assembly, since no Rust code can hold a pattern in every register: one calls
//! the scheduler with patterns in all registers that a call preserves, the other spins with
//! patterns in all registers there are, the flags (DF among them), x87 and SSE's, without a single
//! call, so that only the interrupt itself can preempt it.
#![no_std]
#![no_main]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::{Slice, applies};
use gosched::runtime;
use gosched::sched::preempt::{self, Mode};
use gosched::sync::WaitGroup;
use gosched::time::{self, Duration};

/// Registers of general use in `Block`, in this order: rax rbx rdx rsi rdi rbp r8 to r15. rcx
/// counts, and rsp is where the rest is found.
const GPRS: usize = 14;

/// What a spin begins with, and what it ends with.
#[repr(C, align(16))]
#[derive(Clone, PartialEq, Debug)]
struct Registers {
    xmm: [[u64; 2]; 16],
    gprs: [u64; GPRS],
    /// On top of the x87 stack, as an integer.
    x87: u64,
    flags: u64,
    mxcsr: u32,
    x87_cw: u16,
}

#[repr(C, align(16))]
struct Block {
    before: Registers,
    after: Registers,
}

/// CF, PF, AF, ZF, SF, DF, OF.
const FLAGS: u64 = 0xcd5;
/// Control bits of MXCSR; the others are sticky status.
const MXCSR_CONTROL: u32 = 0xffc0;

impl Registers {
    /// Values that no other `n` has.
    fn pattern(n: u64) -> Self {
        let word = |i: u64| {
            (n + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(i as u32)
                ^ i
        };
        Self {
            xmm: core::array::from_fn(|i| [word(2 * i as u64), word(2 * i as u64 + 1)]),
            gprs: core::array::from_fn(|i| word(32 + i as u64)),
            // Exact in 64 bits of mantissa.
            x87: word(50) >> 1,
            flags: word(51) & FLAGS,
            // All exceptions masked; rounding, flush to zero and denormals by n.
            mxcsr: 0x1f80
                | (n as u32 & 3) << 13
                | (n as u32 >> 2 & 1) << 15
                | (n as u32 >> 3 & 1) << 6,
            x87_cw: 0x037f | (n as u16 & 3) << 10,
        }
    }
}

/// What a call preserves, onto the stack.
macro_rules! push_preserved {
    () => {
        "push rbp; push rbx; push r12; push r13; push r14; push r15"
    };
}

/// And back.
macro_rules! pop_preserved {
    () => {
        "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp"
    };
}

/// What Rust code expects: x87 empty, both control words as at power-on. Changes rcx.
macro_rules! default_control_words {
    () => {
        "fninit; push 0x1f80; ldmxcsr [rsp]; pop rcx"
    };
}

/// All of `Registers::gprs` but rax, from where rdi points, and rdi, which is last.
macro_rules! load_gprs {
    () => {
        "mov rbx, [rdi + {gprs} + 8]
        mov rdx, [rdi + {gprs} + 16]
        mov rsi, [rdi + {gprs} + 24]
        mov rbp, [rdi + {gprs} + 40]
        .irp n, 8, 9, 10, 11, 12, 13, 14, 15
        mov r\\n, [rdi + {gprs} + 8 * \\n - 16]
        .endr"
    };
}

/// Loads all registers from `block.before`, lets `turns` pass in a loop that leaves all of them and
/// the flags alone, and writes them to `block.after`.
#[unsafe(naked)]
unsafe extern "C" fn spin(block: *mut Block, turns: u64) {
    naked_asm!(
        // rdi = block, rsi = turns
        push_preserved!(),
        "push rdi",
        // [rsp] = block
        "mov rcx, rsi",
        "ldmxcsr [rdi + {mxcsr}]",
        "fninit",
        "fldcw [rdi + {cw}]",
        "fild qword ptr [rdi + {x87}]",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movaps xmm\\n, [rdi + 16 * \\n]",
        ".endr",
        // The other flags, IF above all, stay as they are.
        "pushfq",
        "pop rax",
        "and rax, {other_flags}",
        "or rax, [rdi + {flags}]",
        "push rax",
        "mov rax, [rdi + {gprs}]",
        load_gprs!(),
        "mov rdi, [rdi + {gprs} + 32]",
        "popfq",
        // rcx counts down; neither instruction touches a flag.
        "2:",
        "lea rcx, [rcx - 1]",
        "jrcxz 3f",
        "jmp 2b",
        "3:",
        "pushfq",
        "cld",
        "push rax",
        // rax = block.after; [rsp] = rax, [rsp + 8] = flags
        "mov rax, [rsp + 16]",
        "lea rax, [rax + {after}]",
        "mov [rax + {gprs} + 8], rbx",
        "mov [rax + {gprs} + 16], rdx",
        "mov [rax + {gprs} + 24], rsi",
        "mov [rax + {gprs} + 32], rdi",
        "mov [rax + {gprs} + 40], rbp",
        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
        "mov [rax + {gprs} + 8 * \\n - 16], r\\n",
        ".endr",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movaps [rax + 16 * \\n], xmm\\n",
        ".endr",
        "pop rcx",
        "mov [rax + {gprs}], rcx",
        "pop rcx",
        "mov [rax + {flags}], rcx",
        "fistp qword ptr [rax + {x87}]",
        "fnstcw [rax + {cw}]",
        "stmxcsr [rax + {mxcsr}]",
        default_control_words!(),
        "pop rdi",
        pop_preserved!(),
        "ret",
        after = const offset_of!(Block, after),
        gprs = const offset_of!(Registers, gprs),
        x87 = const offset_of!(Registers, x87),
        flags = const offset_of!(Registers, flags),
        mxcsr = const offset_of!(Registers, mxcsr),
        cw = const offset_of!(Registers, x87_cw),
        other_flags = const !(FLAGS as i32),
    )
}

fn async_preemptions() -> Arc<[u64]> {
    runtime::stats()
        .ps
        .iter()
        .map(|p| p.preempt_async)
        .collect()
}

/// Three goroutines for each CPU spin with patterns of their own until the interrupt has preempted
/// goroutines ten thousand times, and some on every P.
#[gosched::test(timeout_s = 300)]
fn all_registers_survive_ten_thousand_forced_preemptions() {
    const WANTED: u64 = 10_000;
    const ROUNDS: usize = 2_000_000;
    if !applies(preempt::mode() == Mode::Async, "preempt=async") {
        return;
    }
    let _slice = Slice::of_us(100);
    let before = async_preemptions();
    let wg = WaitGroup::new();
    for n in 0..3 * runtime::gomaxprocs(0) as u64 {
        let before = before.clone();
        wg.go(move || {
            for round in 0..ROUNDS as u64 {
                spin_once(n << 32 | round << 4 | n & 15);
                if round % 4 == 0 && enough(&before, &async_preemptions(), WANTED) {
                    break;
                }
            }
        });
    }
    wg.wait();
    let after = async_preemptions();
    assert!(
        enough(&before, &after, WANTED),
        "preemptions: {before:?}, then {after:?}"
    );
}

fn spin_once(n: u64) {
    // A millisecond or more: longer than slice and grace, or the safe point of this function is
    // first.
    const TURNS: u64 = 1_000_000;
    let before = Registers::pattern(n);
    let mut block = Block {
        after: before.clone(),
        before,
    };
    // SAFETY: the function keeps to the ABI, and to the block.
    unsafe { spin(&raw mut block, TURNS) };
    block.after.flags &= FLAGS;
    block.after.mxcsr &= MXCSR_CONTROL;
    assert!(
        block.after == block.before,
        "pattern {n:#x}: {:#x?} became {:#x?}",
        block.before,
        block.after
    );
}

/// Whether there are `wanted` more preemptions than before, and some more on each P.
fn enough(before: &[u64], after: &[u64], wanted: u64) -> bool {
    let mut more = before
        .iter()
        .zip(after)
        .map(|(before, after)| after - before);
    more.clone().sum::<u64>() >= wanted && more.all(|n| n > 0)
}

/// Calls `f` so many times with patterns in all registers that a call preserves, the control bits
/// of MXCSR and the x87 control word among them. Returns how often each survived.
#[unsafe(naked)]
unsafe extern "C" fn call_with_patterns(
    pattern: u64,
    f: extern "C" fn(),
    times: u64,
    mxcsr: u32,
    x87_cw: u16,
) -> u64 {
    naked_asm!(
        // rdi = pattern, rsi = f, rdx = times, ecx = mxcsr, r8w = control word
        push_preserved!(),
        "sub rsp, 56",
        // [rsp] pattern, +8 f, +16 times left, +24 mxcsr, +28 control word, +32 survived, +40 both
        // control words as found
        "mov [rsp], rdi",
        "mov [rsp + 8], rsi",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], ecx",
        "mov [rsp + 28], r8w",
        "mov qword ptr [rsp + 32], 0",
        "ldmxcsr [rsp + 24]",
        "fldcw [rsp + 28]",
        "2:",
        "mov rbx, [rsp]",
        "lea rbp, [rbx + 1]",
        "lea r12, [rbx + 2]",
        "lea r13, [rbx + 3]",
        "lea r14, [rbx + 4]",
        "lea r15, [rbx + 5]",
        "call [rsp + 8]",
        "mov rax, [rsp]",
        ".irp reg, rbx, rbp, r12, r13, r14, r15",
        "cmp \\reg, rax",
        "jne 3f",
        "inc rax",
        ".endr",
        "stmxcsr [rsp + 40]",
        "mov eax, [rsp + 40]",
        "xor eax, [rsp + 24]",
        "and eax, {mxcsr_control}",
        "jne 3f",
        "fnstcw [rsp + 44]",
        "mov ax, [rsp + 44]",
        "cmp ax, [rsp + 28]",
        "jne 3f",
        "inc qword ptr [rsp + 32]",
        "3:",
        "dec qword ptr [rsp + 16]",
        "jne 2b",
        default_control_words!(),
        "mov rax, [rsp + 32]",
        "add rsp, 56",
        pop_preserved!(),
        "ret",
        mxcsr_control = const MXCSR_CONTROL,
    )
}

/// On every CPU, ways of giving it up: ten thousand times in all for each way.
fn survive(f: extern "C" fn(), times: u64) {
    let goroutines = 3 * runtime::gomaxprocs(0) as u64;
    let each = times.div_ceil(goroutines);
    let wg = WaitGroup::new();
    for n in 0..goroutines {
        wg.go(move || {
            let registers = Registers::pattern(n);
            // SAFETY: the function keeps to the ABI.
            let survived = unsafe {
                call_with_patterns(
                    registers.gprs[0],
                    f,
                    each,
                    registers.mxcsr,
                    registers.x87_cw,
                )
            };
            assert_eq!(survived, each, "goroutine {n}");
        });
    }
    wg.wait();
}

#[gosched::test]
fn preserved_registers_survive_ten_thousand_yields() {
    extern "C" fn yields() {
        runtime::gosched();
    }
    survive(yields, 10_000);
}

#[gosched::test]
fn preserved_registers_survive_sleeps() {
    extern "C" fn sleeps() {
        time::sleep(Duration::from_micros(10));
    }
    survive(sleeps, 2_000);
}

/// The safe point itself, which code does not see: it may change what a call may, no more.
#[gosched::test]
fn preserved_registers_survive_preemption_at_safe_points() {
    const WANTED: usize = 200;
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    if !applies(preempt::mode() != Mode::Off, "preemption") {
        return;
    }
    extern "C" fn asks_and_polls() {
        // What the tick does, on whatever goroutine runs here.
        gosched::sched::g::getg().request_preempt();
        runtime::safepoint();
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }
    survive(asks_and_polls, 10_000);
    assert!(TAKEN.load(Ordering::Relaxed) >= WANTED);
}

/// What one goroutine does to the control words is no other's business, also not that of one that
/// gets its stack afterwards.
#[gosched::test]
fn control_words_of_a_new_goroutine_are_the_default() {
    let changed = Arc::new(AtomicUsize::new(0));
    for _ in 0..1000 {
        let wg = WaitGroup::new();
        let changed = changed.clone();
        wg.go(move || {
            if control_words() != (0x1f80, 0x037f) {
                changed.fetch_add(1, Ordering::Relaxed);
            }
            let (mxcsr, cw): (u32, u16) = (0xffc0, 0x0f7f);
            // SAFETY: all exceptions stay masked, and no arithmetic follows in this goroutine.
            unsafe {
                asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const mxcsr, in(reg) &raw const cw);
            }
        });
        wg.wait();
    }
    assert_eq!(changed.load(Ordering::Relaxed), 0);
}

fn control_words() -> (u32, u16) {
    let (mut mxcsr, mut cw) = (0u32, 0u16);
    // SAFETY: only reads registers into the two variables.
    unsafe {
        asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut cw);
    }
    // The status bits are the last arithmetic's.
    (mxcsr & MXCSR_CONTROL, cw)
}

gosched::test_main!();

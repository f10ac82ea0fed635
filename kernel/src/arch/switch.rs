//! The switch: from a goroutine to its M's scheduler and back. The two ways into it that the
//! running code does not ask for, the compiler's safe point and the interrupt's trampoline, are in
//! `preempt`.
//!
//! Everything here is plain System V code that finds its M through GS, so the same file serves the
//! machine and a host thread whose GS base was set.
//!
//! # Who holds what
//!
//! - GS base → the [`MHead`] of this CPU, always, also inside interrupts.
//! - `gs:[g]` → the G whose stack `rsp` is on: a goroutine, the M's `g0`, or `gsignal` inside an
//!   interrupt. It disagrees with `rsp` only inside the section `.text.switch`, and the timer
//!   interrupt never preempts a goroutine whose `rip` is in there (`in_switch`).
//! - `curg` → the goroutine that the M runs, also while the M is on `g0` on its behalf.
//!
//! # A goroutine that is not running
//!
//! ```text
//!            stack.hi ┌──────────────────────────┐
//!                     │ frames of the goroutine  │
//!                     │ return address           │  into the caller of mcall
//!  sched.bp ────────▶ │ saved rbp                │
//!                     │ rbx r12 r13 r14 r15      │
//!  sched.sp ────────▶ │ x87 CW : MXCSR           │  4 + 4 bytes
//!                     └──────────────────────────┘   sched.pc = `mcall_resume`
//! ```
//!
//! A voluntary switch is a function call, so the caller has already given up the caller-saved
//! registers, all of xmm among them; what is left is the six callee-saved ones and the two control
//! words, which the ABI counts as callee-saved too.
//!
//! # A goroutine that never ran
//!
//! `sched.sp` points at one word, the address of [`goexit`] behind its first instruction;
//! `sched.pc` = [`gostart`], `sched.ret` = the entry function, `sched.ctxt` = its argument.
//!
//! # A goroutine that an interrupt preempted
//!
//! The handler made it look as if the interrupted instruction had called `async_preempt`, which
//! keeps all registers on the goroutine's own stack and then parks in `mcall` like anybody else.
//! Switching inside the handler instead would leave the frame of the next interrupt on the same
//! interrupt stack: the mistake that Go's `preempt.go` warns of.

mod preempt;
mod spill;

use core::arch::{asm, naked_asm};
use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

pub use self::preempt::{__sanitizer_cov_trace_pc, ASYNC_PREEMPT_ROOM, inject_async_preempt};
pub use self::spill::with_registers_on_stack;

/// The bounds of a stack: `[lo, hi)`, growing down from `hi`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stack {
    /// The lowest usable address.
    pub lo: usize,
    /// One past the highest usable address.
    pub hi: usize,
}

/// Where a G continues (Go: `gobuf`). Written by whoever stops the G, read by [`gogo`]: always the
/// M that owns the G at that moment.
#[repr(C)]
pub struct Gobuf {
    /// Stack pointer.
    pub sp: Cell<usize>,
    /// Program counter.
    pub pc: Cell<usize>,
    /// The G this belongs to.
    pub g: Cell<*mut GHead>,
    /// Argument of a first run.
    pub ctxt: Cell<usize>,
    /// Entry function of a first run.
    pub ret: Cell<usize>,
    /// Frame pointer, for tracebacks.
    pub bp: Cell<usize>,
}

impl Gobuf {
    /// A Gobuf that leads nowhere.
    pub const fn new() -> Self {
        Self {
            sp: Cell::new(0),
            pc: Cell::new(0),
            g: Cell::new(core::ptr::null_mut()),
            ctxt: Cell::new(0),
            ret: Cell::new(0),
            bp: Cell::new(0),
        }
    }
}

/// The part of a G that assembly knows; `sched::G` begins with it.
#[repr(C)]
pub struct GHead {
    /// The whole stack. Constant for the life of a goroutine.
    pub stack: Cell<Stack>,
    /// Compared with rsp at each safe point: `stack.lo + STACK_GUARD`, or [`STACK_PREEMPT`] to ask
    /// for preemption. Written by anyone; a lost poison is mended by the next request.
    pub stackguard0: AtomicUsize,
    /// The durable half of a preemption request: stays set while `stackguard0` may be overwritten.
    pub preempt: AtomicBool,
    /// Where to continue, while not running.
    pub sched: Gobuf,
}

/// The part of an M that assembly knows; `sched::M` begins with it.
#[repr(C)]
pub struct MHead {
    /// This very address, so that `gs:[this]` gives the M in one instruction.
    pub this: Cell<*mut MHead>,
    /// The G whose stack rsp is on.
    pub g: Cell<*mut GHead>,
    /// The scheduler's own stack on this CPU.
    pub g0: Cell<*mut GHead>,
    /// Stands for all interrupt stacks of this CPU. Its stackguard0 is 0, so no safe point inside
    /// an interrupt takes the slow path.
    pub gsignal: Cell<*mut GHead>,
    /// The goroutine that this M runs, or null.
    pub curg: AtomicPtr<GHead>,
    /// Preemption is off while this is not 0 (Go: `m.locks`). Changed by single instructions, so
    /// that no preemption, and so no change of CPU, falls between finding the M and counting.
    pub locks: AtomicU32,
    /// Which CPU this is: 0 is the boot CPU, the others in the order in which they started.
    pub cpu: Cell<u32>,
    /// Bit r is set while a lock of rank r is held (`base::lock`).
    pub held_ranks: AtomicU32,
    /// The M has begun to die: no lock is waited for any more, memory comes from the reserve.
    pub dying: AtomicU32,
}

impl MHead {
    /// The head of an M that was not set up yet.
    pub const fn new() -> Self {
        Self {
            this: Cell::new(core::ptr::null_mut()),
            g: Cell::new(core::ptr::null_mut()),
            g0: Cell::new(core::ptr::null_mut()),
            gsignal: Cell::new(core::ptr::null_mut()),
            curg: AtomicPtr::new(core::ptr::null_mut()),
            locks: AtomicU32::new(0),
            cpu: Cell::new(0),
            held_ranks: AtomicU32::new(0),
            dying: AtomicU32::new(0),
        }
    }
}

/// What stackguard0 holds to ask for preemption: above every stack (Go: `stackPreempt`, -1314).
pub const STACK_PREEMPT: usize = 0usize.wrapping_sub(1314);

/// Room below which a safe point reports stack overflow. It must hold what runs between two safe
/// points without one of its own: functions of the prebuilt `core`, and the way to the report.
/// What needs more runs into the unmapped guard page, which reports the same (`mem::stack`).
pub const STACK_GUARD: usize = 1024;

/// Power-on values of the two floating-point control words: all exceptions masked, round to
/// nearest, and 64-bit precision for x87 (System V ABI 3.2.3).
static DEFAULT_MXCSR: u32 = 0x1f80;
static DEFAULT_X87_CW: u16 = 0x037f;

/// The G whose stack this code runs on.
#[inline(always)]
pub fn getg() -> *mut GHead {
    let g;
    // SAFETY: GS base points at this CPU's MHead from the first instruction of the kernel on.
    unsafe {
        asm!("mov {}, gs:[{off}]", out(reg) g, off = const offset_of!(MHead, g),
            options(nostack, preserves_flags, readonly));
    }
    g
}

/// This CPU's M. Only a hint unless preemption is off: the caller may be moved right after.
#[inline(always)]
pub fn getm() -> *mut MHead {
    let m;
    // SAFETY: as in `getg`.
    unsafe {
        asm!("mov {}, gs:[{off}]", out(reg) m, off = const offset_of!(MHead, this),
            options(nostack, preserves_flags, readonly));
    }
    m
}

/// Which CPU this is. Only a hint unless preemption is off.
#[inline(always)]
pub fn cpu_index() -> usize {
    let cpu: u32;
    // SAFETY: as in `getg`.
    unsafe {
        asm!("mov {:e}, gs:[{off}]", out(reg) cpu, off = const offset_of!(MHead, cpu),
            options(nostack, preserves_flags, readonly));
    }
    cpu as usize
}

/// Pins the caller to this M until the matching [`preempt_on`] (Go: `acquirem`). Nests. One
/// instruction.
#[inline(always)]
pub fn preempt_off() {
    // SAFETY: as in `getg`; one instruction, so the count is that of the CPU it runs on.
    unsafe {
        asm!("inc dword ptr gs:[{off}]", off = const offset_of!(MHead, locks), options(nostack));
    }
}

/// Ends one [`preempt_off`] (Go: `releasem`). A request that came meanwhile is poisoned again, so
/// that the next safe point takes it.
#[inline(always)]
pub fn preempt_on() {
    // SAFETY: as in `preempt_off`.
    unsafe {
        asm!("dec dword ptr gs:[{off}]", "jz {last}",
            off = const offset_of!(MHead, locks),
            last = label {
                // SAFETY: the running G is alive, and Gs are never freed.
                let g = unsafe { &*getg() };
                if g.preempt.load(Ordering::Relaxed) {
                    g.stackguard0.store(STACK_PREEMPT, Ordering::Relaxed);
                }
            },
            options(nostack));
    }
}

/// How deeply preemption is off on this M. Only meaningful to the code that turned it off, or on
/// g0.
#[inline(always)]
pub fn preempt_depth() -> u32 {
    let locks: u32;
    // SAFETY: as in `getg`.
    unsafe {
        asm!("mov {:e}, gs:[{off}]", out(reg) locks, off = const offset_of!(MHead, locks),
            options(nostack, preserves_flags, readonly));
    }
    locks
}

/// Continues a G where its Gobuf says. Never returns; the stack that it is called on is abandoned
/// (it is g0's, which starts anew at the next [`mcall`]).
///
/// # Safety
/// The caller is on g0 and owns the G that `buf` belongs to; its status is running.
#[unsafe(naked)]
#[unsafe(link_section = ".text.switch")]
pub unsafe extern "C" fn gogo(buf: &Gobuf) -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip", // nobody returns here
        // rdi = buf
        "mov rax, [rdi + {g}]",
        "mov gs:[{m_g}], rax",
        "mov rsp, [rdi + {sp}]",
        "mov rbp, [rdi + {bp}]",
        "mov rdx, [rdi + {ctxt}]",
        "mov rax, [rdi + {ret}]",
        "mov rcx, [rdi + {pc}]",
        // A G that is continued twice jumps to 0 and is reported, instead of running on the stack
        // of its other self.
        "mov qword ptr [rdi + {pc}], 0",
        // `jmp`, not `call`: the target returns to whoever called mcall long ago.
        "jmp rcx",
        ".cfi_endproc",
        g = const offset_of!(Gobuf, g),
        sp = const offset_of!(Gobuf, sp),
        bp = const offset_of!(Gobuf, bp),
        ctxt = const offset_of!(Gobuf, ctxt),
        ret = const offset_of!(Gobuf, ret),
        pc = const offset_of!(Gobuf, pc),
        m_g = const offset_of!(MHead, g),
    )
}

/// First instructions of a new goroutine: [`gogo`] jumps here with rax = entry function,
/// rdx = its argument, and the address of [`goexit`] on top of the stack.
///
/// # Safety
/// Reached from `gogo` alone.
#[unsafe(naked)]
#[unsafe(link_section = ".text.switch")]
pub unsafe extern "C" fn gostart() -> ! {
    naked_asm!(
        ".cfi_startproc", // as after a call: goexit is the caller
        // The goroutine that ran here before may have changed the control words, and g0 does not
        // care; a new goroutine starts with the defaults.
        "ldmxcsr [rip + {mxcsr}]",
        "fldcw [rip + {cw}]",
        "xor ebp, ebp", // end of the chain of frame pointers
        "mov rdi, rdx",
        "jmp rax",
        ".cfi_endproc",
        mxcsr = sym DEFAULT_MXCSR,
        cw = sym DEFAULT_X87_CW,
    )
}

/// Where a goroutine's entry function returns to. Its address plus one (behind the `nop`) is
/// planted under the first frame, so that a traceback, which looks up return addresses minus one,
/// finds this name and stops.
///
/// # Safety
/// Reached by the return of an entry function alone.
#[unsafe(naked)]
pub unsafe extern "C" fn goexit() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip", // the outermost frame
        "nop",
        // rsp = the bottom of the stack, 16-aligned as at any call.
        "call {exit}",
        "ud2",
        ".cfi_endproc",
        exit = sym goexit1_hook,
    )
}

/// Saves the running goroutine, switches to g0 and calls `f` with the goroutine there. `mcall`
/// returns when somebody continues the goroutine; `f` never returns.
///
/// # Safety
/// The caller is on a goroutine's stack, and `f` sees to it that the G is found again or done with.
#[unsafe(naked)]
#[unsafe(link_section = ".text.switch")]
pub unsafe extern "C" fn mcall(f: unsafe extern "C" fn(*mut GHead) -> !) {
    naked_asm!(
        ".cfi_startproc",
        // rdi = f, [rsp] = return address
        "push rbp",
        ".cfi_def_cfa_offset 16; .cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        ".cfi_offset rbx, -24; .cfi_offset r12, -32; .cfi_offset r13, -40",
        ".cfi_offset r14, -48; .cfi_offset r15, -56",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        // rax = the goroutine
        "mov rax, gs:[{m_g}]",
        "lea rcx, [rip + 2f]",
        "mov [rax + {sp}], rsp",
        "mov [rax + {pc}], rcx",
        "mov [rax + {bp}], rbp",
        // rcx = g0; its sched.sp is the top of its stack, constant: nothing on g0 outlives `f`.
        "mov rcx, gs:[{m_g0}]",
        "mov gs:[{m_g}], rcx",
        "mov rsp, [rcx + {sp}]",
        ".cfi_remember_state",
        ".cfi_undefined rip", // the outermost frame of g0
        "xor ebp, ebp",
        "mov rdx, rdi",
        "mov rdi, rax",
        "call rdx",
        "ud2",
        // mcall_resume: rsp and rbp as they were saved, everything else undefined.
        ".cfi_restore_state",
        "2:",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
        m_g = const offset_of!(MHead, g),
        m_g0 = const offset_of!(MHead, g0),
        sp = const offset_of!(GHead, sched) + offset_of!(Gobuf, sp),
        pc = const offset_of!(GHead, sched) + offset_of!(Gobuf, pc),
        bp = const offset_of!(GHead, sched) + offset_of!(Gobuf, bp),
    )
}

/// Calls `f(arg)` on g0 and returns; on g0 or an interrupt stack already, just calls it.
///
/// # Safety
/// `f` may be called with `arg`, and neither parks nor panics into the caller.
#[unsafe(naked)]
#[unsafe(link_section = ".text.switch")]
unsafe extern "C" fn systemstack_call(f: unsafe extern "C" fn(*mut u8), arg: *mut u8) {
    naked_asm!(
        ".cfi_startproc",
        // For a debugger, which takes a stack that goes down instead of up for a broken one
        // anywhere but at a signal's frame.
        ".cfi_signal_frame",
        // rdi = f, rsi = arg
        "push rbp",
        ".cfi_def_cfa_offset 16; .cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        ".cfi_offset rbx, -24; .cfi_offset r12, -32",
        "push rbx",
        "push r12",
        "mov rax, rdi",
        "mov rdi, rsi",
        // rbx = the G we are on, rcx = g0
        "mov rbx, gs:[{m_g}]",
        "mov rcx, gs:[{m_g0}]",
        "cmp rbx, rcx",
        "je 2f",
        "cmp rbx, gs:[{m_gsignal}]",
        "je 2f",
        // For a traceback of the goroutine while its M is on g0.
        "lea rdx, [rip + 3f]",
        "mov [rbx + {sp}], rsp",
        "mov [rbx + {pc}], rdx",
        "mov [rbx + {bp}], rbp",
        "mov r12, rsp",
        "mov gs:[{m_g}], rcx",
        "mov rsp, [rcx + {sp}]",
        "call rax",
        "3:",
        // rbx = the goroutine, r12 = its stack pointer
        "mov gs:[{m_g}], rbx",
        "mov rsp, r12",
        "pop r12",
        "pop rbx",
        "pop rbp",
        ".cfi_remember_state",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_restore_state",
        "2:", // already on a system stack; rsp is 16-aligned here as above
        "call rax",
        "pop r12",
        "pop rbx",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
        m_g = const offset_of!(MHead, g),
        m_g0 = const offset_of!(MHead, g0),
        m_gsignal = const offset_of!(MHead, gsignal),
        sp = const offset_of!(GHead, sched) + offset_of!(Gobuf, sp),
        pc = const offset_of!(GHead, sched) + offset_of!(Gobuf, pc),
        bp = const offset_of!(GHead, sched) + offset_of!(Gobuf, bp),
    )
}

/// Runs `f` on this M's g0 stack and returns its value (Go: `systemstack`). No preemption happens
/// inside.
pub fn systemstack<R>(f: impl FnOnce() -> R) -> R {
    struct Call<F, R> {
        f: Option<F>,
        result: Option<R>,
    }
    unsafe extern "C" fn run<F: FnOnce() -> R, R>(arg: *mut u8) {
        // SAFETY: `arg` is the Call below, which outlives this call and is used by it alone.
        let call = unsafe { &mut *arg.cast::<Call<F, R>>() };
        if let Some(f) = call.f.take() {
            call.result = Some(f());
        }
    }
    fn runner<F: FnOnce() -> R, R>(_: &Call<F, R>) -> unsafe extern "C" fn(*mut u8) {
        run::<F, R>
    }
    let mut call = Call {
        f: Some(f),
        result: None,
    };
    let run = runner(&call);
    // SAFETY: `run` takes exactly this Call.
    unsafe { systemstack_call(run, (&raw mut call).cast()) };
    call.result.expect("systemstack ran its function")
}

/// Whether `rip` is in code where `gs:[g]` and rsp may disagree.
pub fn in_switch(rip: usize) -> bool {
    unsafe extern "C" {
        static __switch_text_start: u8;
        static __switch_text_end: u8;
    }
    let start = &raw const __switch_text_start as usize;
    let end = &raw const __switch_text_end as usize;
    (start..end).contains(&rip)
}

unsafe extern "Rust" {
    // What the scheduler gives to this file; linked by name, because assembly jumps there directly
    // and a table of pointers would cost every switch a load.
    safe fn gosched_goexit1() -> !;
}

extern "C" fn goexit1_hook() -> ! {
    gosched_goexit1()
}

//! Interrupt entry: the stubs, the frame they build, and where each vector goes.
//!
//! Every vector has a slot of 16 bytes in one table; all slots run into one common body that saves
//! the interrupted code's registers, points `gs:[g]` at the interrupt stacks' own G, calls
//! [`dispatch`] and takes it all back. One body for all vectors, because an interrupt costs far
//! more than the few registers that a special one would spare.
//!
//! Invariants: handlers run with IF=0 on an IST stack; EOI is sent before the handler of an APIC
//! interrupt is called; the x87 state and MXCSR are never touched here, so neither is saved.
//! Rejected: FXSAVE in the stub (half a microsecond each way under emulation); switching
//! goroutines inside a handler (its IST stack would be overwritten by the next interrupt):
//! handlers that want a switch rewrite the frame.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use super::MAX_CPUS;
use super::apic::{self, vector};
use super::faults;
use super::hold;
use super::idt;
use super::power;
use super::serial;
use super::timer;
use crate::arch::exceptions;
use crate::arch::switch::{MHead, cpu_index, getm};
use crate::arch::trap_frame::TrapFrame;

const XMM_BYTES: usize = size_of::<[u128; 16]>();
const _: () = {
    assert!(
        offset_of!(TrapFrame, saved_g) == XMM_BYTES,
        "the stub pushes saved_g above xmm"
    );
    assert!(
        size_of::<TrapFrame>().is_multiple_of(16),
        "the call of dispatch must be aligned"
    );
    assert!(
        offset_of!(TrapFrame, ss) + 8 == size_of::<TrapFrame>(),
        "no padding at the top"
    );
};

/// What the interrupts call: the one way up from the hardware. All run with IF=0 on an interrupt
/// stack and must not park.
pub struct Handlers {
    /// This CPU's deadline (`set_deadline`) has passed.
    pub tick: fn(&mut TrapFrame),
    /// `Ipi::Preempt` arrived.
    pub preempt: fn(&mut TrapFrame),
    /// `Ipi::Wake` arrived.
    pub wake: fn(),
    /// `Ipi::FlushTlb` arrived.
    pub flush_tlb: fn(),
    /// The console has input: must call `console_read` until it gives `None`, since the line
    /// interrupts once per burst.
    pub input: fn(),
    /// A break came over the console's line. In any context, not only in an interrupt: whoever
    /// writes may be the one to see it.
    pub line_break: fn(),
    /// A page fault at `addr`; true = mended, go on. A fault inside this handler goes to
    /// `exception`.
    pub page_fault: fn(addr: usize, &mut TrapFrame) -> bool,
    /// Any exception that nobody mended; `addr` is CR2. The same vector again inside it starts
    /// over on the same stack, so it must notice when it is called a second time.
    pub exception: fn(&TrapFrame, addr: usize) -> !,
}

static HANDLERS: AtomicPtr<Handlers> = AtomicPtr::new(&raw const DEFAULT_HANDLERS as *mut Handlers);

static DEFAULT_HANDLERS: Handlers = Handlers {
    tick: |_| (),
    preempt: |_| (),
    wake: || (),
    flush_tlb: || (),
    input: || (),
    line_break: || (),
    page_fault: |_, _| false,
    exception: report_and_exit,
};

/// Sets what interrupts call from now on, on all CPUs.
pub fn set_handlers(handlers: &'static Handlers) {
    // Release: pairs with the acquire in `handlers`, so that what the table's users set up
    // before is seen by the interrupt.
    HANDLERS.store(core::ptr::from_ref(handlers).cast_mut(), Ordering::Release);
}

fn handlers() -> &'static Handlers {
    // SAFETY: only ever holds the default or what `set_handlers` was given, both 'static and
    // never written through.
    unsafe { &*HANDLERS.load(Ordering::Acquire) }
}

/// A break came over the console's line.
pub(super) fn line_break() {
    (handlers().line_break)();
}

/// Set while a CPU is in its page-fault handler.
static IN_PAGE_FAULT: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];

/// Interrupts that no vector of ours explains, for `describe`.
static UNEXPECTED: AtomicUsize = AtomicUsize::new(0);

/// How many interrupts came on vectors that nobody uses.
pub(super) fn unexpected_interrupts() -> usize {
    UNEXPECTED.load(Ordering::Relaxed)
}

/// Called by the common body with rdi = the frame.
extern "C" fn dispatch(frame: &mut TrapFrame) {
    let table = handlers();
    if frame.vector == idt::NMI {
        if !hold::on_nmi(frame) {
            (table.exception)(frame, frame.cr2 as usize)
        }
        return;
    }
    hold::on_trap_edge(frame);
    match frame.vector {
        exceptions::PAGE_FAULT => page_fault(table, frame),
        0..exceptions::COUNT => (table.exception)(frame, frame.cr2 as usize),
        // The interrupt-acknowledge cycle found nothing: no EOI (Intel SDM vol. 3, 11.9).
        vector::SPURIOUS => {}
        number => interrupt(table, number, frame),
    }
    hold::on_trap_edge(frame);
}

/// Whether what was interrupted is itself a trap, its way in and out included.
pub(super) fn is_inside(frame: &TrapFrame) -> bool {
    unsafe extern "C" {
        static arch_traps_end: u8;
    }
    let code = entry_address(0)..&raw const arch_traps_end as usize;
    // SAFETY: GS base is this CPU's MHead, whose fields only this CPU writes.
    frame.saved_g == unsafe { (*getm()).gsignal.get() } || code.contains(&(frame.rip as usize))
}

fn page_fault(table: &Handlers, frame: &mut TrapFrame) {
    let busy = &IN_PAGE_FAULT[cpu_index()];
    // Only this CPU's own interrupts see the flag, so no ordering is needed. A fault inside the
    // handler has overwritten the first frame: there is no way back, only a report.
    if !busy.load(Ordering::Relaxed) {
        busy.store(true, Ordering::Relaxed);
        let mended = (table.page_fault)(frame.cr2 as usize, frame);
        busy.store(false, Ordering::Relaxed);
        if mended {
            return;
        }
    }
    (table.exception)(frame, frame.cr2 as usize)
}

fn interrupt(table: &Handlers, number: u64, frame: &mut TrapFrame) {
    // The masked 8259s may still raise their own spurious vectors; no APIC waits for those.
    if !vector::LEGACY_PIC.contains(&number) {
        apic::end_of_interrupt();
    }
    match number {
        vector::TIMER => {
            if timer::expired() {
                faults::on_tick();
                (table.tick)(frame);
            }
        }
        vector::WAKE => (table.wake)(),
        vector::PREEMPT => (table.preempt)(frame),
        vector::FLUSH_TLB => (table.flush_tlb)(),
        vector::SERIAL => (table.input)(),
        vector::ERROR => apic::clear_errors(),
        _ => {
            UNEXPECTED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The report before the kernel has set its own handlers.
fn report_and_exit(frame: &TrapFrame, _addr: usize) -> ! {
    serial::print(format_args!(
        "fatal: {} on CPU {} at rip {:#x}, rsp {:#x}, rflags {:#x}\n",
        exceptions::Summary(frame),
        cpu_index(),
        frame.rip,
        frame.rsp,
        frame.rflags,
    ));
    power::exit(2)
}

/// Bytes from one slot of the table to the next.
const SLOT_BYTES: usize = 16;

unsafe extern "C" {
    /// The table of slots; only its address is used.
    static arch_trap_table: [u8; 256 * SLOT_BYTES];
}

/// Where vector `vector` enters.
pub(super) fn entry_address(vector: usize) -> usize {
    &raw const arch_trap_table as usize + vector * SLOT_BYTES
}

/// For a debugger: the interrupted code's register number `$dwarf` lies at rsp + `$at`
/// (DW_CFA_expression of DW_OP_breg7 with an offset of two bytes).
macro_rules! cfi_saved {
    ($dwarf:literal, $at:literal) => {
        concat!(
            ".cfi_escape 0x10, ",
            $dwarf,
            ", 3, 0x77, ({",
            $at,
            "} & 0x7f) | 0x80, {",
            $at,
            "} >> 7"
        )
    };
}

// At entry of each slot: rsp = IST top minus the CPU's push, all other registers are those of
// the interrupted code, IF=0.
//
// traps_common: [rsp] = vector, [rsp+8] = error code, then the CPU's frame.
// The frame pointer chain stays whole: rbp is still the interrupted one at the call.
global_asm!(
    ".pushsection .text.traps, \"ax\", @progbits",
    ".balign 16",
    ".global arch_trap_table",
    ".type arch_trap_table, @function",
    "arch_trap_table:",
    ".set traps_vector, 0",
    ".rept 256",
    ".balign {slot}",
    // The vectors with an error code of the CPU's own (exceptions::has_error_code).
    ".if (traps_vector == 8) || (traps_vector >= 10 && traps_vector <= 14) \
        || (traps_vector == 17) || (traps_vector == 21) \
        || (traps_vector == 29) || (traps_vector == 30)",
    ".else",
    "push 0",
    ".endif",
    // push imm32, spelled out: the short form would sign-extend vectors from 128 on.
    ".byte 0x68",
    ".long traps_vector",
    "jmp traps_common",
    ".set traps_vector, traps_vector + 1",
    ".endr",
    ".balign {slot}",
    ".size arch_trap_table, . - arch_trap_table",
    ".type traps_common, @function",
    "traps_common:",
    // A debugger finds the interrupted code from within `dispatch`; anywhere else in here the stack
    // ends for it.
    ".cfi_startproc",
    ".cfi_signal_frame",
    ".cfi_undefined rip",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    // The System V ABI wants DF clear at every call.
    "cld",
    "mov rax, cr2",
    "push rax",
    "push qword ptr gs:[{g}]",
    "sub rsp, {xmm_bytes}",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movaps [rsp + 16 * \\n], xmm\\n",
    ".endr",
    // From here on safe points look at the interrupt stacks' G, whose guard never triggers.
    "mov rax, gs:[{gsignal}]",
    "mov gs:[{g}], rax",
    "mov rdi, rsp",
    ".cfi_remember_state",
    // DW_CFA_def_cfa_expression: what rsp + {rsp} holds (DW_OP_breg7, DW_OP_deref).
    ".cfi_escape 0x0f, 4, 0x77, ({rsp} & 0x7f) | 0x80, {rsp} >> 7, 0x06",
    cfi_saved!("0", "rax"),
    cfi_saved!("1", "rdx"),
    cfi_saved!("2", "rcx"),
    cfi_saved!("3", "rbx"),
    cfi_saved!("4", "rsi"),
    cfi_saved!("5", "rdi"),
    cfi_saved!("6", "rbp"),
    cfi_saved!("8", "r8"),
    cfi_saved!("9", "r9"),
    cfi_saved!("10", "r10"),
    cfi_saved!("11", "r11"),
    cfi_saved!("12", "r12"),
    cfi_saved!("13", "r13"),
    cfi_saved!("14", "r14"),
    cfi_saved!("15", "r15"),
    cfi_saved!("16", "rip"),
    "call {dispatch}",
    // rsp = the frame, maybe rewritten by a handler.
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movaps xmm\\n, [rsp + 16 * \\n]",
    ".endr",
    ".cfi_restore_state",
    "add rsp, {xmm_bytes}",
    "pop qword ptr gs:[{g}]",
    // cr2
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    // vector and error code
    "add rsp, 16",
    "iretq",
    ".cfi_endproc",
    ".size traps_common, . - traps_common",
    ".global arch_traps_end",
    "arch_traps_end:",
    ".popsection",
    slot = const SLOT_BYTES,
    xmm_bytes = const XMM_BYTES,
    g = const offset_of!(MHead, g),
    gsignal = const offset_of!(MHead, gsignal),
    dispatch = sym dispatch,
    rax = const offset_of!(TrapFrame, rax),
    rdx = const offset_of!(TrapFrame, rdx),
    rcx = const offset_of!(TrapFrame, rcx),
    rbx = const offset_of!(TrapFrame, rbx),
    rsi = const offset_of!(TrapFrame, rsi),
    rdi = const offset_of!(TrapFrame, rdi),
    rbp = const offset_of!(TrapFrame, rbp),
    r8 = const offset_of!(TrapFrame, r8),
    r9 = const offset_of!(TrapFrame, r9),
    r10 = const offset_of!(TrapFrame, r10),
    r11 = const offset_of!(TrapFrame, r11),
    r12 = const offset_of!(TrapFrame, r12),
    r13 = const offset_of!(TrapFrame, r13),
    r14 = const offset_of!(TrapFrame, r14),
    r15 = const offset_of!(TrapFrame, r15),
    rip = const offset_of!(TrapFrame, rip),
    rsp = const offset_of!(TrapFrame, rsp),
);

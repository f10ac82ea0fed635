//! What a switch costs: as process, as thread, as goroutine, measured on this very CPU.
//!
//! Each kind is a ping-pong between the caller and a partner with a stack of its own:
//!
//! | kind | what one switch does |
//! | --- | --- |
//! | process | as a thread, and writes CR3 in between: another address space |
//! | thread | `int`; all registers and FXSAVE to the own stack, all back from the other; `iretq` |
//! | goroutine | `mcall` and `gogo`: six registers, two control words, by way of g0 |
//!
//! What a process or thread pays besides (the change of privilege, the choice of the next one, the
//! caches that it finds cold) is not in here, so the ratios are the least that they can be. What a
//! goroutine pays besides is the scheduler; the tour measures it apart.
//!
//! Invariants: interrupts are off while two stacks take turns; the gate lies in a copy of the IDT
//! that only this CPU loads, for that time; the second address space maps what the first maps. So
//! nothing of this is seen by the rest of the kernel. Rejected: a permanent gate (anybody could
//! `int` into it), and `TSS` task switching (not there in long mode).
//!
//! This is no part of the seam: only the default image, which exists on the machine alone, asks.

use core::arch::naked_asm;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::instructions::tables::{lidt, sidt};
use x86_64::registers::control::Cr3;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::idt::{Entry, HandlerFunc};

use super::{MAX_CPUS, cpu, irq, phys_to_virt};
use crate::arch::switch::{self, GHead, Gobuf, Stack, cpu_index, getg};

/// A kind of switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Address space and all registers, through an interrupt gate.
    Process,
    /// All registers, through an interrupt gate.
    Thread,
    /// What `mcall` and `gogo` keep.
    Goroutine,
}

/// Physical frames of 4 KiB that nobody else uses, for the time of a measurement.
pub struct Workspace {
    /// The partner's stack.
    pub stack: u64,
    /// The copy of the IDT.
    pub idt: u64,
    /// The top table of the second address space.
    pub root: u64,
}

const FRAME: usize = 4096;
const GATES: usize = 256;
/// The vector of the gate, free in every table that is copied (no device is given it).
const VECTOR: usize = 0x80;

/// Ticks of the TSC for `round_trips` switches to the partner and back.
///
/// # Safety
/// On a goroutine. The frames are the caller's own.
pub unsafe fn measure(kind: Kind, round_trips: u64, workspace: &Workspace) -> u64 {
    let flags = irq::save();
    // SAFETY: interrupts are off, and as promised by the caller.
    let ticks = unsafe {
        match kind {
            Kind::Goroutine => goroutine(round_trips, workspace),
            Kind::Thread | Kind::Process => through_gate(kind, round_trips, workspace),
        }
    };
    irq::restore(flags);
    ticks
}

/// What the gate's code swaps at each switch; both sides keep its address in rdi.
#[repr(C)]
struct Pair {
    /// Stack pointer of the side that does not run, on a [`Saved`].
    other_sp: usize,
    /// CR3 of that side.
    other_root: u64,
}

/// What a thread that does not run has on top of its stack, lowest address first.
#[repr(C, align(16))]
struct Saved {
    fxsave: [u8; 512],
    rdi: u64,
    /// rsi and the others, in no order that matters here.
    gprs: [u64; 14],
    // What the CPU pushes, and `iretq` takes.
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const FXSAVE_BYTES: usize = 512;
const _: () = assert!(
    offset_of!(Saved, rdi) == FXSAVE_BYTES,
    "the gate pushes rdi last"
);
const _: () = assert!(size_of::<Saved>() == FXSAVE_BYTES + 20 * 8, "no padding");

/// RFLAGS with interrupts off; bit 1 is always set (Intel SDM vol. 1, 3.4.3).
const RFLAGS_IF_OFF: u64 = 1 << 1;

/// # Safety
/// As [`measure`], interrupts off.
unsafe fn through_gate(kind: Kind, round_trips: u64, workspace: &Workspace) -> u64 {
    let (root, cr3_flags) = Cr3::read();
    // SAFETY: the caller's frames, and the current top table, are whole frames of mapped memory.
    unsafe {
        let from = phys_to_virt(root.start_address().as_u64());
        ptr::copy_nonoverlapping(from, phys_to_virt(workspace.root), FRAME);
    }
    let mut pair = Pair {
        other_sp: 0,
        other_root: workspace.root | cr3_flags.bits(),
    };
    let partner =
        (phys_to_virt(workspace.stack) as usize + FRAME - size_of::<Saved>()) as *mut Saved;
    pair.other_sp = partner as usize;
    let gate = match kind {
        Kind::Process => process_gate as *const () as usize,
        _ => thread_gate as *const () as usize,
    };
    // SAFETY:
    // 1. `Saved` is plain data, lies in the partner's frame and is aligned as FXSAVE wants; it
    //    leads to `partner_loop` with rdi = the pair, which outlives the loop.
    // 2. The copied table differs from the loaded one in one gate that nothing but the loop uses,
    //    and stays loaded for as long as it exists; interrupts are off.
    // 3. After the loop the side that runs is this one, in its own address space.
    unsafe {
        partner.write_bytes(0, 1);
        core::arch::x86_64::_fxsave64((&raw mut (*partner).fxsave).cast());
        (*partner).rdi = &raw mut pair as u64;
        (*partner).rip = partner_loop as *const () as u64;
        (*partner).cs = u64::from(CS::get_reg().0);
        (*partner).ss = u64::from(SS::get_reg().0);
        (*partner).rflags = RFLAGS_IF_OFF;
        (*partner).rsp = partner as u64;
        let before = sidt();
        load_with_gate(&before, gate, workspace.idt);
        let start = cpu::ordered_ticks();
        gate_loop(&raw mut pair, round_trips);
        let ticks = cpu::ordered_ticks() - start;
        lidt(&before);
        ticks
    }
}

/// Loads a copy of the IDT with one more gate, that without an IST stack: its frame goes to the
/// stack that is interrupted, as with threads of any kernel.
///
/// # Safety
/// `frame` is free and stays so until another table is loaded; `gate` can be entered by `int`.
unsafe fn load_with_gate(current: &DescriptorTablePointer, gate: usize, frame: u64) {
    let copy = phys_to_virt(frame).cast::<Entry<HandlerFunc>>();
    // SAFETY: the loaded table has all its gates (`idt::fill`), and they fill one frame.
    unsafe {
        ptr::copy_nonoverlapping(current.base.as_ptr(), copy, GATES);
        let mut entry = Entry::missing();
        entry.set_handler_addr(VirtAddr::new(gate as u64));
        copy.add(VECTOR).write(entry);
        lidt(&DescriptorTablePointer {
            limit: current.limit,
            base: VirtAddr::from_ptr(copy),
        });
    }
}

/// The caller's side: switches to the partner so many times, and is switched back to as often.
#[unsafe(naked)]
unsafe extern "C" fn gate_loop(pair: *mut Pair, round_trips: u64) {
    naked_asm!(
        // rdi = pair, rsi = round trips left, at least 1
        "2:",
        "int {vector}",
        "dec rsi",
        "jnz 2b",
        "ret",
        vector = const VECTOR,
    )
}

/// The partner's side: switches back at once.
#[unsafe(naked)]
unsafe extern "C" fn partner_loop() -> ! {
    naked_asm!(
        // rdi = pair
        "2:",
        "int {vector}",
        "jmp 2b",
        vector = const VECTOR,
    )
}

// The gates. At entry rdi = pair and rsp = the CPU's frame, 8 below a multiple of 16: it aligns rsp
// before it pushes its five words (Intel SDM vol. 3, 7.14.2). After 15 more pushes rsp is aligned
// for FXSAVE.
macro_rules! gate {
    (
        $(#[$doc:meta])* $name:ident, [$($address_space:literal),*]
        $(, $operand:ident = $field:ident)?
    ) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name() -> ! {
            naked_asm!(
                "push rax",
                "push rbx",
                "push rcx",
                "push rdx",
                "push rsi",
                "push rbp",
                "push r8",
                "push r9",
                "push r10",
                "push r11",
                "push r12",
                "push r13",
                "push r14",
                "push r15",
                "push rdi",
                "sub rsp, {fxsave}",
                "fxsave64 [rsp]",
                // The other side's stack for this one's; all registers but rdi are free here.
                "mov rax, [rdi + {other_sp}]",
                "mov [rdi + {other_sp}], rsp",
                $($address_space,)*
                "mov rsp, rax",
                "fxrstor64 [rsp]",
                "add rsp, {fxsave}",
                "pop rdi",
                "pop r15",
                "pop r14",
                "pop r13",
                "pop r12",
                "pop r11",
                "pop r10",
                "pop r9",
                "pop r8",
                "pop rbp",
                "pop rsi",
                "pop rdx",
                "pop rcx",
                "pop rbx",
                "pop rax",
                "iretq",
                fxsave = const FXSAVE_BYTES,
                other_sp = const offset_of!(Pair, other_sp),
                $($operand = const offset_of!(Pair, $field),)?
            )
        }
    };
}

gate! {
    /// Switches between two threads of one address space.
    thread_gate, []
}

gate! {
    /// Switches between two threads of two address spaces. CR3 before the stack: both spaces map
    /// both stacks.
    process_gate,
    ["mov rcx, cr3", "mov rdx, [rdi + {root}]", "mov [rdi + {root}], rcx", "mov cr3, rdx"],
    root = other_root
}

/// A goroutine's partner: only what `mcall` and `gogo` know of a G.
#[repr(C)]
struct Partner {
    head: GHead,
    /// Who plays with it.
    caller: *mut GHead,
}

/// The partner on each CPU: `mcall` has no argument to hand it over in.
static PARTNERS: [AtomicPtr<Partner>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// # Safety
/// As [`measure`], interrupts off.
unsafe fn goroutine(round_trips: u64, workspace: &Workspace) -> u64 {
    let lo = phys_to_virt(workspace.stack) as usize;
    let mut partner = Partner {
        head: GHead {
            stack: Cell::new(Stack { lo, hi: lo + FRAME }),
            stackguard0: AtomicUsize::new(0),
            preempt: false.into(),
            sched: Gobuf::new(),
        },
        caller: getg(),
    };
    let head = &raw mut partner.head;
    partner.head.sched.g.set(head);
    partner.head.sched.sp.set(lo + FRAME);
    partner
        .head
        .sched
        .pc
        .set(goroutine_loop as *const () as usize);
    let slot = &PARTNERS[cpu_index()];
    slot.store(&raw mut partner, Ordering::Relaxed);
    let start = cpu::ordered_ticks();
    for _ in 0..round_trips {
        // SAFETY: on a goroutine (caller); the partner leads back to it by `to_caller`.
        unsafe { switch::mcall(to_partner) };
    }
    let ticks = cpu::ordered_ticks() - start;
    slot.store(ptr::null_mut(), Ordering::Relaxed);
    ticks
}

/// On g0: continues the partner.
unsafe extern "C" fn to_partner(_: *mut GHead) -> ! {
    let partner = PARTNERS[cpu_index()].load(Ordering::Relaxed);
    // SAFETY: `goroutine` stored it and waits; the partner is in its own mcall, or fresh.
    unsafe { switch::gogo(&(*partner).head.sched) }
}

/// On g0: continues the caller.
unsafe extern "C" fn to_caller(head: *mut GHead) -> ! {
    // SAFETY: only the partner calls this by mcall, and Partner begins with its head; the caller is
    // in its mcall.
    unsafe { switch::gogo(&(*(*head.cast::<Partner>()).caller).sched) }
}

/// The partner's side.
#[unsafe(naked)]
unsafe extern "C" fn goroutine_loop() -> ! {
    naked_asm!(
        // rsp = top of the stack, 16-aligned
        "2:",
        "lea rdi, [rip + {to_caller}]",
        "call {mcall}",
        "jmp 2b",
        to_caller = sym to_caller,
        mcall = sym switch::mcall,
    )
}

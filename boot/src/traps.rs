//! Exceptions while the boot stage runs, and until the kernel loads its own IDT: one line that
//! says what and where, then exit status 2. Nothing is mended.
//!
//! All vectors run on one interrupt stack (IST 1), so that a kernel without a usable stack is
//! reported too. The tables stay mapped for the kernel (`load::boot_stage`).

use core::arch::global_asm;
use core::cell::UnsafeCell;

use conquer_once::spin::OnceCell;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::Cr2;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

use crate::exit;

/// Vectors 0 to 31 are the CPU's exceptions (Intel SDM volume 3, section 7.3.1).
const VECTORS: usize = 32;
/// Distance of the entry stubs below.
const STUB_SIZE: usize = 16;
const PAGE_FAULT: u64 = 14;

/// Index of the one interrupt stack.
const IST: u16 = 0;
const STACK_SIZE: usize = 16 * 1024;

const CODE: SegmentSelector = SegmentSelector::new(1, PrivilegeLevel::Ring0);
const DATA: SegmentSelector = SegmentSelector::new(2, PrivilegeLevel::Ring0);

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: only the one CPU's exception entry uses it, by address.
unsafe impl Sync for Stack {}

/// Of the boot CPU: there is no other yet.
static STACK: Stack = Stack(UnsafeCell::new([0; STACK_SIZE]));
static TSS: OnceCell<TaskStateSegment> = OnceCell::uninit();
static GDT: OnceCell<GlobalDescriptorTable> = OnceCell::uninit();
static IDT: OnceCell<InterruptDescriptorTable> = OnceCell::uninit();

/// What the stubs below push, lowest address first.
#[repr(C)]
struct Frame {
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

unsafe extern "C" {
    /// First of the [`VECTORS`] entry stubs, each [`STUB_SIZE`] bytes.
    static boot_trap_stubs: [[u8; STUB_SIZE]; VECTORS];
}

/// Loads the GDT, TSS and IDT of the boot stage.
pub(crate) fn install() {
    TSS.init_once(|| {
        let mut tss = TaskStateSegment::new();
        let top = STACK.0.get() as u64 + STACK_SIZE as u64;
        tss.interrupt_stack_table[usize::from(IST)] = VirtAddr::new(top);
        tss
    });
    GDT.init_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        gdt.append(Descriptor::tss_segment(TSS.get().expect("set above")));
        gdt
    });
    GDT.get().expect("set above").load();
    // SAFETY: the selectors are those of the GDT just loaded, in the order of the calls above;
    // the segments are flat as before.
    unsafe {
        CS::set_reg(CODE);
        DS::set_reg(DATA);
        ES::set_reg(DATA);
        SS::set_reg(DATA);
        load_tss(SegmentSelector::new(3, PrivilegeLevel::Ring0));
    }
    IDT.init_once(build_idt);
    IDT.get().expect("set above").load();
}

fn build_idt() -> InterruptDescriptorTable {
    let mut idt = InterruptDescriptorTable::new();
    // Only its address is taken.
    let stubs = &raw const boot_trap_stubs as u64;
    let stub = |vector: usize| VirtAddr::new(stubs + (vector * STUB_SIZE) as u64);
    macro_rules! set {
        ($($vector:literal: $name:ident),*) => {
            // SAFETY: each stub is an entry for just its vector, and IST is a stack of the TSS
            // that nothing else uses; handlers do not return, so they never nest on it.
            unsafe { $(idt.$name.set_handler_addr(stub($vector)).set_stack_index(IST);)* }
        };
    }
    set!(
        0: divide_error, 1: debug, 2: non_maskable_interrupt, 3: breakpoint, 4: overflow,
        5: bound_range_exceeded, 6: invalid_opcode, 7: device_not_available, 8: double_fault,
        10: invalid_tss, 11: segment_not_present, 12: stack_segment_fault,
        13: general_protection_fault, 14: page_fault, 16: x87_floating_point,
        17: alignment_check, 18: machine_check, 19: simd_floating_point, 20: virtualization,
        21: cp_protection_exception, 28: hv_injection_exception,
        29: vmm_communication_exception, 30: security_exception
    );
    idt
}

global_asm!(
    // On entry the CPU has pushed, on the 16-aligned IST stack (Intel SDM volume 3, 7.14.2):
    //     +40 ss
    //     +32 rsp
    //     +24 rflags
    //     +16 cs
    //      +8 rip
    //      +0 error code            <- rsp, vectors 8, 10-14, 17, 21, 29, 30 only
    // Each stub makes the two kinds alike (error 0) and pushes its vector: a Frame.
    ".pushsection .text.traps, \"ax\", @progbits",
    ".balign {stub_size}",
    ".globl boot_trap_stubs",
    "boot_trap_stubs:",
    ".irp vector, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,\
     16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    ".balign {stub_size}",
    ".ifeq ({with_error} >> \\vector) & 1",
    "push 0",
    ".endif",
    "push \\vector",
    "jmp boot_trap",
    ".endr",
    ".balign {stub_size}",
    // rsp = Frame; no register is kept, since nothing returns.
    "boot_trap:",
    "cld",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {report}",
    "ud2",
    ".popsection",
    stub_size = const STUB_SIZE,
    with_error = const 1u32 << 8 | 0x1f << 10 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30,
    report = sym report,
);

/// Says what happened; `boot_trap` calls it with the [`Frame`] that the stub has completed.
extern "C" fn report(frame: &Frame) -> ! {
    let place = if is_own_code(frame.rip) {
        "in the boot stage"
    } else {
        "in the kernel, before it loaded its own IDT"
    };
    let Frame {
        vector,
        error,
        rip,
        rsp,
        ..
    } = *frame;
    let name = name(vector);
    if vector == PAGE_FAULT {
        let addr = Cr2::read_raw();
        exit::refuse(format_args!(
            "{name} {place}: address {addr:#x}, error {error:#x}, rip {rip:#x}, rsp {rsp:#x}"
        ));
    }
    exit::refuse(format_args!(
        "{name} (vector {vector}) {place}: error {error:#x}, rip {rip:#x}, rsp {rsp:#x}"
    ))
}

fn is_own_code(rip: u64) -> bool {
    let image = crate::memory::boot_image();
    image.start <= rip && rip < image.end
}

fn name(vector: u64) -> &'static str {
    match vector {
        0 => "division error",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        6 => "invalid opcode",
        8 => "double fault",
        12 => "stack fault",
        13 => "general protection fault",
        PAGE_FAULT => "page fault",
        18 => "machine check",
        _ => "exception",
    }
}

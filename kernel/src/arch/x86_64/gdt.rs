//! GDT, TSS and interrupt stacks (IST) of each CPU.
//!
//! Every vector runs on an IST stack: the compiler's prebuilt `core` keeps data in the red zone
//! below rsp, which an interrupt on the same stack would overwrite, and a goroutine's stack may
//! have no room for a frame. Vectors that can interrupt one another have different stacks; those
//! that share one (all maskable interrupts) cannot nest, since every gate clears IF.
//!
//! Invariant: `AREAS[cpu]` is written by the boot CPU before `cpu` starts and by `cpu` itself
//! after. Rejected: tables on the heap, because the boot CPU needs them before there is one.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use super::MAX_CPUS;

/// The tops (highest address, 16-aligned) of the interrupt stacks of one CPU.
#[derive(Clone, Copy)]
pub struct CpuStacks {
    /// Timer, IPIs, devices.
    pub irq: usize,
    /// #PF: may interrupt an interrupt handler.
    pub page_fault: usize,
    /// #DF: the last chance, so never shared.
    pub double_fault: usize,
    /// NMI: also the frame that a frozen CPU leaves behind.
    pub nmi: usize,
    /// #MC.
    pub machine_check: usize,
    /// All other exceptions.
    pub exception: usize,
}

/// Index into the TSS's interrupt stack table, counted from 0 as the x86_64 crate does (the
/// hardware counts from 1).
#[derive(Clone, Copy)]
#[repr(u16)]
pub(super) enum Ist {
    Irq = 0,
    PageFault = 1,
    DoubleFault = 2,
    Nmi = 3,
    MachineCheck = 4,
    Exception = 5,
}

struct Area {
    gdt: UnsafeCell<GlobalDescriptorTable>,
    tss: UnsafeCell<TaskStateSegment>,
}

// SAFETY: each area has one writer at a time (module header); the hardware only reads IST
// pointers, and marks the TSS descriptor busy.
unsafe impl Sync for Area {}

/// By CPU: each entry is its CPU's own, once that runs, and the boot CPU's before.
static AREAS: [Area; MAX_CPUS] = [const {
    Area {
        gdt: UnsafeCell::new(GlobalDescriptorTable::new()),
        tss: UnsafeCell::new(TaskStateSegment::new()),
    }
}; MAX_CPUS];

/// Small stacks of the boot CPU for exceptions before there is memory to allocate.
#[repr(C, align(16))]
struct EarlyStacks(UnsafeCell<[[u8; EARLY_STACK_BYTES]; EARLY_STACKS]>);

const EARLY_STACK_BYTES: usize = 8 * 1024;
const EARLY_STACKS: usize = 3;

// SAFETY: only ever used as stacks, by the boot CPU.
unsafe impl Sync for EarlyStacks {}

/// The boot CPU's alone, and left when it has others.
static EARLY: EarlyStacks = EarlyStacks(UnsafeCell::new([[0; EARLY_STACK_BYTES]; EARLY_STACKS]));

impl CpuStacks {
    /// The boot CPU's stacks until `init_boot_cpu`. Sharing is fine there: a second exception
    /// of a group only ever follows one that is being reported.
    pub(super) fn early() -> Self {
        let top = |i: usize| EARLY.0.get() as usize + (i + 1) * EARLY_STACK_BYTES;
        Self {
            irq: top(0),
            page_fault: top(0),
            double_fault: top(1),
            nmi: top(2),
            machine_check: top(2),
            exception: top(0),
        }
    }
}

/// Points the interrupt stacks of `cpu` at `stacks`. The CPU reads the TSS at each delivery, so
/// this holds from the next interrupt on.
///
/// # Safety
/// The stacks are mapped, unused, and stay so; `cpu` is this CPU with interrupts off, or is not
/// running.
pub(super) unsafe fn set_stacks(cpu: usize, stacks: &CpuStacks) {
    let mut table = [VirtAddr::zero(); 7];
    table[Ist::Irq as usize] = VirtAddr::new(stacks.irq as u64);
    table[Ist::PageFault as usize] = VirtAddr::new(stacks.page_fault as u64);
    table[Ist::DoubleFault as usize] = VirtAddr::new(stacks.double_fault as u64);
    table[Ist::Nmi as usize] = VirtAddr::new(stacks.nmi as u64);
    table[Ist::MachineCheck as usize] = VirtAddr::new(stacks.machine_check as u64);
    table[Ist::Exception as usize] = VirtAddr::new(stacks.exception as u64);
    // SAFETY: one writer (caller). The field is 4-aligned in a packed struct, hence unaligned.
    unsafe {
        let tss = AREAS[cpu].tss.get();
        (&raw mut (*tss).interrupt_stack_table).write_unaligned(table);
    }
}

/// Loads the GDT and TSS of `cpu` and fresh segment registers. GS is left alone: loading its
/// selector would clear GS base (Intel SDM vol. 2, MOV).
///
/// # Safety
/// Runs on `cpu`, once, with interrupts off, after [`set_stacks`].
pub(super) unsafe fn load(cpu: usize) {
    let area = &AREAS[cpu];
    // SAFETY: this CPU is the only user of its area (caller); the statics live for ever, and the
    // selectors are those of the table just loaded.
    unsafe {
        let gdt = &mut *area.gdt.get();
        *gdt = GlobalDescriptorTable::new();
        let code = gdt.append(Descriptor::kernel_code_segment());
        let data = gdt.append(Descriptor::kernel_data_segment());
        let tss = gdt.append(Descriptor::tss_segment_unchecked(area.tss.get()));
        (*area.gdt.get()).load();
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(SegmentSelector::NULL);
        ES::set_reg(SegmentSelector::NULL);
        load_tss(tss);
    }
}

//! From a started CPU's first instruction, in real mode, to Rust in the upper half.
//!
//! Two free pages below 1 MiB are borrowed for each start (`prepare` fills them anew):
//!
//! ```text
//!   page + 0x0000   code and cells (SIPI starts it at page:0000)
//!   page + 0x1000   one page table, used at all levels
//! ```
//!
//! The page table is its own PML4, PDPT, PD and PT: entry 0 points back at the table, and entry
//! `page >> 12` at the code page, so the virtual address `page` walks 0, 0, 0, `page >> 12` and
//! reaches the code: an identity mapping of exactly one page. The upper 256 entries are copies
//! of the kernel's, so the jump to the upper half works in the same space, and only there is the
//! kernel's CR3 loaded, with all 64 bits: a loader may have put it above 4 GiB, where 32-bit
//! code cannot. The kernel's own tables never get an identity mapping, and nothing has to be
//! taken away again. With five levels the same holds with one more step through entry 0.
//!
//! Rejected: the shortcut from real mode straight to long mode (the manual wants protected mode
//! in between), and identity-mapping the page in the kernel's tables (a write to tables that all
//! other CPUs use, for the sake of one that does not run yet).

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use x86_64::registers::control::{Cr0, Cr3, Cr4, Cr4Flags};

use super::phys_to_virt;

const PAGE_BYTES: u64 = 4096;
/// What [`prepare`] needs.
pub(super) const BYTES: u64 = 2 * PAGE_BYTES;
const ENTRIES: usize = 512;
const PRESENT_WRITABLE: u64 = 0b11;

/// States of [`Mailbox::state`].
pub(super) const EMPTY: u32 = 0;
/// The boot CPU has filled the mailbox for one CPU.
pub(super) const POSTED: u32 = 1;
/// The CPU has arrived and owns the mailbox.
pub(super) const TAKEN: u32 = 2;
/// The CPU is set up and about to run its entry.
pub(super) const RUNNING: u32 = 3;

/// What the boot CPU hands to the one CPU that it is starting. All fields but `state` are written
/// before `state` becomes POSTED and read after it became TAKEN.
#[repr(C)]
pub(super) struct Mailbox {
    pub(super) state: AtomicU32,
    cr0: AtomicU64,
    cr3: AtomicU64,
    cr4: AtomicU64,
    pub(super) stack_top: AtomicU64,
    pub(super) m: AtomicU64,
    pub(super) entry: AtomicU64,
}

pub(super) static MAILBOX: Mailbox = Mailbox {
    state: AtomicU32::new(EMPTY),
    cr0: AtomicU64::new(0),
    cr3: AtomicU64::new(0),
    cr4: AtomicU64::new(0),
    stack_top: AtomicU64::new(0),
    m: AtomicU64::new(0),
    entry: AtomicU64::new(0),
};

unsafe extern "C" {
    // The code and the cells in it that hold an address relative to its start, or a value to be
    // filled in. Only their addresses are used.
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_gdt_base: u8;
    static trampoline_far32: u8;
    static trampoline_base: u8;
    static trampoline_far64: u8;
    static trampoline_cr3: u8;
    static trampoline_cr4: u8;
    static trampoline_target: u8;
}

/// Fills the two pages at `page` and the register fields of the mailbox.
///
/// # Safety
/// The pages are free memory below 1 MiB and no CPU is on its way through them.
pub(super) unsafe fn prepare(page: u64) {
    let table = page + PAGE_BYTES;
    // SAFETY: free memory (caller), mapped with the physical memory; the source is the code's
    // own range.
    unsafe {
        let start = &raw const trampoline_start;
        let length = &raw const trampoline_end as usize - start as usize;
        core::ptr::copy_nonoverlapping(start, phys_to_virt(page), length);
    }
    for cell in [
        &raw const trampoline_gdt_base,
        &raw const trampoline_far32,
        &raw const trampoline_base,
        &raw const trampoline_far64,
    ] {
        let cell = copy_of(cell, page).cast::<u32>();
        // SAFETY: a cell inside the copy. Each holds its target's distance from the start.
        unsafe { cell.write_unaligned(cell.read_unaligned() + page as u32) }
    }
    // Until CR0.PG is on, CR4 holds nothing but what the page-table format needs.
    let format = Cr4::read() & (Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::L5_PAGING);
    // SAFETY: cells inside the copy.
    unsafe {
        copy_of(&raw const trampoline_cr3, page)
            .cast::<u32>()
            .write_unaligned(table as u32);
        copy_of(&raw const trampoline_cr4, page)
            .cast::<u32>()
            .write_unaligned(format.bits() as u32);
        let target = arrive as *const () as u64;
        copy_of(&raw const trampoline_target, page)
            .cast::<u64>()
            .write_unaligned(target);
    }
    // SAFETY: free memory (caller).
    unsafe { fill_table(page, table) }
    let (root, flags) = Cr3::read_raw();
    MAILBOX.cr3.store(
        root.start_address().as_u64() | u64::from(flags),
        Ordering::Relaxed,
    );
    MAILBOX.cr0.store(Cr0::read_raw(), Ordering::Relaxed);
    MAILBOX.cr4.store(Cr4::read_raw(), Ordering::Relaxed);
}

/// Where a cell of the code lies in the copy at `page`.
fn copy_of(cell: *const u8, page: u64) -> *mut u8 {
    let offset = cell as usize - &raw const trampoline_start as usize;
    phys_to_virt(page + offset as u64)
}

/// # Safety
/// `table` is a free page.
unsafe fn fill_table(page: u64, table: u64) {
    let (root, _) = Cr3::read_raw();
    let kernel = phys_to_virt(root.start_address().as_u64()).cast::<u64>();
    let entries = phys_to_virt(table).cast::<u64>();
    for index in 0..ENTRIES {
        let entry = if index >= ENTRIES / 2 {
            // SAFETY: the kernel's root table; other CPUs may add entries, never change one.
            unsafe { kernel.add(index).read_volatile() }
        } else if index == 0 {
            table | PRESENT_WRITABLE
        } else if index as u64 == page / PAGE_BYTES {
            page | PRESENT_WRITABLE
        } else {
            0
        };
        // SAFETY: inside the free page (caller).
        unsafe { entries.add(index).write_volatile(entry) }
    }
}

// Real mode: cs = page / 16, ip = 0, everything else unknown.
// Offsets are from trampoline_start; the four cells with addresses get `page` added to them.
global_asm!(
    ".pushsection .rodata.trampoline, \"a\", @progbits",
    ".balign 16",
    ".global trampoline_start, trampoline_end, trampoline_gdt_base, trampoline_far32",
    ".global trampoline_base, trampoline_far64, trampoline_cr3, trampoline_cr4, trampoline_target",
    // Memory operands take one symbol each, so distances have names.
    ".set trampoline_gdt_pointer_at, trampoline_gdt_pointer - trampoline_start",
    ".set trampoline_cr3_at, trampoline_cr3 - trampoline_start",
    ".set trampoline_cr4_at, trampoline_cr4 - trampoline_start",
    ".code16",
    "trampoline_start:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    // A 16-bit lgdt takes 24 bits of base: enough below 1 MiB.
    "lgdt [trampoline_gdt_pointer_at]",
    // PE and ET; caches on, paging off (Intel SDM vol. 3, 2.5).
    "mov eax, 0x11",
    "mov cr0, eax",
    // ljmp 0x08:trampoline_32 with a 32-bit offset
    ".byte 0x66, 0xea",
    "trampoline_far32: .long trampoline_32 - trampoline_start",
    ".word 0x08",
    // Protected mode, flat, paging off. Will hold: ebx = page.
    ".code32",
    "trampoline_32:",
    "mov ax, 0x10",
    "mov ds, ax",
    "mov ss, ax",
    // mov ebx, imm32
    ".byte 0xbb",
    "trampoline_base: .long 0",
    "mov eax, [ebx + trampoline_cr4_at]",
    "mov cr4, eax",
    "mov eax, [ebx + trampoline_cr3_at]",
    "mov cr3, eax",
    // IA32_EFER: LME and NXE, for the kernel's entries have NX bits (Intel SDM vol. 3, 2.2.1).
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    // PG, WP, NE, ET, MP, PE
    "mov eax, 0x80010033",
    "mov cr0, eax",
    // ljmp 0x18:trampoline_64
    ".byte 0xea",
    "trampoline_far64: .long trampoline_64 - trampoline_start",
    ".word 0x18",
    // Long mode in the one-page identity mapping.
    ".code64",
    "trampoline_64:",
    "mov rax, [rip + trampoline_target]",
    "jmp rax",
    ".balign 8",
    // Null, 32-bit code, data, 64-bit code.
    "trampoline_gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff",
    "trampoline_gdt_pointer: .word 31",
    "trampoline_gdt_base: .long trampoline_gdt - trampoline_start",
    ".balign 8",
    "trampoline_cr3: .long 0",
    "trampoline_cr4: .long 0",
    "trampoline_target: .quad 0",
    "trampoline_end:",
    ".popsection",
);

/// The first kernel code of a started CPU: long mode, the trampoline's page table, no stack.
#[unsafe(naked)]
extern "C" fn arrive() -> ! {
    naked_asm!(
        // r8 = the mailbox. Whoever comes late, after the boot CPU gave up, finds no post.
        "lea r8, [rip + {mailbox}]",
        "mov eax, {posted}",
        "mov ecx, {taken}",
        "lock cmpxchg dword ptr [r8 + {state}], ecx",
        "jne 2f",
        // All 64 bits of CR3, then the boot CPU's CR4 and CR0: Rust code needs SSE on.
        "mov rax, [r8 + {cr3}]",
        "mov cr3, rax",
        "mov rax, [r8 + {cr4}]",
        "mov cr4, rax",
        "mov rax, [r8 + {cr0}]",
        "mov cr0, rax",
        // Null data segments, before GS base is written: loading gs clears it.
        "xor eax, eax",
        "mov ds, eax",
        "mov es, eax",
        "mov ss, eax",
        "mov fs, eax",
        "mov gs, eax",
        // IA32_GS_BASE = m (edx:eax)
        "mov ecx, 0xc0000101",
        "mov rax, [r8 + {m}]",
        "mov rdx, rax",
        "shr rdx, 32",
        "wrmsr",
        // The stack of this M's g0; rbp = 0 ends frame-pointer walks; rdi = the entry.
        "mov rsp, [r8 + {stack_top}]",
        "xor ebp, ebp",
        "mov rdi, [r8 + {entry}]",
        "call {main}",
        "2:",
        "cli",
        "hlt",
        "jmp 2b",
        mailbox = sym MAILBOX,
        posted = const POSTED,
        taken = const TAKEN,
        state = const offset_of!(Mailbox, state),
        cr0 = const offset_of!(Mailbox, cr0),
        cr3 = const offset_of!(Mailbox, cr3),
        cr4 = const offset_of!(Mailbox, cr4),
        m = const offset_of!(Mailbox, m),
        stack_top = const offset_of!(Mailbox, stack_top),
        entry = const offset_of!(Mailbox, entry),
        main = sym super::smp::started,
    )
}

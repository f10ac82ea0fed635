//! From the loader's 32-bit entry to [`crate::boot_main`] in 64-bit mode.
//!
//! Owns the Multiboot2 header, the PVH note, the first page tables (4 GiB, physical = virtual, all
//! rights: they last until [`crate::enter`]), the first GDT, and the boot stack with a guard page
//! below it. Refuses a CPU without long mode or without the no-execute bit, in words, before it
//! needs either.
//!
//! State given by PVH (Xen, `docs/misc/pvh.pandoc`): 32-bit protected mode, flat segments, paging
//! off, interrupts off, `ebx` = physical address of `hvm_start_info`. State given by Multiboot2
//! (specification 2.0, section 3.3, also by a GRUB that runs under UEFI): the same, with `eax` =
//! [`MULTIBOOT2_GIVEN`] and `ebx` = physical address of the information.
//!
//! A further protocol adds its header and an entry of two instructions that, like
//! `boot_entry_pvh`, sets `esi` and `ebp` and jumps to `boot_entry_32`.

use core::arch::global_asm;

use x86_64::registers::control::{Cr0Flags, Cr4Flags, EferFlags};
use x86_64::registers::mxcsr::MxCsr;

use crate::handover::Protocol;

/// The largest things on it are the memory maps, a few KiB each.
const STACK_SIZE: usize = 64 * 1024;
/// PAE for long mode; SSE with its exceptions, which compiled code uses from the start (Intel SDM
/// volume 3, section 2.5).
const CR4: u64 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION.bits()
    | Cr4Flags::OSFXSR.bits()
    | Cr4Flags::OSXMMEXCPT_ENABLE.bits();
/// Write protection holds in ring 0 too; MP and NE with EM and TS clear make x87 and SSE run
/// without traps (Intel SDM volume 3, section 2.5).
const CR0: u64 = Cr0Flags::PROTECTED_MODE_ENABLE.bits()
    | Cr0Flags::MONITOR_COPROCESSOR.bits()
    | Cr0Flags::EXTENSION_TYPE.bits()
    | Cr0Flags::NUMERIC_ERROR.bits()
    | Cr0Flags::WRITE_PROTECT.bits()
    | Cr0Flags::PAGING.bits();
/// What the header of a Multiboot2 image begins with, and what its loader leaves in `eax`.
const MULTIBOOT2_HEADER: u32 = 0xe852_50d6;
const MULTIBOOT2_GIVEN: u32 = 0x36d7_6289;
const EFER_MSR: u32 = 0xc000_0080;
const EFER: u64 = EferFlags::LONG_MODE_ENABLE.bits() | EferFlags::NO_EXECUTE_ENABLE.bits();
/// All SSE exceptions masked, round to nearest: the value that the System V ABI starts with.
const MXCSR: u32 = MxCsr::INVALID_OPERATION_MASK.bits()
    | MxCsr::DENORMAL_MASK.bits()
    | MxCsr::DIVIDE_BY_ZERO_MASK.bits()
    | MxCsr::OVERFLOW_MASK.bits()
    | MxCsr::UNDERFLOW_MASK.bits()
    | MxCsr::PRECISION_MASK.bits();

global_asm!(
    // The ELF note that makes this an image for a PVH loader: name "Xen", type 18
    // (XEN_ELFNOTE_PHYS32_ENTRY), value = entry point. Eight bytes of it, as QEMU reads a word
    // of the ELF's class.
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4",
    ".long 8",
    ".long 18",
    ".asciz \"Xen\"",
    ".quad boot_entry_pvh",
    ".popsection",
    //
    // Multiboot2: magic, architecture 0 (i386, protected mode), length, and what makes the four sum
    // to 0; then tags of type and flags, size. No tag asks for an EFI entry or for EFI's boot
    // services, so GRUB ends them; none asks for a framebuffer, since COM1 is the console.
    ".pushsection .multiboot2, \"a\", @progbits",
    ".balign 8",
    "boot_multiboot2:",
    ".long {multiboot2_header}",
    ".long 0",
    ".long boot_multiboot2_end - boot_multiboot2",
    ".long 0x100000000 - {multiboot2_header} - (boot_multiboot2_end - boot_multiboot2)",
    // Information that the loader has to give: command line, modules, memory map.
    ".long 1, 20, 1, 3, 6",
    ".balign 8",
    // The entry point: that of the ELF header is PVH's.
    ".long 3, 12, boot_entry_multiboot2",
    ".balign 8",
    // Modules on page borders: the fields of the kernel's ELF are read where they are.
    ".long 6, 8",
    // The end.
    ".long 0, 8",
    "boot_multiboot2_end:",
    ".popsection",
    //
    ".pushsection .text.entry, \"ax\", @progbits",
    ".code32",
    // eax = magic, ebx = physical address of the information. A loader that took this address for
    // something else's left something else there.
    "boot_entry_multiboot2:",
    "cmp eax, {multiboot2_given}",
    "mov edi, offset boot_text_no_multiboot2",
    "jne boot_refuse_32",
    "mov esi, {multiboot2}",
    "mov ebp, ebx",
    "jmp boot_entry_32",
    ".globl boot_entry_pvh",
    ".type boot_entry_pvh, @function",
    // ebx = physical address of hvm_start_info.
    "boot_entry_pvh:",
    "mov esi, {pvh}",
    "mov ebp, ebx",
    // Falls through.
    //
    // esi = protocol, ebp = what the loader left; both live until boot_main.
    "boot_entry_32:",
    "cli",
    "cld",
    "mov esp, offset boot_stack_top",
    // Extended leaf 1, edx: bit 29 = long mode, bit 20 = no-execute (Intel SDM volume 2, CPUID).
    "mov eax, 0x80000000",
    "cpuid",
    "cmp eax, 0x80000001",
    "mov edi, offset boot_text_no_long_mode",
    "jb boot_refuse_32",
    "mov eax, 0x80000001",
    "cpuid",
    "bt edx, 29",
    "jnc boot_refuse_32",
    "mov edi, offset boot_text_no_nx",
    "bt edx, 20",
    "jnc boot_refuse_32",
    //
    // 2,048 pages of 2 MiB: present, writable, large (0x83). edi = entry, eax = page.
    "mov edi, offset boot_level_2",
    "mov eax, 0x83",
    "mov ecx, 2048",
    "2:",
    "mov [edi], eax",
    "mov dword ptr [edi + 4], 0",
    "add eax, 0x200000",
    "add edi, 8",
    "loop 2b",
    // The first 2 MiB page in small ones, so that the page below the stack can be left out: an
    // overflow is then a page fault, not a change of the tables below. eax = page, then guard.
    "mov edi, offset boot_level_1",
    "mov eax, 3",
    "mov ecx, 512",
    "3:",
    "mov [edi], eax",
    "add eax, 0x1000",
    "add edi, 8",
    "loop 3b",
    "mov eax, offset boot_stack_guard",
    "shr eax, 9", // 8 bytes an entry, one entry a page
    "mov dword ptr [boot_level_1 + eax], 0",
    "mov eax, offset boot_level_1 + 3",
    "mov [boot_level_2], eax",
    // Four level 2 tables under one level 3 table: present, writable (3).
    "mov edi, offset boot_level_3",
    "mov eax, offset boot_level_2 + 3",
    "mov ecx, 4",
    "4:",
    "mov [edi], eax",
    "add eax, 0x1000",
    "add edi, 8",
    "loop 4b",
    "mov eax, offset boot_level_3 + 3",
    "mov [boot_level_4], eax",
    //
    // The order of Intel SDM volume 3, section 10.8.5: CR4.PAE, CR3, EFER.LME, CR0.PG.
    "mov eax, {cr4}",
    "mov cr4, eax",
    "mov eax, offset boot_level_4",
    "mov cr3, eax",
    "mov ecx, {efer_msr}",
    "mov eax, {efer}",
    "xor edx, edx",
    "wrmsr",
    "mov eax, {cr0}",
    "mov cr0, eax",
    // Still 32-bit code (compatibility mode) until cs is a 64-bit segment.
    "lgdt [boot_gdt_pointer]",
    "push 8",
    "mov eax, offset boot_entry_64",
    "push eax",
    "retf",
    ".size boot_entry_pvh, . - boot_entry_pvh",
    //
    // Says the text at edi on COM1 and ends with status 2 by the exit channel (exit.rs).
    "boot_refuse_32:",
    "mov ebx, edi",
    // ebx = next byte of the line, ecx = polls left (serial.rs).
    "2:",
    "mov ecx, 100000",
    "mov dx, 0x3fd",
    "3:",
    "in al, dx",
    "test al, 0x20",
    "jnz 4f",
    "pause",
    "loop 3b",
    "4:",
    "mov al, [ebx]",
    "inc ebx",
    "test al, al",
    "jz 5f",
    "mov dx, 0x3f8",
    "out dx, al",
    "jmp 2b",
    // ebx = next byte of the exit record.
    "5:",
    "mov ebx, offset boot_text_exit",
    "6:",
    "mov al, [ebx]",
    "inc ebx",
    "test al, al",
    "jz 7f",
    "out 0xe9, al",
    "jmp 6b",
    "7:",
    "mov eax, 0x10",
    "out 0xf4, eax",
    "8:",
    "cli",
    "hlt",
    "jmp 8b",
    //
    ".code64",
    // rsi, rbp: as above, upper halves undefined (Intel SDM volume 1, section 3.4.1.1).
    "boot_entry_64:",
    "mov ax, 16",
    "mov ds, ax",
    "mov es, ax",
    "mov ss, ax",
    "xor eax, eax",
    "mov fs, ax",
    "mov gs, ax",
    "mov rsp, offset boot_stack_top",
    "fninit",
    "ldmxcsr [boot_mxcsr]",
    "mov edi, esi", // clears the upper half
    "mov esi, ebp",
    "xor ebp, ebp", // ends the chain of frame pointers
    // rsp is 16-aligned before the call, as System V wants; boot_main does not return.
    "call {boot_main}",
    "ud2",
    ".popsection",
    //
    ".pushsection .rodata.entry, \"a\", @progbits",
    "boot_text_no_multiboot2:",
    ".ascii \"gosched-boot: the loader entered as by Multiboot2, but without its magic number \"",
    ".asciz \"(0x36d76289 in eax)\\n\"",
    "boot_text_no_long_mode:",
    ".asciz \"gosched-boot: this CPU has no 64-bit mode, which the kernel needs\\n\"",
    "boot_text_no_nx:",
    ".asciz \"gosched-boot: this CPU has no no-execute bit (NX), which the kernel needs\\n\"",
    "boot_text_exit:",
    ".asciz \"exit 2\\n\"",
    ".balign 8",
    // Null, 64-bit code, data. Accessed bits are set: the CPU need not write here.
    "boot_gdt:",
    ".quad 0",
    ".quad 0x00af9b000000ffff",
    ".quad 0x00cf93000000ffff",
    "boot_gdt_pointer:",
    ".word . - boot_gdt - 1",
    ".long boot_gdt",
    ".balign 4",
    "boot_mxcsr:",
    ".long {mxcsr}",
    ".popsection",
    //
    ".pushsection .bss.entry, \"aw\", @nobits",
    ".balign 4096",
    "boot_level_4: .skip 4096",
    "boot_level_3: .skip 4096",
    "boot_level_2: .skip 4 * 4096",
    "boot_level_1: .skip 4096",
    "boot_stack_guard: .skip 4096",
    ".skip {stack_size}",
    "boot_stack_top:",
    ".popsection",
    pvh = const Protocol::Pvh as u32,
    multiboot2 = const Protocol::Multiboot2 as u32,
    multiboot2_header = const MULTIBOOT2_HEADER,
    multiboot2_given = const MULTIBOOT2_GIVEN,
    cr4 = const CR4,
    cr0 = const CR0,
    efer_msr = const EFER_MSR,
    efer = const EFER,
    mxcsr = const MXCSR,
    stack_size = const STACK_SIZE,
    boot_main = sym crate::boot_main,
);

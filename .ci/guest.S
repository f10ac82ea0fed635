# A guest that does one thing, for the tests of run-qemu.sh: prints "hello", then ends as END says.
# Loaded by PVH or as Multiboot2, so it starts in 32-bit protected mode without paging; it uses no
# stack.

.section .note.pvh, "a", @note
    .long 4, 4, 18                  # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start

.macro write port, text             # esi walks over the text, al holds its character
    mov $\text, %esi
    mov $\port, %edx
0:  lodsb
    test %al, %al
    jz 1f
    out %al, %dx
    jmp 0b
1:
.endm

.text
.code32
    .balign 8
multiboot2:                         # for i386, and no tag but the end
    .long 0xe85250d6, 0, 24, -(0xe85250d6 + 24), 0, 8
.globl _start
_start:
    write 0x3f8, hello
.ifeq END - 1                       # with a status
    write 0xe9, status
.endif
.ifle END - 2                       # ... and 2: without one
    mov $0xf4, %edx
    mov $0x10, %eax
    out %eax, %dx
.endif
.ifeq END - 3                       # triple fault
    lidt no_idt
    int3
.endif
.ifeq END - 4                       # sends back what it gets
0:  mov $0x3fd, %edx                # COM1's line status: bit 0, a byte is there
    in %dx, %al
    test $1, %al
    jz 0b
    mov $0x3f8, %edx
    in %dx, %al
    out %al, %dx
    jmp 0b
.endif
    cli                             # 5: hangs
    hlt

no_idt: .word 0, 0, 0
hello:  .asciz "hello\r\n"
status: .asciz "exit 7\n"

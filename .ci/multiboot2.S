# A loader for tests: QEMU starts it by PVH and has put the boot stage, its information and the kernel
# into memory already. It enters the boot stage as a Multiboot2 loader does, with what EAX and EBX
# say; so the information may be anything, which no real loader would leave.

.section .note.pvh, "a", @note
    .long 4, 4, 18                  # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start

.text
.code32
.globl _start
_start:
    mov $MAGIC, %eax
    mov $INFORMATION, %ebx
    mov $ENTRY, %ecx
    jmp *%ecx

#!/usr/bin/env bash
# Checks the boot stage from outside: boot/tests.sh KERNEL_ELF BOOT_ELF
#
# A whole kernel must boot on every machine; one that is damaged, or asks for what is not offered,
# must be refused with one line on COM1 and status 2. No image may hang or reset the machine.
# KERNEL_ELF is the default image of this project: told `run="exit 0"`, it ends with status 0, without
# the tour that a bare `run=exit` would begin with.
# Prints one line a check, and at last `N passed, N failed`.
set -u
[ $# -eq 2 ] || { echo "usage: $0 KERNEL_ELF BOOT_ELF" >&2; exit 2; }
kernel=$1 boot=$2
for file in "$kernel" "$boot"; do
    [ -s "$file" ] || { echo "$0: there is no $file" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

# run MODULE [QEMU options...]: boots; sets `end` to the exit record (or what happened instead)
# and `text` to what the console said.
run() {
    local initrd=() status
    [ -n "$1" ] && initrd=(-initrd "$1")
    shift
    rm -f "$dir/record"
    timeout 60 qemu-system-x86_64 -machine q35 -cpu max -m 256M -display none -serial stdio \
        -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04 \
        -debugcon "file:$dir/record" -append 'run="exit 0"' \
        -kernel "$boot" "${initrd[@]}" "$@" </dev/null >"$dir/console" 2>"$dir/errors"
    status=$?
    text=$(tr -d '\r\0' <"$dir/console")
    case $status in
        33) end=$(tail -n 1 "$dir/record") ;;
        124) end="hung" ;;
        *) end="QEMU status $status" ;;
    esac
}

# check NAME CONDITION-STATUS: counts and prints.
check() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1)); echo "ok      $1"
    else
        failed=$((failed + 1)); echo "FAILED  $1: $end: $(head -c 300 <<<"$text" | tr '\n' ' ')"
        head -n 3 "$dir/errors"
    fi
}

boots() { # NAME [QEMU options...]
    local name=$1; shift
    run "$kernel" "$@"
    [ "$end" = "exit 0" ]; check "boots: $name" $?
}

is_refusal() { # TEXT-THAT-MUST-BE-IN-IT
    [ "$end" = "exit 2" ] && [[ $text == gosched-boot:*"$1"* && $text != *$'\n'* ]]
}

refuses() { # NAME TEXT MODULE [QEMU options...]
    local name=$1 want=$2 module=$3; shift 3
    run "$module" "$@"
    is_refusal "$want"; check "refuses: $name" $?
}

# number OFFSET SIZE: the little-endian number there in the kernel's file.
number() { od -An -v -j "$1" -N "$2" -t "u$2" "$kernel" | tr -d ' '; }

# patched OFFSET BYTE...: a copy of the kernel's file with these bytes (two hex digits each).
patched() {
    local offset=$1 bytes=; shift
    for byte; do bytes+="\\x$byte"; done
    cp "$kernel" "$dir/patched"
    printf '%b' "$bytes" | dd of="$dir/patched" bs=1 seek="$offset" conv=notrunc status=none
}

refuses_patch() { # NAME TEXT OFFSET BYTE...
    local name=$1 want=$2; shift 2
    patched "$@"
    refuses "$name" "$want" "$dir/patched"
}

# What is sound for the boot stage, but not what this kernel asks for, the kernel refuses itself.
kernel_refuses_patch() { # NAME TEXT OFFSET BYTE...
    local name=$1 want=$2; shift 2
    patched "$@"
    run "$dir/patched"
    [ "$end" = "exit 2" ] && [[ $text == "gosched: "*"$want"* && $text != *$'\n'* ]]
    check "refuses: $name" $?
}

# Sections of the file that the checks aim at (ELF-64, fields by their offsets in the headers).
phoff=$(number 32 8) shoff=$(number 40 8) phnum=$(number 56 2) shnum=$(number 60 2)
size=$(stat -c %s "$kernel")
# The configuration begins with the crate's UUID.
uuid='\x74\x3c\xa9\x61\x09\x36\x46\xa0\xbb\x55\x5c\x15\x89\x15\x25\x3d'
config=$(LC_ALL=C grep -obUaP "$uuid" "$kernel" | head -n 1 | cut -d : -f 1)
loads=() text_header=
for ((i = 0; i < phnum; i++)); do
    at=$((phoff + 56 * i))
    [ "$(number $at 4)" = 1 ] || continue
    loads+=("$at")
    [ $(($(number $((at + 4)) 4) & 1)) = 1 ] && text_header=$at
done
if [ "${#loads[@]}" -lt 2 ] || [ -z "$text_header" ] || [ -z "$config" ]; then
    echo "FAILED  $kernel is not a kernel with a .bootloader-config"
    echo "0 passed, 1 failed"
    exit 1
fi

machines() {
    boots "q35"
    boots "pc" -machine pc
    boots "microvm" -machine microvm
    boots "microvm without ACPI tables" -machine microvm,acpi=off
    boots "64 MiB" -m 64M
    boots "8 GiB" -m 8G
    boots "8 GiB, without 1 GiB pages" -m 8G -cpu max,-pdpe1gb
    boots "qemu64" -cpu qemu64
    boots "4 CPUs" -smp 4
    refuses "a CPU without 64-bit mode" "64-bit mode" "$kernel" -cpu qemu32
    refuses "a CPU without NX" "no-execute" "$kernel" -cpu qemu64,-nx
    refuses "a command line that QEMU cannot hold" "command line" "$kernel" \
        -append "$(printf 'x%.0s' {1..6000})"
}

files() {
    : >"$dir/empty"
    echo "no kernel at all" >"$dir/text"
    refuses "no kernel" "no kernel" ""
    refuses "an empty file" "no kernel" "$dir/empty"
    refuses "a text" "not an ELF file" "$dir/text"
    refuses "itself as the kernel" ".bootloader-config" "$boot"
    local length
    for length in 3 4 63 64 $((phoff + 1)) $((phoff + 56 * phnum - 1)) 4096 $((size / 4)) \
        $((size / 2)) $((size * 3 / 4)) $((shoff - 1)) $((shoff + 64 * shnum - 1)); do
        head -c "$length" "$kernel" >"$dir/short"
        refuses "the first $length bytes" "" "$dir/short"
    done
}

headers() {
    refuses_patch "ELF32" "64-bit" 4 01
    refuses_patch "big endian" "x86-64" 5 02
    refuses_patch "a relocatable file" "type 1" 16 01
    refuses_patch "a position-independent file" "-no-pie" 16 03
    refuses_patch "i386" "machine 3," 18 03
    refuses_patch "the entry point at 0" "entry point" 24 00 00 00 00 00 00 00 00
    refuses_patch "no section headers" ".bootloader-config" 40 00 00 00 00 00 00 00 00
    refuses_patch "65,535 section headers" "cut short" 60 ff ff
    local first=${loads[0]} second=${loads[1]} last=${loads[-1]}
    refuses_patch "W+X" "writable and executable" $((text_header + 4)) 07
    refuses_patch "code that may not run" "entry point" $((text_header + 4)) 04
    refuses_patch "a segment after the file's end" "cut short" $((second + 12)) 7f
    refuses_patch "a segment one page further in the file" "damaged" $((text_header + 9)) \
        "$(printf '%02x' $((($(number $((text_header + 9)) 1) + 16) & 255)))"
    refuses_patch "a segment without alignment" "alignment" $((text_header + 16)) 01
    refuses_patch "an impossible address" "no such addresses" $((first + 22)) 12
    refuses_patch "a segment that wraps around" "no such addresses" $((first + 44)) ff ff ff ff
    refuses_patch "a segment of 8 GiB" "" $((first + 44)) 02
    refuses_patch "more in the file than in memory" "in the file but" $((first + 40)) 01 00 00 00
    refuses_patch "more than the machine has" "not enough memory" $((last + 43)) 40
    cp "$kernel" "$dir/patched"
    # p_offset and p_vaddr of the first segment, given to the second.
    dd if="$kernel" of="$dir/patched" bs=1 skip=$((first + 8)) seek=$((second + 8)) count=16 \
        conv=notrunc status=none
    refuses "overlapping segments" "shares a page" "$dir/patched"
}

# Offsets of the fields: `BootloaderConfig::serialize`.
configuration() {
    refuses_patch "another UUID" "UUID" "$config" 00
    refuses_patch "version 0.12" "bootloader_api 0.12" $((config + 18)) 0c
    refuses_patch "another patch release" "bootloader_api 0.11.16" $((config + 20)) 10
    refuses_patch "a pre-release" "pre-release" $((config + 22)) 01
    refuses_patch "no stack" "stack of 0" $((config + 23)) 00 00 00 00 00 00 00 00
    refuses_patch "a huge stack" "" $((config + 23)) 00 00 00 00 00 00 ff 7f
    refuses_patch "an odd stack address" "multiple" $((config + 31)) 01 01 00 00 00 01 00 00 00
    refuses_patch "a boot info in the null page" "in use" $((config + 49)) 01
    refuses_patch "a kernel base" "not offered" $((config + 40)) 01
    refuses_patch "a framebuffer address" "not offered" $((config + 58)) 01
    refuses_patch "random addresses" "not offered" $((config + 87)) 01
    kernel_refuses_patch "a stack of twice the size" "boot stack" $((config + 25)) 02
    kernel_refuses_patch "physical memory in another place" "physical memory" $((config + 73)) 80
    kernel_refuses_patch "a dynamic range from elsewhere on" "not given to it" $((config + 96)) 00
}

# A kernel whose first instruction is `ud2` has no IDT yet.
early_fault() {
    local entry vaddr offset
    entry=$(number 24 8) vaddr=$(number $((text_header + 16)) 8)
    offset=$(number $((text_header + 8)) 8)
    # od prints unsigned, the shell subtracts modulo 2^64: the difference is right.
    patched $(((entry - vaddr) + offset)) 0f 0b
    refuses "a fault at the kernel's first instruction" "invalid opcode" "$dir/patched"
}

# One bit in the headers: whatever it does, something must be said, and the machine must end.
flips() {
    local total=$((64 + 56 * phnum)) step i at bit byte bad=0
    step=$((total / 40))
    for ((i = 0; i < total; i += step)); do
        at=$((i < 64 ? i : phoff + i - 64)) bit=$((i / step % 8))
        # The entry point moved within the code is a valid file, and may do anything.
        [ $at -ge 24 ] && [ $at -lt 32 ] && continue
        byte=$(($(number $at 1) ^ (1 << bit)))
        patched $at "$(printf '%02x' $byte)"
        run "$dir/patched"
        [ "$end" = "exit 0" ] || { [ "$end" = "exit 2" ] && [ -n "$text" ]; } || {
            bad=1; break
        }
    done
    check "any bit of the headers (byte $at, bit $bit was the last)" $bad
}

# Files that stand alone are checked on the host: the arithmetic of memory ranges against a model,
# the walk over Multiboot2's tags with all that may be wrong, GRUB's quoting against its inverse.
on_the_host() {
    local name
    end="on the host" text=
    for name in ranges multiboot2/tags multiboot2/quoting; do
        rustc --edition 2024 --test -A dead_code -o "$dir/tests" "${0%/*}/src/$name.rs" \
            >"$dir/console" 2>"$dir/errors" && "$dir/tests" >"$dir/console" 2>&1
        check "the tests in $name.rs" $?
    done
}

on_the_host
machines
files
headers
configuration
early_fault
flips
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/usr/bin/env bash
# Tests of run-qemu.sh with guests that need no kernel: options, the kernel command line, exit
# statuses, the time limit and signals. A `cargo` of their own gives it the guest as boot stage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
passed=0 failed=0

cat >"$dir/cargo" <<'SCRIPT'
#!/bin/sh
echo "{\"executable\":\"$GUEST\"}"
SCRIPT
chmod +x "$dir/cargo"
touch "$dir/image" "$dir/image.iso"
number=0
for guest in ends ends-without-status triple-faults echoes hangs; do
    number=$((number + 1))
    as --32 --defsym END=$number -o "$dir/guest.o" .ci/guest.S
    ld -m elf_i386 --build-id=none -Ttext=0x100000 --section-start=.note.pvh=0x101000 \
        -o "$dir/$guest" "$dir/guest.o"
done

result() { # NAME TRUTH-COMMAND...
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s (status %s)\n' "$name" "$status"
        sed 's/^/    /' "$dir/out" "$dir/err"
    fi
}

# Runs run-qemu.sh with that guest; the status, its output and its errors are left behind.
boot() { # GUEST ARGS...
    local guest=$dir/$1
    shift
    status=0
    GUEST=$guest PATH="$dir:$PATH" ./run-qemu.sh "$@" </dev/null \
        >"$dir/out" 2>"$dir/err" || status=$?
}

refused() { # PATTERN ARGS...: status 2 and one line with the pattern
    local pattern=$1
    shift
    boot ends "$@"
    # shellcheck disable=SC2317 # called through result
    is_refusal() {
        [[ $status == 2 && $(wc -l <"$dir/err") == 1 && $(<"$dir/err") =~ $pattern ]]
    }
    result "refuses $*" is_refusal
}

ended() { # STATUS PATTERN-OF-STDERR: and the console is all there
    local want=$1 pattern=$2
    # shellcheck disable=SC2317 # called through result
    is_ended() {
        [[ $status == "$want" && $(<"$dir/out") == hello && $(<"$dir/err") =~ $pattern ]]
    }
    result "$3" is_ended
}

appended() { # WANTED ARGS...: the command line that QEMU gets, as --verbose shows it
    local want=$1 got
    shift
    boot ends --verbose "$@"
    got=$(sed -n 's/.* -append //p' "$dir/err")
    # shellcheck disable=SC2317 # called through result
    is_appended() { [[ $got == "$(printf '%q' "$want")" && $status == 7 ]]; }
    result "appends $want" is_appended
}

refused "unknown option '--bogus'" --bogus
refused 'needs a value' --smp
refused 'smp must be' --smp=0
refused 'smp must be' --smp 256
refused 'mem must be' --mem 512
refused 'accel must be' --accel xen
refused 'machine must be' --machine isapc
refused 'replay must be' --replay 18446744073709551616
refused 'timeout must be' --timeout 1.5
refused 'no image' /nonexistent
refused 'gdb-port must be' --gdb-port 65536
refused 'no boot stage' --stage /nonexistent
refused 'no folder' --files /nonexistent
refused 'no folder' --trace /nonexistent/trace.out
refused "a file's name" --trace '/tmp/a trace'
refused 'leave --icount out' --replay 1 --icount
refused 'use --accel tcg' --icount --accel kvm
refused 'not there yet' --net
refused 'cpu must be' --cpu '-smp 9'
refused 'boot must be' --boot grub
refused 'has no firmware' --boot uefi --machine microvm
refused 'boots no disk' --boot pvh "$dir/image.iso"
refused 'in it' "$dir/image.iso" -- sched=single
refused 'in it' --replay 1 "$dir/image.iso"
refused 'not of' --iso "$dir/new.iso" "$dir/image.iso"
refused 'leave --boot out' --iso "$dir/new.iso" --boot bios
refused 'cannot write' --iso /nonexistent/new.iso
BOOT=disk refused 'boot must be'
ISO=$dir refused 'cannot write'
SMP=four refused 'smp must be'
ICOUNT=yes refused 'ICOUNT must be 0 or 1'
CMDLINE='run="ps' refused 'quote that does not end'

appended 'run=exit' "$dir/image"
appended 'args="--exact '\''a b'\''" run=exit' "$dir/image" --exact 'a b'
appended 'sched=single run="ps; exit"' "$dir/image" -- sched=single run=ps
appended 'sched=single run="ps; exit"' -- sched=single 'run="ps"'
appended 'run=exit trace=a.trace' --trace "$dir/a.trace"
appended 'slice_us=100 run=exit seed=7' --replay 7 -- slice_us=100 run=
CMDLINE='gomaxprocs=2 traceback="all"' appended 'gomaxprocs=2 traceback="all" run=exit'

for machine in q35 pc microvm; do
    boot ends --machine "$machine" --smp 3 --mem 64M
    ended 7 '^$' "gives the guest's status on $machine"
done
boot ends --icount
ended 7 '^$' 'gives the status under --icount'
boot ends --replay 5
ended 7 '^$' 'gives the status under --replay'
boot ends-without-status
ended 125 'without an exit status' 'sees a missing status'
boot triple-faults
ended 125 'triple fault' 'names a triple fault'
boot hangs --timeout 1 --smp 2
ended 124 'CPU#1' 'shows all registers at the time limit'
# The monitor must come through although all else waits for the CPUs there (replay.c).
boot hangs --timeout 1 --smp 2 --replay 1
ended 124 'CPU#1' 'shows all registers of a replay at the time limit'

# GRUB says things of its own before the guest.
boots_by() { # FIRMWARE ARGS...
    local firmware=$1
    shift
    boot ends --timeout 60 "$@"
    # shellcheck disable=SC2317 # called through result
    is_booted() { [[ $status == 7 && $(tail -n 1 "$dir/out") == *hello ]]; }
    result "boots through GRUB by $firmware: $*" is_booted
}
for machine in q35 pc; do
    boots_by BIOS --boot bios --machine "$machine" --mem 64M "$dir/image"
    boots_by UEFI --boot uefi --machine "$machine" "$dir/image"
done
boot ends --iso "$dir/new.iso" "$dir/image" -- "run=echo it's \"so\"; exit" trace=off
result 'writes a disk image and boots nothing' \
    test "$status-$(<"$dir/err")" = "0-run-qemu.sh: wrote $dir/new.iso"
xorriso -osirrox on -indev "$dir/new.iso" -extract /boot/grub/grub.cfg "$dir/grub.cfg" \
    >"$dir/out" 2>"$dir/err"
# What GRUB makes of it is undone by the boot stage: boot-matrix.sh boots such a line.
result 'gives the kernel command line to GRUB in its quotes' grep -qxF \
    "    multiboot2 /boot/gosched-boot 'run=\"echo it'\\''s \\\"so\\\"; exit\"' 'trace=off'" \
    "$dir/grub.cfg"
boots_by BIOS "$dir/new.iso"
boots_by UEFI --boot uefi "$dir/new.iso"
BOOT=uefi boots_by UEFI "$dir/new.iso"
boot ends --cpu qemu64 --verbose
result 'takes a CPU model' grep -q -- '-cpu qemu64 ' "$dir/err"

# On a terminal the guest gets what is typed, Ctrl-C too; Ctrl-A x ends the machine.
boot_on_terminal() {
    status=0
    { sleep 1 && printf 'typed\003more' && sleep 1 && printf '\001x'; } |
        GUEST=$dir/echoes PATH="$dir:$PATH" script --quiet --return --command ./run-qemu.sh \
            /dev/null >"$dir/out" 2>"$dir/err" || status=$?
}
boot_on_terminal
result 'is a console on a terminal' grep -q typed "$dir/out"
result 'leaves Ctrl-C to the guest' grep -q more "$dir/out"
result 'ends by Ctrl-A x on a terminal' test "$status" = 130

boot_and_signal() {
    GUEST=$dir/hangs PATH="$dir:$PATH" ./run-qemu.sh </dev/null >"$dir/out" 2>"$dir/err" &
    local script=$!
    sleep 1
    kill -TERM "$script"
    status=0
    wait "$script" || status=$?
}
boot_and_signal
ended 143 '' 'ends QEMU when it is ended'

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))

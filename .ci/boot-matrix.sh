#!/usr/bin/env bash
# Boots the default image on every kind of machine that QEMU emulates here, by each loader and with
# more and less of a CPU, and wants the same from all: .ci/boot-matrix.sh
#
# The image's tour is the self-test: it runs all parts of the scheduler, and panics where a result
# is wrong. Its transcript has to be that of the first machine, line for line, but for figures and for
# what the banner says of the machine, which is shown here. A machine that cannot do is refused
# with one line and status 2, as fast as others boot.
#
# Each row is a kind of machine that would otherwise be tried by nobody: a boot stage that hands out
# memory in which GRUB left something, a kernel that needs a timer, a table or an instruction that
# only one of them has, or a feature that is taken for granted, fails in its row.
# Not tried, as it cannot be here: KVM and real machines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/truths.sh
. .ci/truths.sh
log=$dir/log

image=$(.ci/executables.sh build --package gosched --bin gosched)
readonly CPUS=4
# GRUB cuts words and quotes them in its own way; the kernel prints what it got. run-qemu.sh adds
# `run=exit` where it does not write a disk.
words=('args=it'\''s "so" \ ok' slice_us=9999)

# Boots; leaves behind status, the console without what firmware and GRUB say before the image's
# first line in $dir/out, and what QEMU says in $dir/err.
boot() { # OPTIONS...
    status=0
    ./run-qemu.sh --timeout 60 --smp "$CPUS" "$@" </dev/null >"$dir/all" 2>"$dir/err" || status=$?
    sed -n '/^gosched/,$p' "$dir/all" >"$dir/out"
    cat "$dir/all" "$dir/err" >"$log"
}

# The transcript with figures as #, and of the banner only what all machines have in common.
plain() {
    sed -E -e '/^   (seed|boot) /d' -e '/^   memory /d' -e '/^   clock /d' \
        -e "s/(cpus +$CPUS of $CPUS run:).*/\1/" \
        -e '/^   (options|cpus) /!s/[0-9]+(\.[0-9]+)?(ns|us|ms|s)?/#/g' -e 's/ +/ /g' "$dir/out"
}

facts() { # What the banner says of the machine: CPU, clock, memory.
    sed -nE 's/^   (cpus|clock|memory) +//p' "$dir/out" | paste -sd ';' | sed 's/;/; /g'
}

boots() { # NAME OPTIONS...
    local name=$1
    shift
    boot "$@"
    plain >"$dir/plain"
    [[ -s $dir/wanted ]] || cp "$dir/plain" "$dir/wanted"
    # shellcheck disable=SC2317 # called through result
    is_the_same() {
        ((status == 0)) && grep -q '^End of the tour .* every result was right\.$' "$dir/out" &&
            grep -qF "   cpus       $CPUS of $CPUS run" "$dir/out" &&
            diff "$dir/wanted" "$dir/plain" >>"$log"
    }
    result "$name" is_the_same
    printf '%-50s %s\n' "$name" "$(facts)"
}

refuses() { # NAME TEXT OPTIONS...
    local name=$1 text=$2
    shift 2
    boot "$@"
    # shellcheck disable=SC2317 # called through result
    is_refusal() {
        ((status == 2)) && [[ $(<"$dir/out") == gosched*"$text"* && $(wc -l <"$dir/out") == 1 ]]
    }
    result "$name" is_refusal
    printf '%-50s %s\n' "$name" "refused: $(head -n 1 "$dir/out")"
}

# Whether this QEMU's TCG has a feature at all.
offers() { # FEATURE
    timeout 10 qemu-system-x86_64 -nodefaults -display none -accel tcg -S -monitor stdio \
        -cpu "max,+$1,enforce" <<<quit >/dev/null 2>&1
}

# Boots with a feature of the default CPU taken away; says so where there is none to take.
without() { # FEATURE NAME
    if offers "$1"; then
        boots "q35 by PVH, CPU max without $2" --cpu "max,-$1" "$image" -- "${words[@]}"
    else
        printf '%-50s %s\n' "$2" \
            "not offered by this QEMU's TCG: all rows are without it, and none is with it"
        absent+=("$2")
    fi
}

# The transcript all others are compared with comes first.
for machine in q35 pc microvm; do
    boots "$machine by PVH" --machine "$machine" "$image" -- "${words[@]}"
done

disk=$dir/disk.iso
./run-qemu.sh --iso "$disk" "$image" -- "${words[@]}" run=exit 2>"$log"
for machine in q35 pc; do
    boots "$machine by GRUB from a disk, BIOS" --machine "$machine" "$disk"
    boots "$machine by GRUB from a disk, UEFI" --machine "$machine" --boot uefi "$disk"
done

boots "q35 by PVH, CPU qemu64" --cpu qemu64 "$image" -- "${words[@]}"
boots "q35 by GRUB, UEFI, CPU qemu64" --cpu qemu64 --boot uefi "$disk"
offers nx || { echo 'QEMU does not tell which features it has' >&2; exit 1; }
absent=()
without x2apic x2APIC
without tsc-deadline TSC-deadline
without fsgsbase FSGSBASE
without invtsc 'an invariant TSC'
# All that the boot stage or the kernel asks CPUID for and can do without, and more.
bare='max,-fsgsbase,-pdpe1gb,-smep,-smap,-erms,-rdrand,-rdseed,-la57,-rdtscp,-xsave'
boots 'q35 by PVH, CPU max, bare' --cpu "$bare" "$image" -- "${words[@]}"
boots "pc by GRUB, BIOS, CPU max, bare" --machine pc --cpu "$bare" "$disk"

refuses 'q35 by PVH, CPU max without NX' 'no no-execute bit (NX)' --cpu max,-nx "$image"
refuses 'q35 by GRUB, BIOS, CPU max without NX' 'no no-execute bit (NX)' --cpu max,-nx "$disk"
refuses 'pc by PVH, CPU qemu64 without NX' 'no no-execute bit (NX)' --machine pc \
    --cpu qemu64,-nx "$image"
refuses 'q35 by PVH, CPU qemu32' 'no 64-bit mode' --cpu qemu32 "$image"
refuses 'q35 by GRUB, BIOS, CPU qemu32' 'no 64-bit mode' --cpu qemu32 "$disk"

printf 'not tried: KVM, real machines%s\n' "$(printf ', %s' "${absent[@]/%/ (on)}")"
sum_up

#!/usr/bin/env bash
# Faults made on purpose (`faults=`, kernel/src/base/faults.rs): interrupts that are lost, doubled or
# for nothing, NMIs, late timers, a CPU that does not start, memory that is refused.
#
#     .ci/injected.sh [STEP [FIRST]]      every STEPth block and frame from FIRST on is refused in
#                                         turn; 24 and 1 if not given, 1 for all (some 30 minutes)
#
# Each boot of `everything` must end in correct work or in one report that says what is wrong.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
step=${1:-24} first=${2:-1}
image=$(.ci/executables.sh build --package gosched --example everything)

all_right() { # the lines of `everything`
    printf '%s: right\n' goroutines channels selects timers locks groups locals everything
}

# ---- The machine ---------------------------------------------------------------------------------

for faults in lost:30 doubled:50 spurious:50 nmi:20 late:30 \
    lost:5,doubled:10,spurious:20,nmi:10,late:10; do
    for cpus in 2 4 8; do
        SMP=$cpus ends 0 -- "faults=$faults" < <(all_right)
    done
done
# One CPU has nobody who could see it asleep, and is interrupted by itself alone.
SMP=1 ends 0 -- faults=lost:100,spurious:50,nmi:50,late:50 < <(all_right)
for mode in sched=global preempt=coop chaos=30; do
    ends 0 -- faults=lost:5,doubled:10,spurious:20,nmi:10,late:10 "$mode" < <(all_right)
done
for absent in 1 2 3; do
    ends 0 -- "faults=absent:$absent" < <(
        echo "runtime: CPU $absent stays off: CPU $absent (APIC id $absent) did not start within * ms"
        all_right
    )
done

# The calls that got lost were missed by somebody who called again.
kernel=$(.ci/executables.sh build --package gosched --bin gosched)
image=$kernel boot -- faults=lost:60 'run="run crowd 100 1; run ring 100 20; irq; exit 0"'
again=$(sed -n 's/^CPUs called again that had not woken up: //p' "$dir/out")
why=''
((status == 0 && ${again:-0} > 0)) || why="status $status, called again: '${again:-}'"
result "lost calls are repeated (${again:-0} times)" "$why"

# ---- Memory --------------------------------------------------------------------------------------

# What may come of a refusal: all is right, with or without a line that says what there was no memory
# for; or the end, by Go's report or, during boot, by one line.
judge() { # NAME
    local last
    last=$(tail -n 1 "$dir/out")
    why=''
    case $status in
    0) [[ $last == 'everything: right' ]] || why="status 0 without 'everything: right'" ;;
    2)
        if grep -q '^fatal error: out of memory$' "$dir/out"; then
            [[ $last == 'gosched: m='* ]] || why='the report has no end'
            (($(grep -c '^fatal error: ' "$dir/out") == 1)) || why='more than one report'
        else
            [[ $last == 'gosched: not enough memory for '* ]] || why='no report'
        fi
        ;;
    *) why="status $status" ;;
    esac
    ! grep -q '^panic: ' "$dir/out" || why='a panic in place of a report'
    result "$1" "$why"
}

# Refuses the requests of one kind in turn, alone and with all later ones. The end is where those are
# no longer missed: the program asks for no more than that.
refuse() { # KIND
    local n boots=0
    for ((n = first; n < 5000; n += step)); do
        boot -- "faults=$1:$n" seed=1
        judge "faults=$1:$n (status $status)"
        boot -- "faults=$1:$n+" seed=1
        judge "faults=$1:$n+ (status $status)"
        boots=$((boots + 2))
        ((status != 0)) || break
    done
    if ((status != 0)); then result "the end of $1s" 'not found'; fi
    printf 'runs with a refused %s: %d\n' "$1" "$boots"
}
export SMP=2 MEM=64M
refuse block
refuse frame

sum_up

#!/usr/bin/env bash
# The scheduler's tests under every scheduler and every kind of preemption, and on a machine with
# faults.
#
#     .ci/modes.sh [--all]
#
# The tests read the mode and assert what must hold in it. Each suite is run under one of two
# schedulers, with one of two kinds of preemption, and every other one with short slices; --all: under
# all of them. soak draws modes at random; sweep.sh has chaos.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
smp=${SMP:-4}
step=2
if [[ ${1:-} == --all ]]; then
    step=1
elif (($# > 0)); then
    echo 'usage: .ci/modes.sh [--all]' >&2
    exit 2
fi
# shellcheck source=.ci/suites.sh
source .ci/suites.sh

run() { # COMMAND-LINE SUITE...
    local line=$1 tests=()
    shift
    for suite in "$@"; do tests+=(--test "$suite"); done
    printf '%s\n' "-- $line"
    SMP=$smp CMDLINE=$line cargo test --package gosched "${tests[@]}" --no-fail-fast
}

# Every second of the suites, from the first or the second on, or all of them; but for those that do
# not hold in this mode.
run_some() { # COMMAND-LINE 0|1 [UNFIT...]
    local line=$1 first=$2 all=("${mode_suites[@]}" spawn time preempt) fit=() i
    shift 2
    for ((i = first % step; i < ${#all[@]}; i += step)); do
        [[ " $* " == *" ${all[i]} "* ]] || fit+=("${all[i]}")
    done
    run "$line" "${fit[@]}"
}

status=0
run_some 'sched=global' 0 || status=1
run_some 'sched=single' 1 || status=1
run_some 'preempt=coop' 1 spawn time || status=1
run_some 'preempt=off' 0 spawn time || status=1
run_some 'slice_us=200' 0 spawn preempt || status=1
# A machine that does nothing right; what measures time has no chance there.
run 'faults=lost:2,doubled:10,spurious:20,nmi:5,late:5' "${mode_suites[@]}" || status=1
exit "$status"

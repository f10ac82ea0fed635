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

# Every second of the suites, from the first or the second on; or all of them.
some() { # 0|1 SUITE...
    local first=$1 i
    shift
    for ((i = first % step + 1; i <= $#; i += step)); do printf '%s\n' "${!i}"; done
}

status=0
all=("${mode_suites[@]}" spawn time preempt)
mapfile -t even < <(some 0 "${all[@]}")
mapfile -t odd < <(some 1 "${all[@]}")
run 'sched=global' "${even[@]}" || status=1
run 'sched=single' "${odd[@]}" || status=1
run 'preempt=coop' "${odd[@]}" || status=1
run 'preempt=off' "${even[@]}" || status=1
run 'slice_us=200' "${even[@]}" || status=1
# A machine that does nothing right; what measures time has no chance there.
run 'faults=lost:2,doubled:10,spurious:20,nmi:5,late:5' "${mode_suites[@]}" || status=1
exit "$status"

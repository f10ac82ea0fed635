#!/usr/bin/env bash
# The scheduler's tests under every scheduler and every kind of preemption, on a machine with faults,
# and with chaos.
#
# The tests read the mode and assert what must hold in it. Each suite is run with chaos once, with
# one of three seeds; other pairs of suite and seed are for sweep.sh and soak.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
smp=${SMP:-4}
# shellcheck source=.ci/suites.sh
source .ci/suites.sh

run() { # COMMAND-LINE SUITE...
    local line=$1 tests=()
    shift
    for suite in "$@"; do tests+=(--test "$suite"); done
    printf '%s\n' "-- $line"
    SMP=$smp CMDLINE=$line cargo test --package gosched "${tests[@]}" --no-fail-fast
}

status=0
run 'sched=global' "${mode_suites[@]}" spawn time preempt || status=1
run 'sched=single' "${mode_suites[@]}" spawn time preempt || status=1
run 'preempt=coop' "${mode_suites[@]}" preempt || status=1
run 'preempt=off' "${mode_suites[@]}" preempt || status=1
run 'slice_us=200' "${mode_suites[@]}" time || status=1
# A machine that does nothing right; what measures time has no chance there.
run 'faults=lost:2,doubled:10,spurious:20,nmi:5,late:5' "${mode_suites[@]}" || status=1
all=("${mode_suites[@]}" time)
for seed in 1 2 3; do
    third=()
    for ((i = seed - 1; i < ${#all[@]}; i += 3)); do third+=("${all[i]}"); done
    run "chaos=30 seed=$seed" "${third[@]}" || status=1
done
exit "$status"

#!/usr/bin/env bash
# All suites with chaos, each seed a run that can be had again bit for bit (--replay).
#
#     .ci/chaos.sh [FIRST [LAST [CPUS [SUITE...]]]]      seeds 1 to 3 and 4 CPUs if not given
#
# 30 percent of the safe points yield, and steals and wake-ups are shuffled, all from the seed. Time
# slices are short: one CPU runs at a time here, and those that wait for another wait for its slice.
# A failure names the seed and the command that brings it back.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
first=${1:-1} last=${2:-${1:-3}} cpus=${3:-4}
suites=()
for suite in "${@:4}"; do suites+=(--test "$suite"); done

words='chaos=30 slice_us=300'
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

status=0
for ((seed = first; seed <= last; seed++)); do
    start=$SECONDS
    if REPLAY=$seed SMP=$cpus CMDLINE=$words cargo test --no-fail-fast "${suites[@]}" >"$log" 2>&1; then
        verdict=ok
    else
        verdict=FAILED
        status=1
        cat "$log"
    fi
    awk -v seed="$seed" -v verdict="$verdict" -v s="$((SECONDS - start))" '
        /^test result: / { suites++; passed += $4; failed += $6 }
        END { printf "test seed %d ... %s: %d suites, %d passed, %d failed, %d s\n",
              seed, verdict, suites, passed, failed, s }' "$log"
    if [[ $verdict == FAILED ]]; then
        printf 'again: REPLAY=%d SMP=%d CMDLINE="%s" cargo test --test SUITE\n' \
            "$seed" "$cpus" "$words"
    fi
done
exit "$status"

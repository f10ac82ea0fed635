#!/usr/bin/env bash
# All suites again and again, with 1, 2, 4 and 8 CPUs:
#
#     .ci/soak.sh [ROUNDS [ARGUMENT...]]      20 rounds if not given; the arguments are the suites'
#     SUITES="chan coro" .ci/soak.sh          these suites only
#
# Ends at the first failure, whose log it shows. One line for each round and number of CPUs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-20}
suites=()
for suite in ${SUITES:-}; do suites+=(--test "$suite"); done

log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

for ((round = 1; round <= rounds; round++)); do
    for cpus in 1 2 4 8; do
        start=$SECONDS
        if ! SMP=$cpus cargo test --no-fail-fast "${suites[@]}" -- --nocapture "${@:2}" >"$log" 2>&1; then
            cat "$log"
            printf 'round %d with %d CPUs FAILED\n' "$round" "$cpus"
            exit 1
        fi
        awk -v round="$round" -v cpus="$cpus" -v s="$((SECONDS - start))" '
            /^test result: / { suites++; passed += $4; failed += $6 }
            END { printf "round %d, %d CPUs: %d suites, %d passed, %d failed, %d s\n",
                  round, cpus, suites, passed, failed, s }' "$log"
    done
done

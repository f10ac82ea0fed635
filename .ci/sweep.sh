#!/usr/bin/env bash
# The suites with chaos, each seed a run that can be had again bit for bit (--replay).
#
#     .ci/sweep.sh [--spread] [FIRST [LAST [CPUS [SUITE...]]]]   seeds 1 to 3, 4 CPUs, all suites
#
# --spread runs each suite with one of the seeds, in turns, so that each is run once. JOBS is how
# many run at a time (as many as the host has CPUs: each takes one, and no run sees the others).
# CMDLINE replaces the kernel's words: 30 percent of the safe points yield, and steals and wake-ups
# are shuffled, all from the seed; time slices are short, since one CPU runs at a time here, and
# those that wait for another wait for its slice.
#
# What fails is kept in target/failures/SEED-CPUS-SUITE with its trace and all it takes to have it
# again, which is tried at once; .ci/shrink.sh makes it smaller.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
default='chaos=30 slice_us=300'
read -ra given <<<"${CMDLINE-$default}"
jobs=${JOBS:-$(nproc)}
# shellcheck source=.ci/suites.sh
source .ci/suites.sh

# One run, in a process of its own.
if [[ ${1:-} == --one ]]; then
    copies=$2 suite=$5
    options=(--smp "$3" --replay "$4" --timeout 600) words=("${given[@]}")
    suite_arguments "$3"
    run=$copies/runs/$4-$suite
    if ! run_suite "$run"; then
        keep_failure "$run"
        printf 'FAILED %s, seed %d, %d CPUs: %s; had again: %s; %s/again\n' \
            "$suite" "$4" "$3" "$(verdict "$run")" "$again" "$kept"
    fi
    counts "$run" >"$run.counts"
    rm -rf -- "$run"
    exit
fi

spread=0
if [[ ${1:-} == --spread ]]; then
    spread=1
    shift
fi
first=${1:-1} last=${2:-${1:-3}} cpus=${3:-4}
if [[ ! $first$last$cpus =~ ^[0-9]+$ ]]; then
    echo 'usage: .ci/sweep.sh [--spread] [FIRST [LAST [CPUS [SUITE...]]]]' >&2
    exit 2
fi
dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
copy_suites "$dir" "${@:4}"
mkdir "$dir/runs"
export CMDLINE="${given[*]}"

# Runs the tasks of stdin, "SEED SUITE" each, and sums up. Adds to passed and failed.
passed=0 failed=0
run_all() { # NAME
    local start=$SECONDS ok bad n
    xargs -r -P "$jobs" -L 1 .ci/sweep.sh --one "$dir" "$cpus"
    read -r n ok bad < <(cat "$dir"/runs/*.counts |
        awk '{ ok += $1; bad += $2 } END { print NR, ok, bad }')
    rm -- "$dir"/runs/*.counts
    printf '%s, %d CPUs: %d suites, %d passed, %d failed, %d s\n' \
        "$1" "$cpus" "$n" "$ok" "$bad" "$((SECONDS - start))"
    passed=$((passed + ok)) failed=$((failed + bad))
}

if ((spread)); then
    seed=$first
    for suite in "${suites[@]}"; do
        printf '%d %s\n' "$seed" "$suite"
        seed=$((seed < last ? seed + 1 : first))
    done >"$dir/tasks"
    run_all "seeds $first to $last in turns" <"$dir/tasks"
else
    for ((seed = first; seed <= last; seed++)); do
        printf "$seed %s\n" "${suites[@]}" >"$dir/tasks"
        run_all "seed $seed" <"$dir/tasks"
    done
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))

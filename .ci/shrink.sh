#!/usr/bin/env bash
# Makes a failure that is kept in target/failures smaller: fewer tests, fewer CPUs, no chaos, the
# default of each setting, as long as the same test fails. What came out is kept beside it, as
# NAME-small, and its command printed.
#
#     .ci/shrink.sh FOLDER [SEEDS]
#
# Each setting is tried as a replay with the seed that failed and then with 1, 2, 3 … up to SEEDS (50),
# since a smaller run is another run: a failure that comes from one interleaving in a thousand needs
# more of them. So a failure of a plain run becomes one that is the same each time, if a seed does it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=.ci/suites.sh
source .ci/suites.sh
folder=${1:-} tries=${2:-50}
if [[ ! -f $folder/setting || ! $tries =~ ^[1-9][0-9]{0,3}$ ]]; then
    echo 'usage: .ci/shrink.sh FOLDER [SEEDS], with a folder of target/failures' >&2
    exit 2
fi
folder=${folder%/}
# shellcheck source=/dev/null
source "$folder/setting"

dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
# The kept image and not a new one: what is looked for is in it.
copies=$dir
mkdir "$dir/images"
cp -- "$folder/run-qemu.sh" "$folder/replay.c" "$folder/boot" "$dir/"
cp -- "$folder/image" "$dir/images/$suite"

wanted=$(failed_test "$folder")
wanted_status=$(<"$folder/status")
printf '%s: %s\n' "$folder" "$(verdict "$folder")"

# What the options say, as numbers; all else is dropped at once or stays.
smp=4 seed=1 rest=()
for ((i = 0; i < ${#options[@]}; i += 2)); do
    case ${options[i]} in
    --smp) smp=${options[i + 1]} ;;
    --replay) seed=${options[i + 1]} ;;
    *) rest+=("${options[@]:i:2}") ;;
    esac
done
for word in "${words[@]}"; do [[ $word != seed=* ]] || seed=${word#seed=}; done

without() { # KEY: sets words_left
    local word
    words_left=()
    for word in "${words[@]}"; do [[ $word == "$1="* ]] || words_left+=("$word"); done
}
without seed
words=("${words_left[@]}")

# Whether this run fails as the first did: the same test, or, where no test was named, by the same
# status.
fails_alike() { # FOLDER
    local status
    status=$(<"$1/status")
    ((status != 0)) || return
    if [[ -n $wanted ]]; then
        [[ $(failed_test "$1") == "$wanted" ]]
    else
        ((status == wanted_status))
    fi
}

# Tries what the variables say, by several seeds. Sets found, a seed.
runs=0
try() { # WHAT
    local candidate
    for candidate in "$seed" $(seq "$tries"); do
        options=(--smp "$smp" --replay "$candidate" "${rest[@]}")
        runs=$((runs + 1))
        rm -rf -- "$dir/run"
        run_suite "$dir/run" || true
        if fails_alike "$dir/run"; then
            seed=$candidate
            printf '%-40s fails, seed %d\n' "$1" "$seed"
            rm -rf -- "$dir/best"
            cp -a -- "$dir/run" "$dir/best"
            return
        fi
    done
    printf '%-40s passes, %d seeds\n' "$1" "$((tries + 1))"
    return 1
}

if ! try 'as it was, as a replay'; then
    echo 'no seed of those tried does it: more of them, or a plain run'
    exit 1
fi

# Whether the test that failed does so without those before it.
alone=0
only_this_test() {
    [[ -n $wanted ]] && ((!alone)) || return 0
    before=("${arguments[@]}")
    arguments=(--nocapture --exact "$wanted")
    if try 'only this test'; then alone=1; else arguments=("${before[@]}"); fi
}

only_this_test
for fewer in 1 2 4; do
    ((fewer < smp)) || break
    more=$smp smp=$fewer
    if try "CPUs: $fewer"; then break; fi
    smp=$more
done
before=("${rest[@]}") rest=(--timeout 600)
[[ ${before[*]} == "${rest[*]}" ]] || try 'the default machine and memory' || rest=("${before[@]}")
for key in chaos sched preempt slice_us; do
    without "$key"
    ((${#words_left[@]} < ${#words[@]})) || continue
    before=("${words[@]}") words=("${words_left[@]}")
    try "without $key" || words=("${before[@]}")
done
# With other settings it may be what it was not before.
only_this_test
# Only said, not kept: a trace is of more use than its absence. If it fails without, the notes are not
# what does it.
cp -a -- "$dir/best" "$dir/small"
words+=(trace=off)
try '(trace=off)' || true

# shellcheck source=/dev/null
source "$dir/small/setting"
keep_failure "$dir/small" "$folder-small"
printf '%d runs; had again: %s; %s-small/again:\n' "$runs" "$again" "$folder"
sed -n 's/^exec //p;s/^    image/    image/p' "$folder-small/again"

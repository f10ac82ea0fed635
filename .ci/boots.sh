# shellcheck shell=bash
# What checks have in common that boot an image and compare its end: sourced, not run. The caller
# sets `image` and stands in the root of the repository.

dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
passed=0 failed=0

# Boots the image, for limit_s seconds at most, or 60; leaves behind status, the console in $dir/out and the runner's words in $dir/err.
boot() { # WORDS... [-- KERNEL-WORDS...]
    status=0
    # shellcheck disable=SC2154 # image is the caller's
    ./run-qemu.sh --timeout "${limit_s:-60}" "$image" "$@" </dev/null >"$dir/out" 2>"$dir/err" || status=$?
}

result() { # NAME WHY: passed if there is no reason why not
    if [[ -z $2 ]]; then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$1"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s: %s\n' "$1" "$2"
        sed 's/^/    /' "$dir/out" "$dir/err"
    fi
}

# Sets why: how the last boot differs from a status and the expected text; empty if it does not.
compare() { # STATUS EXPECTED-FILE
    if ((status != $1)); then
        why="status $status instead of $1"
    else
        why=$(awk -f .ci/transcript.awk "$2" "$dir/out") || true
    fi
}

# One boot: its status, and all that it prints, in the language of transcript.awk.
ends() { # STATUS WORDS... <EXPECTED
    local want=$1 name
    shift
    name="$* ${SMP:+SMP=$SMP }${MEM:+MEM=$MEM }"
    cat >"$dir/expected"
    boot "$@"
    compare "$want" "$dir/expected"
    result "${name% }" "$why"
}

# The closing line, and the status.
sum_up() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}

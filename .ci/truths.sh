# shellcheck shell=bash
# What checks have in common that ask whether something is true of what an image left behind: sourced,
# not run. What went wrong is looked for in $dir/log.

dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
passed=0 failed=0

result() { # NAME TRUTH-COMMAND...
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$name"
        tail -n 30 "$dir/log" | sed 's/^/    /'
    fi
}

# The closing line, and the status.
sum_up() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}

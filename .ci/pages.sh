#!/usr/bin/env bash
# The audit of the page tables and of what the CPUs make of them (kernel/tests/pages.rs), on each
# machine: their firmware and holes differ, and with the memory the size of the pages that map it.
# One check is one boot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
image=$(.ci/executables.sh build --package gosched --test pages | grep /pages-)

audit() { # MACHINE CPUS MEMORY
    status=0
    ./run-qemu.sh --timeout 60 --machine "$1" --smp "$2" --mem "$3" "$image" \
        </dev/null >"$dir/out" 2>"$dir/err" || status=$?
    printf '%s\n' '...' 'test result: ok. * passed; 0 failed; *' '' >"$dir/expected"
    compare 0 "$dir/expected"
    result "$*" "$why"
}

for machine in q35 pc microvm; do
    for cpus in 1 4; do audit "$machine" "$cpus" 512M; done
done
audit q35 8 512M
audit q35 1 24M
# Enough for pages of 1 GiB.
audit q35 2 3G

sum_up

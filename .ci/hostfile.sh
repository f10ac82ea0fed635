#!/usr/bin/env bash
# Files that an image writes over the second serial port (run-qemu.sh --files): kernel/tests/hostfile.rs
# writes them, this looks at what came.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=.ci/truths.sh
source .ci/truths.sh
image=$(.ci/executables.sh build --package gosched --test hostfile | grep deps/hostfile-)

# The contents that the tests write, as the script knows them.
expected() { # K LENGTH
    python3 -c 'import sys
k, n = int(sys.argv[1]), int(sys.argv[2])
sys.stdout.buffer.write(bytes(((i * (k + 3)) ^ (i >> 8)) & 0xff for i in range(n)))' "$1" "$2"
}

for machine in q35 microvm; do
    rm -rf "$dir/out" && mkdir "$dir/out"
    status=0
    ./run-qemu.sh --machine "$machine" --files "$dir/out" "$image" >"$dir/log" 2>&1 || status=$?
    result "the suite passes on $machine" test "$status" = 0
    for k in 0 1 2 3; do
        result "whole-$k on $machine" cmp -s "$dir/out/whole-$k" <(expected "$k" "$((50000 + k))")
    done
    result "the stream on $machine" cmp -s "$dir/out/stream" <(expected 9 60000)
    result "an empty file on $machine" cmp -s "$dir/out/empty" /dev/null
    result "a replaced file on $machine" test "$(<"$dir/out/twice")" = second
    result "nothing else on $machine" test "$(find "$dir/out" -type f | wc -l)" = 7
done

status=0
./run-qemu.sh "$image" >"$dir/log" 2>&1 || status=$?
result 'the suite passes without the port' test "$status" = 0

# A machine that dies amid a file leaves what came, and run-qemu.sh says that it is cut off.
rm -rf "$dir/out" && mkdir "$dir/out"
status=0
./run-qemu.sh --files "$dir/out" "$image" --ignored >"$dir/log" 2>&1 || status=$?
result 'the panic ends the image' test "$status" = 2
result 'the report is whole' grep -q '^gosched: m=' "$dir/log"
result 'what was written is kept' test "$(<"$dir/out/open")" = 'all of it'
result 'a file without its end is named' grep -q "'$dir/out/open' is cut off" "$dir/log"
result 'a file that was amid is named' grep -q "'$dir/out/amid' is cut off" "$dir/log"

sum_up

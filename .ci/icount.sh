#!/usr/bin/env bash
# Instructions per operation of the benchmarks, beside those in kernel/benches/icount.txt: fails if
# one has grown by more than 10 percent (and a whole instruction). `--update` writes the file anew.
#
# Counted by QEMU on one CPU, where each instruction takes 1 ns: the same on every machine, but for
# another compiler. What measures times is not in it (latency.rs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
known=kernel/benches/icount.txt
seen=$(mktemp)
trap 'rm -f -- "$seen"' EXIT

suites=(--bench sched --bench chan --bench sync --bench coro --bench programs)
ICOUNT=1 SMP=1 cargo bench "${suites[@]}" |
    awk '$1 == "BENCH" && $5 == "ns/iter" { gsub(",", ""); printf "%s %s\n", $2, $4 }' |
    sort >"$seen"

case ${1:-} in
--update)
    cp -- "$seen" "$known"
    exit
    ;;
'') ;;
*)
    echo "icount.sh: '$1' is not --update" >&2
    exit 2
    ;;
esac

awk '
    NR == FNR { before[$1] = $2; next }
    {
        now[$1] = $2
        verdict = "ok"
        if (!($1 in before)) verdict = "NOT IN THE FILE"
        else if ($2 > before[$1] * 1.1 && $2 > before[$1] + 1) verdict = "GROWN"
        if (verdict == "ok") passed++; else failed++
        printf "%-28s %12.2f, %12.2f before  %s\n", $1, $2, before[$1], verdict
    }
    END {
        for (name in before) if (!(name in now)) { failed++; print name, "is missing" }
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0
    }' "$known" "$seen"

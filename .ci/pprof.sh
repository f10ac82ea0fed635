#!/usr/bin/env bash
# Profiles as `go tool pprof` sees them: the example `profile`, whose hot spots are known, writes one
# of each kind; pprof must find them by function, file and line, with the kernel's ELF and without.
# Then the shell's command `prof` on the default image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
passed=0 failed=0
go=$(.ci/go.sh)
image=$(.ci/executables.sh build --package gosched --example profile | grep examples/profile)
kernel=$(.ci/executables.sh build --package gosched --bin gosched | grep '/gosched$')

has() { # NAME FILE REGEX: a line of the file matches
    if grep -Eq -- "$3" "$2"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s: no %s in\n' "$1" "$3"
        sed 's/^/    /' "$2" | head -n 40
    fi
}

first_is() { # NAME FILE REGEX: the first row of a -top table matches
    grep -A 1 '^ *flat  flat%' "$2" | tail -n 1 >"$dir/first" || true
    has "$1" "$dir/first" "$3"
}

pprof() { # ARGS...: into $dir/out
    "$go" tool pprof "$@" >"$dir/out" 2>&1 || true
}

for cpus in 1 4; do
    out=$dir/$cpus
    mkdir "$out"
    status=0
    ./run-qemu.sh --smp "$cpus" --timeout 120 --files "$out" "$image" >"$dir/log" 2>&1 || status=$?
    echo "status $status" >>"$dir/log"
    has "the example ends at $cpus" "$dir/log" '^status 0$'

    cpu=$out/cpu.pprof
    for elf in '' "$image"; do
        how="at $cpus${elf:+ with the ELF}"
        pprof -top ${elf:+"$elf"} "$cpu"
        first_is "cpu -top $how" "$dir/out" ' profile::hot$'
        has "cpu -top has the other $how" "$dir/out" ' profile::warm$'
        pprof -lines -top ${elf:+"$elf"} "$cpu"
        first_is "cpu -lines $how" "$dir/out" ' profile::hot kernel/examples/profile\.rs:[0-9]+$'
        pprof -traces ${elf:+"$elf"} "$cpu"
        has "cpu -traces $how" "$dir/out" '^ +[0-9.]+m?s +profile::hot$'
        has "cpu -traces go on $how" "$dir/out" '^ +profile::worker$'
        pprof -tags ${elf:+"$elf"} "$cpu"
        has "cpu -tags $how" "$dir/out" '^ user: Total '
        pprof -list 'profile::hot' ${elf:+"$elf"} "$cpu"
        has "cpu -list $how" "$dir/out" 'sum = black_box\(sum \^ i\);'
        pprof -lines -cum -top ${elf:+"$elf"} "$out/block.pprof"
        has "block $how" "$dir/out" ' profile::hold kernel/examples/profile\.rs:[0-9]+$'
        pprof -lines -cum -top ${elf:+"$elf"} "$out/mutex.pprof"
        has "mutex $how" "$dir/out" '100% +profile::hold kernel/examples/profile\.rs:[0-9]+$'
        pprof -lines -cum -top ${elf:+"$elf"} "$out/goroutine.pprof"
        has "goroutine $how" "$dir/out" ' 5 .* profile::wait_here kernel/examples/profile\.rs:[0-9]+$'
        pprof -tags ${elf:+"$elf"} "$out/goroutine.pprof"
        has "goroutine -tags $how" "$dir/out" '5 \(83.33%\): wait$'
    done

    # The names of the ELF instead of the file's, and the text forms, which have none.
    pprof -symbolize=force -lines -top "$image" "$cpu"
    first_is "cpu by the ELF's own lines at $cpus" "$dir/out" ' hot .*kernel/examples/profile\.rs:[0-9]+'
    pprof -lines -top "$image" "$out/cpu.txt"
    first_is "cpu as text at $cpus" "$dir/out" ' hot .*kernel/examples/profile\.rs:[0-9]+'
    for name in block mutex; do
        pprof -lines -cum -top "$image" "$out/$name.txt"
        has "$name as text at $cpus" "$dir/out" ' hold .*kernel/[a-z/_]+\.rs:[0-9]+'
    done
    pprof -lines -cum -top "$image" "$out/goroutine.txt"
    has "goroutine as text at $cpus" "$dir/out" ' wait_here .*kernel/[a-z/_]+\.rs:[0-9]+'
done

# The shell's command: to files with the port, as text without.
commands='run hog & ; prof block on ; prof cpu 1 ; prof cpu 0.5 200 fast ; prof goroutine ; prof block'
commands+=' ; prof cpu 1 a/b ; prof cpu 0 ; prof cpu 1 99999 ; prof nothing ; exit 0'
mkdir "$dir/shell"
./run-qemu.sh --smp 2 --timeout 120 --files "$dir/shell" "$kernel" -- "run=\"$commands\"" \
    >"$dir/log" 2>&1 </dev/null || true
has 'the table of the shell' "$dir/log" '^cpu: .* functions'
has 'the file of the shell' "$dir/log" '^written to cpu.pprof: go tool pprof cpu.pprof'
has 'a name that is none' "$dir/log" '^prof: a/b: a file.s name has'
has 'no seconds' "$dir/log" '^prof: a CPU profile takes up to'
has 'too many samples' "$dir/log" '^prof: a CPU profile takes 1 to'
has 'the usage' "$dir/log" '^usage: prof cpu SECONDS'
for file in cpu.pprof fast goroutine.pprof block.pprof; do
    pprof -top "$dir/shell/$file"
    has "$file of the shell" "$dir/out" '^File: gosched'
done
./run-qemu.sh --smp 2 --timeout 120 "$kernel" -- 'run="run hog & ; prof cpu 1 ; prof cpu 1 x ; exit 0"' \
    >"$dir/log" 2>&1 </dev/null || true
has 'text on the console' "$dir/log" '^cpu profile: total [0-9]+'
has 'no port' "$dir/log" '^prof: x: no second serial port'
sed -n '/^cpu profile: total/,/^prof: x/p' "$dir/log" | grep -v '^prof: x' >"$dir/console.txt" || true
pprof -top "$kernel" "$dir/console.txt"
has 'text from the console' "$dir/out" '^Type: cpu'

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))

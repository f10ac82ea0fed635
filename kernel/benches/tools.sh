# shellcheck shell=bash
# Sourced: has Debian's packages installed whose programs are missing.

install_missing() { # PROGRAM=PACKAGE...
    local pair packages=() as_root=()
    for pair; do
        command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
    done
    ((${#packages[@]} > 0)) || return 0
    ((EUID == 0)) || as_root=(sudo -n)
    "${as_root[@]}" apt-get update --quiet >&2
    "${as_root[@]}" apt-get install --yes --quiet --no-install-recommends "${packages[@]}" >&2
}

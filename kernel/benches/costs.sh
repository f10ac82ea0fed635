#!/usr/bin/env bash
# What the kernel's own choices cost (schedulers, safe points, tracing): see costs.py --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
packages=()
command -v qemu-system-x86_64 >/dev/null || packages+=(qemu-system-x86)
command -v python3 >/dev/null || packages+=(python3)
if ((${#packages[@]} > 0)); then
    as_root=()
    ((EUID == 0)) || as_root=(sudo -n)
    "${as_root[@]}" apt-get update --quiet >&2
    "${as_root[@]}" apt-get install --yes --quiet --no-install-recommends "${packages[@]}" >&2
fi
exec python3 kernel/benches/costs.py "$@"

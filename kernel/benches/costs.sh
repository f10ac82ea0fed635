#!/usr/bin/env bash
# What the kernel's own choices cost (schedulers, safe points, tracing): see costs.py --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=kernel/benches/tools.sh
source kernel/benches/tools.sh
install_missing qemu-system-x86_64=qemu-system-x86 python3=python3
exec python3 kernel/benches/costs.py "$@"

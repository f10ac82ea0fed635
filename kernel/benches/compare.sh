#!/usr/bin/env bash
# This kernel beside Go on Linux, in the same virtual machine: see compare.py --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=kernel/benches/tools.sh
source kernel/benches/tools.sh
install_missing qemu-system-x86_64=qemu-system-x86 cpio=cpio python3=python3
exec python3 kernel/benches/compare.py "$@"

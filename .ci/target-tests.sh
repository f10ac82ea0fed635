#!/usr/bin/env bash
# The tests on the target, in QEMU with that many CPUs (default 4). All images run, also after one
# has failed, and each test is announced, so that the log of a machine that died says where.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SMP=${1:-4} cargo test --no-fail-fast -- --nocapture

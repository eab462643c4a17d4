#!/usr/bin/env bash
# Kills the broker 200 times at random moments under load and checks every acknowledged record and transaction.
# usage: crash_loop.sh [ROUNDS] [SEED]
set -euo pipefail
exec make -C "$(dirname "$0")/.." crash-loop ROUNDS="${1:-200}" SEED="${2:-}"

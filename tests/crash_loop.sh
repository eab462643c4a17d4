#!/usr/bin/env bash
# Kills the broker 200 times at random moments under an acks=all producer and checks every acknowledged record.
# usage: crash_loop.sh [ROUNDS] [SEED]
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${MAINSTEM_CACHE:-$HOME/.cache/mainstem}/target}
export MAINSTEM_CRASH_ROUNDS=${1:-200}
[ $# -lt 2 ] || export MAINSTEM_CRASH_SEED=$2
cargo build --release --workspace --bin mainstem
cargo test --release --workspace --test crash -- --nocapture

#!/usr/bin/env bash
# Round-trips records with krafka; see src/main.rs. The program is built once into the cache.
#
# Usage: run.sh BOOTSTRAP [RECORDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
export CARGO_TARGET_DIR="$cache/foreign-krafka"
cargo build --release --quiet --manifest-path "$here/Cargo.toml" >&2
exec "$CARGO_TARGET_DIR/release/krafka-round-trip" "${1:?usage: run.sh BOOTSTRAP [RECORDS]}" "${2:-100000}"

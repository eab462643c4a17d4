#!/usr/bin/env bash
# Round-trips records with Confluent's client in Rust; see src/main.rs. The program is built once into the cache.
#
# Usage: run.sh BOOTSTRAP [RECORDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
export CARGO_TARGET_DIR="$cache/foreign-confluent-rust"
cargo build --release --quiet --manifest-path "$here/Cargo.toml" >&2
exec "$CARGO_TARGET_DIR/release/confluent-rust-round-trip" "${1:?usage: run.sh BOOTSTRAP [RECORDS]}" "${2:-100000}"

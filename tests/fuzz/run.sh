#!/usr/bin/env bash
# Runs fuzz targets, coverage-guided, on stable Rust: the passes of LLVM that libFuzzer needs are asked for by name.
# usage: run.sh SECONDS [TARGET...]      all targets without names, one after the other
# Inputs that found new ways are kept in tests/fuzz/corpus/TARGET (small ones belong into the repository), crashes in
# tests/fuzz/crashes/TARGET; a crash becomes a test of the room that it was found in.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?seconds for each target}
shift
[ $# -gt 0 ] || set -- $(basename -s .rs src/bin/*.rs)
export CARGO_TARGET_DIR=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
# With a target named, the flags do not reach build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --release --target "$host"
for target in "$@"; do
    echo "== $target: $seconds s"
    mkdir -p "corpus/$target" "crashes/$target"
    "$CARGO_TARGET_DIR/$host/release/$target" "corpus/$target" -artifact_prefix="crashes/$target/" \
        -max_total_time="$seconds" -timeout=10 -max_len=65536 -print_final_stats=1 -verbosity=0
done

#!/usr/bin/env bash
# Runs fuzz targets, coverage-guided, on stable Rust: the passes of LLVM that libFuzzer needs are asked for by name.
# usage: run.sh SECONDS [TARGET...]      all targets without names, one after the other
# SECONDS are of the processor: beside other work a target gets its share later. What each run did is written down as a
# line of tests/fuzz/crashes/runs.tsv. Inputs that found new ways are kept in tests/fuzz/corpus/TARGET, crashes in
# tests/fuzz/crashes/TARGET; a crash becomes a test of the room that it was found in. `run.sh keep` puts what is worth
# keeping of the corpora into corpus.tar.xz, from which they are unpacked where there are none.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?seconds for each target, or keep}
shift
[ -d corpus ] || [ ! -f corpus.tar.xz ] || tar -xJf corpus.tar.xz
[ $# -gt 0 ] || set -- $(basename -s .rs src/bin/*.rs)
export CARGO_TARGET_DIR=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}/fuzz
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
# zstd is C, and wants to be seen through as well.
export CC=clang CFLAGS="-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp"
# With a target named, the flags do not reach build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --release --target "$host"

if [ "$seconds" = keep ]; then
    kept=$(mktemp -d)
    trap 'rm -rf "$kept"' EXIT
    for target in "$@"; do
        mkdir -p "$kept/corpus/$target" "corpus/$target"
        "$CARGO_TARGET_DIR/$host/release/$target" -merge=1 -timeout=10 -max_len=65536 -verbosity=0 \
            "$kept/corpus/$target" "corpus/$target" > /dev/null 2>&1
    done
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$kept" -cJf corpus.tar.xz corpus
    ls -l corpus.tar.xz
    exit
fi

used() { ps -o cputimes= -p "$1" 2>/dev/null | tr -d ' '; }

for target in "$@"; do
    echo "== $target: $seconds s"
    mkdir -p "corpus/$target" "crashes/$target"
    log=crashes/$target.log
    "$CARGO_TARGET_DIR/$host/release/$target" "corpus/$target" -artifact_prefix="crashes/$target/" \
        -timeout=10 -max_len=65536 -print_final_stats=1 -verbosity=0 > "$log" 2>&1 &
    fuzzer=$!
    spent=0
    while now=$(used "$fuzzer") && [ -n "$now" ]; do
        spent=$now
        [ "$spent" -lt "$seconds" ] || kill -INT "$fuzzer"
        sleep 1
    done
    result=0
    wait "$fuzzer" || result=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    # 72 is how libFuzzer ends when it is interrupted.
    if [ "$result" -ne 72 ]; then
        tail -n 60 "$log"
        echo "$target: found something, see tests/fuzz/crashes/$target" >&2
        exit 1
    fi
    printf '%s\t%s s\t%s inputs\t%s kept\n' "$target" "$spent" "$runs" "$(ls "corpus/$target" | wc -l)" | tee -a crashes/runs.tsv
done

#!/usr/bin/env bash
# Do the oracles of the simulator find bugs? Each file of tests/plants plants one into a copy of the tree; the simulator
# is built with it and run until an oracle notices that must, for at most SEEDS seeds (2000). The head of the file says what
# the bug is and which oracles must find it; seeds in which another one speaks first are passed over and counted. The
# script fails when none of those oracles finds a bug, or when a patch does not apply.
#
#   tests/plants.sh [NAME...]        all plants, or those named
set -uo pipefail
cd "$(dirname "$0")/.."
here=$PWD
seeds=${SEEDS:-2000}
cargo=${CARGO:-cargo}
work=${MAINSTEM_PLANTS:-${MAINSTEM_CACHE:-$HOME/.cache/mainstem}/plants}
export CARGO_TARGET_DIR=$work/target
tree=$work/tree

rm -rf "$tree"
mkdir -p "$tree"
# With their times: what no patch touches is not built again.
git ls-files -z --cached --others --exclude-standard -- . ':!tests/plants' |
    tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract --directory="$tree"

names=("$@")
if [ ${#names[@]} = 0 ]; then
    for patch in tests/plants/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi

failed=0
row() { printf '%-40s %-10s %-16s %-14s %s\n' "$@"; }
row plant "at seed" oracle "others before" "what it says"
for name in "${names[@]}"; do
    patch=$here/tests/plants/$name.patch
    expected=$(sed -n 's/^oracle: //p' "$patch")
    if ! patch --directory="$tree" --strip=1 --forward --fuzz=0 --silent <"$patch" >"$work/log" 2>&1; then
        row "$name" - - - "DOES NOT APPLY"
        cat "$work/log"
        exit 1
    fi
    if ! (cd "$tree" && $cargo build --release --package mainstem-sim --bin simulate) >"$work/log" 2>&1; then
        row "$name" - - - "DOES NOT COMPILE"
        tail -n 40 "$work/log"
        exit 1
    fi
    start=0
    others=0
    found=
    while [ -z "$found" ] && [ "$start" -lt "$seeds" ]; do
        "$CARGO_TARGET_DIR/release/simulate" --seeds $((seeds - start)) --start "$start" >"$work/log" 2>/dev/null
        line=$(grep --text -E '^seed [0-9]+: \[' "$work/log" | tail -n 1)
        [ -n "$line" ] || break
        seed=$(sed -E 's/^seed ([0-9]+): .*/\1/' <<<"$line")
        oracle=$(sed -E 's/^seed [0-9]+: \[([^]]*)\].*/\1/' <<<"$line")
        if grep --quiet --line-regexp --fixed-strings "$oracle" <(tr '|' '\n' <<<"$expected"); then
            found=$line
        else
            others=$((others + 1))
        fi
        start=$((seed + 1))
    done
    if [ -z "$found" ]; then
        row "$name" - - "$others" "NOT FOUND in $seeds seeds by $expected"
        failed=1
    else
        row "$name" "$seed" "$oracle" "$others" "$(sed -E 's/^seed [0-9]+: \[[^]]*\] //' <<<"$found" | cut -c 1-90)"
    fi
    patch --directory="$tree" --strip=1 --reverse --silent <"$patch"
done
exit $failed

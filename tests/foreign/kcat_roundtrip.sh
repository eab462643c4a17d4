#!/usr/bin/env bash
# Round-trips records through a broker with kcat: a producer, a plain consumer, a group that goes on
# where it was, and the list of topics.
#
# Usage: kcat_roundtrip.sh BOOTSTRAP [RECORDS]
#
# Exits with a message and a status that is not zero when anything differs.
set -euo pipefail

bootstrap=${1:?usage: kcat_roundtrip.sh BOOTSTRAP [RECORDS]}
count=${2:-100000}
topic="kcat-$$-$(date +%s%N)"
group="kcat-group-$$-$(date +%s%N)"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "kcat_roundtrip: $*" >&2
    exit 1
}

same() {
    cmp -s "$folder/$1" "$folder/$2" || fail "$3"
}

kcat=$(command -v kcat || command -v kafkacat) || fail "kcat is not installed"
# Nothing here takes this long; it is reached only when something hangs.
run() {
    timeout 120 "$kcat" -q -b "$bootstrap" "$@" || fail "kcat $* has failed"
}

seq 1 "$count" | sed 's/.*/key-&:value-&/' | LC_ALL=C sort >"$folder/written"

# The topic is made by its first use.
run -P -t "$topic" -K: -X compression.codec=snappy -X enable.idempotence=true <"$folder/written"

run -C -t "$topic" -K: -o beginning -e | LC_ALL=C sort >"$folder/read"
same written read "what was read differs from what was written"

run -L -t "$topic" >"$folder/listed"
grep -q "topic \"$topic\" with" "$folder/listed" || fail "the topic is not listed"

# A group reads half, is closed, and its next member reads the rest.
half=$((count / 2))
run -G "$group" -X auto.offset.reset=earliest -X enable.partition.eof=true -K: -c "$half" "$topic" \
    >"$folder/group"
run -G "$group" -X auto.offset.reset=earliest -K: -e "$topic" >>"$folder/group"
LC_ALL=C sort -o "$folder/group" "$folder/group"
same written group "the group did not read every record exactly once"

# From a timestamp that lies in the future nothing is found; from the end, nothing is left.
run -C -t "$topic" -o s@4102444800000 -e >"$folder/future"
[ ! -s "$folder/future" ] || fail "records of the future"
run -C -t "$topic" -o end -e >"$folder/behind"
[ ! -s "$folder/behind" ] || fail "records behind the end"

version=$("$kcat" -V 2>&1 | grep -o 'librdkafka [0-9.]*' || true)
echo "{\"client\": \"kcat\", \"language\": \"C\", \"version\": \"$version\"}"
for what in produce consume groups offsets; do
    echo "{\"checked\": \"$what\", \"records\": $count}"
done

#!/usr/bin/env bash
# Builds librdkafka's own test runner, once, into the cache, and prints the folder it is in.
#
# The sources come with the registry package rdkafka-sys, through cargo, which checks them. What security needs is left
# out: the tests that want it are not applicable here (tests.txt), and the build is shorter.
#
# Usage: build.sh            MAINSTEM_CACHE: where it is kept, by default ~/.cache/mainstem
set -euo pipefail

package="rdkafka-sys"
version="4.10.0+2.12.1"
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
# With a number that is raised when what is changed in the sources below changes.
folder="$cache/librdkafka-${version#*+}-2"

if [ -x "$folder/tests/test-runner" ]; then
    echo "$folder"
    exit
fi

mkdir -p "$cache"
aside=$(mktemp -d "$cache/librdkafka.XXXXXX")
trap 'rm -rf "$aside"' EXIT
log="$aside/build.log"

# A crate without code, whose only dependency is the package.
mkdir -p "$aside/crate/src"
cat >"$aside/crate/Cargo.toml" <<TOML
[package]
name = "librdkafka-sources"
version = "0.0.0"
edition = "2024"
[dependencies]
$package = "=$version"
[workspace]
TOML
: >"$aside/crate/src/lib.rs"
manifest=$(
    cd "$aside/crate"
    cargo metadata --format-version 1 2>>"$log" |
        python3 -c 'import json, sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$package"
) || { cat "$log" >&2; exit 1; }
cp -R "$(dirname "$manifest")/librdkafka" "$aside/built"
chmod -R u+w "$aside/built"
# Some tests ask for three copies of a topic, whatever they are about: they get as many as there are brokers.
sed -i 's/rd_kafka_NewTopic_new(topicname, partition_cnt, replication_factor,/rd_kafka_NewTopic_new(topicname, partition_cnt, -1,/' \
    "$aside/built/tests/test.c"
# Kafka 4 takes no segments of that size.
sed -i 's/"segment.bytes", "20000"/"segment.bytes", "1048576"/' "$aside/built/tests/0129-fetch_aborted_msgs.c"
# A setting of brokers that are not secured has to do for the one of Kerberos that the test changes.
sed -i 's/"sasl.kerberos.min.time.before.relogin"/"log.segment.delete.delay.ms"/' "$aside/built/tests/0081-admin.c"
grep -q '"log.segment.delete.delay.ms"' "$aside/built/tests/0081-admin.c" &&
    grep -q '"1048576"' "$aside/built/tests/0129-fetch_aborted_msgs.c" &&
    grep -q 'partition_cnt, -1,' "$aside/built/tests/test.c" || { echo "the sources of the tests have changed" >&2; exit 1; }

echo "building librdkafka ${version#*+} and its tests (once, a few minutes)" >&2
(
    cd "$aside/built"
    ./configure --disable-gssapi --disable-ssl --disable-curl --enable-zlib --disable-optimization
    make -j"$(nproc)" libs
    make -j"$(nproc)" -C tests test-runner
) >>"$log" 2>&1 || { tail -n 60 "$log" >&2; exit 1; }
[ -e "$folder" ] || mv "$aside/built" "$folder"
echo "$folder"

#!/usr/bin/env bash
# Round-trips records with Apache Kafka's own client; see RoundTrip.java. The libraries are fetched once into the cache.
#
# Usage: run.sh BOOTSTRAP [RECORDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
libraries="$cache/foreign-java-$(cksum <"$here/pom.xml" | cut -d' ' -f1)"
if [ ! -d "$libraries" ]; then
    mkdir -p "$cache"
    aside=$(mktemp -d "$cache/foreign-java.XXXXXX")
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$aside/libraries" >&2
    mv -T "$aside/libraries" "$libraries" || [ -d "$libraries" ]
    rm -rf "$aside"
fi
exec java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$libraries/*" "$here/RoundTrip.java" \
    "${1:?usage: run.sh BOOTSTRAP [RECORDS]}" "${2:-100000}"

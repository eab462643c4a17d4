#!/usr/bin/env bash
# Prints the folder with Kafka's own client and what it needs; Maven fetches them once into the cache.
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
echo "$libraries"

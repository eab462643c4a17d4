#!/usr/bin/env bash
# Round-trips records with a client of Node.js. The packages are fetched once into the cache.
#
# Usage: run.sh kafkajs | platformatic BOOTSTRAP [RECORDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage="usage: run.sh kafkajs | platformatic BOOTSTRAP [RECORDS]"
client=${1:?$usage} bootstrap=${2:?$usage} records=${3:-100000}
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
packages="$cache/foreign-node-$(cksum <"$here/package.json" | cut -d' ' -f1)"
if [ ! -d "$packages" ]; then
    mkdir -p "$cache"
    aside=$(mktemp -d "$cache/foreign-node.XXXXXX")
    cp "$here/package.json" "$aside/"
    (cd "$aside" && npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error >&2)
    mv -T "$aside" "$packages" || { rm -rf "$aside"; [ -d "$packages" ]; }
fi
export KAFKAJS_NO_PARTITIONER_WARNING=1
# Node looks for packages beside the program.
cp "$here/$client.cjs" "$here/checks.cjs" "$packages/"
exec node "$packages/$client.cjs" "$bootstrap" "$records"

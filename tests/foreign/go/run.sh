#!/usr/bin/env bash
# Round-trips records with franz-go; see main.go. The program is built once into the cache.
#
# Usage: run.sh BOOTSTRAP [RECORDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
program="$cache/foreign-go-$(cat "$here"/main.go "$here"/go.* | cksum | cut -d' ' -f1)"
if [ ! -x "$program" ]; then
    mkdir -p "$cache"
    (cd "$here" && go build -mod=readonly -o "$program.$$" . && mv "$program.$$" "$program") >&2
fi
exec "$program" "${1:?usage: run.sh BOOTSTRAP [RECORDS]}" "${2:-100000}"

#!/usr/bin/env bash
# Runs every client, or those that are named, and writes docs/compatibility.md when all did well; see all.py.
#
# Usage: run.sh MAINSTEM [CLIENT...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mainstem=${1:?usage: run.sh MAINSTEM [CLIENT...]}
shift
export MAINSTEM_CACHE=${MAINSTEM_CACHE:-$HOME/.cache/mainstem}
# The same environment that tests/foreign_clients.rs makes, with the same name.
environment="$MAINSTEM_CACHE/foreign-$(tr '\n' ' ' <"$here/requirements.txt" | sed 's/ *$//; s/==/-/g; s/ /-/g')"
if [ ! -x "$environment/bin/python" ]; then
    mkdir -p "$MAINSTEM_CACHE"
    aside=$(mktemp -d "$MAINSTEM_CACHE/foreign.XXXXXX")
    python3 -m venv "$aside/python"
    "$aside/python/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    mv -T "$aside/python" "$environment" || [ -x "$environment/bin/python" ]
    rm -rf "$aside"
fi
exec python3 "$here/all.py" "$mainstem" "$environment/bin/python" --write "$here/../../docs/compatibility.md" "$@"

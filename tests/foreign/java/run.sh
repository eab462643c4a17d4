#!/usr/bin/env bash
# Round-trips records with Apache Kafka's own client; see RoundTrip.java.
#
# Usage: run.sh BOOTSTRAP [RECORDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
libraries=$("$here/libraries.sh")
exec java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$libraries/*" "$here/RoundTrip.java" \
    "${1:?usage: run.sh BOOTSTRAP [RECORDS]}" "${2:-100000}"

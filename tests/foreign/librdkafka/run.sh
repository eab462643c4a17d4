#!/usr/bin/env bash
# Builds librdkafka's tests if need be and runs them against a broker of ours; see run.py.
#
# Usage: run.sh MAINSTEM [short | all | NUMBER...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$("$here/build.sh")
exec python3 "$here/run.py" "$folder" "${@:?usage: run.sh MAINSTEM [short | all | NUMBER...]}"

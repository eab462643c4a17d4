#!/usr/bin/env bash
# Runs the integration tests of the Rust crate rdkafka; see run.py.
#
# Usage: run.sh MAINSTEM [TEST...]
exec python3 "$(dirname "$0")/run.py" "$@"

#!/usr/bin/env bash
# Runs the suites of the client and of Streams against Apache Kafka, and the client's security against one that encrypts
# and authenticates. The same suites run against this broker in `make test`.
#
# Usage: against.sh [TEST...]     all, or those whose names hold one of these
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
stop() {
    for broker in plain secured; do
        [ ! -f "$folder/$broker/pid" ] || python3 tests/peers/kafka.py stop "$folder/$broker"
    done
    rm -rf "$folder"
}
trap stop EXIT
MAINSTEM_TEST_BOOTSTRAP=$(python3 tests/peers/kafka.py start "$folder/plain")
MAINSTEM_TEST_SECURED=$(python3 tests/peers/kafka.py start-secured "$folder/secured")
export MAINSTEM_TEST_BOOTSTRAP MAINSTEM_TEST_SECURED
${CARGO:-cargo} test --release --workspace --test against_a_broker --test against_a_secured_broker -- "$@"

#!/usr/bin/env bash
# Stands in for the script of Kafka's distribution that librdkafka's tests call: the same words, carried out by
# `mainstem topic` (MAINSTEM names the binary).
#
# Usage: kafka-topics.sh --bootstrap-server ADDRESS --create | --alter | --delete --topic NAME [--partitions N]
#        [--replication-factor N] [--config NAME=VALUE]...
set -euo pipefail
action= topic= bootstrap=
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --create | --alter | --delete) action=${1#--} ;;
        --bootstrap-server) bootstrap=$2; shift ;;
        --topic) topic=$2; shift ;;
        --partitions | --replication-factor | --config) options+=("$1" "$2"); shift ;;
        *) echo "kafka-topics.sh: nobody carries out $1" >&2; exit 2 ;;
    esac
    shift
done
if [ "$action" = alter ]; then
    # Only the number of partitions is ever altered.
    exec "$MAINSTEM" topic partitions "$topic" "${options[1]}" --bootstrap "$bootstrap"
fi
exec "$MAINSTEM" topic "$action" "$topic" "${options[@]}" --bootstrap "$bootstrap"

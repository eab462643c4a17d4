#!/usr/bin/env bash
# Stands in for the script of Kafka's distribution with which librdkafka's tests start Kafka's own client.
#
# Usage: kafka-run-class.sh CLASS [ARGUMENT...]        CLASSPATH and KAFKA_PATH come from the tests
exec java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$CLASSPATH:$KAFKA_PATH/libs/*" "$@"

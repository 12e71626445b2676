#!/bin/sh
# Print the dead letters with their headers, with Kafka's own console tools. They are in the jars of
# the local stack; KAFKA_LIBS names the libs of another Kafka distribution.
set -eu
libs="${KAFKA_LIBS:-$(dirname "$0")/../../.cache/kafka/libs}"

# The same as kafka-console-consumer.sh
"${JAVA_HOME:+$JAVA_HOME/bin/}java" -cp "$libs/*" \
    org.apache.kafka.tools.consumer.ConsoleConsumer \
    --bootstrap-server "${WEIR_KAFKA_BOOTSTRAP:-127.0.0.1:9092}" \
    --topic dead-letters --from-beginning --timeout-ms 10000 \
    --property print.headers=true --property headers.separator=' | '

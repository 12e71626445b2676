#!/bin/sh
# Print the dead letters with their headers, with Kafka's own console tools.
set -eu
kafka-console-consumer.sh --bootstrap-server "${WEIR_KAFKA_BOOTSTRAP:-127.0.0.1:9092}" \
    --topic dead-letters --from-beginning --timeout-ms 10000 \
    --property print.headers=true --property headers.separator=' | '

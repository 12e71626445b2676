#!/bin/sh
# Send one transaction, then print all decisions, with Kafka's own console tools.
set -eu
kafka="${WEIR_KAFKA_BOOTSTRAP:-127.0.0.1:9092}"
transaction_id="$1"
now_ms="$(date +%s)000"

printf '%s\t%s\n' u-1 "{\"transaction_id\": \"$transaction_id\", \"user_id\": \"u-1\", \
\"merchant_id\": \"m-1\", \"amount_minor\": 4250, \"currency\": \"EUR\", \
\"event_time_ms\": $now_ms}" |
    kafka-console-producer.sh --bootstrap-server "$kafka" --topic transactions \
        --property parse.key=true

kafka-console-consumer.sh --bootstrap-server "$kafka" --topic decisions \
    --from-beginning --timeout-ms 10000 --property print.key=true

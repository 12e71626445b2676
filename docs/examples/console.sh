#!/bin/sh
# Send one transaction, then print all decisions, with Kafka's own console tools. They are in the
# jars of the local stack; KAFKA_LIBS names the libs of another Kafka distribution.
set -eu
kafka="${WEIR_KAFKA_BOOTSTRAP:-127.0.0.1:9092}"
libs="${KAFKA_LIBS:-$(dirname "$0")/../../.cache/kafka/libs}"
java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
transaction_id="$1"
now_ms="$(date +%s)000"

# The same as kafka-console-producer.sh
printf '%s\t%s\n' u-1 "{\"transaction_id\": \"$transaction_id\", \"user_id\": \"u-1\", \
\"merchant_id\": \"m-1\", \"amount_minor\": 4250, \"currency\": \"EUR\", \
\"event_time_ms\": $now_ms}" |
    "$java" -cp "$libs/*" org.apache.kafka.tools.ConsoleProducer \
        --bootstrap-server "$kafka" --topic transactions --property parse.key=true

# The same as kafka-console-consumer.sh
"$java" -cp "$libs/*" org.apache.kafka.tools.consumer.ConsoleConsumer \
    --bootstrap-server "$kafka" --topic decisions \
    --from-beginning --timeout-ms 10000 --property print.key=true

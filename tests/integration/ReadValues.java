import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints topic, length and CRC-32 of records, read with the Kafka client of Flink's connector.
 *
 * Arguments: address of the broker, number of records of a topic, topics with one partition.
 */
public final class ReadValues {
    public static void main(String[] arguments) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", arguments[0],
                "isolation.level", "read_committed",
                "auto.offset.reset", "earliest");
        int wanted = Integer.parseInt(arguments[1]);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            for (String topic : List.of(arguments).subList(2, arguments.length)) {
                consumer.assign(List.of(new TopicPartition(topic, 0)));
                for (int read = 0; read < wanted;) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(10))) {
                        CRC32 checksum = new CRC32();
                        checksum.update(record.value());
                        System.out.println(topic + " " + record.value().length + " " + checksum.getValue());
                        read++;
                    }
                }
            }
        }
    }
}

package weir;

import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;

/** A record text from Python as the Kafka record it describes: topic, key, headers, bytes. */
public final class RecordTextSerializer implements KafkaRecordSerializationSchema<String> {
    private static final long serialVersionUID = 1L;

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
            String text, KafkaSinkContext context, Long timestamp) {
        return RecordText.decode(text);
    }
}

package weir;

import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;

/** Turns a record frame of the engine into the Kafka record to produce: topic, key, headers, value. */
public final class RecordFrameSerializer
        implements KafkaRecordSerializationSchema<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
            Tuple2<String, byte[]> keyed, KafkaSinkContext context, Long timestamp) {
        return RecordFrame.decode(keyed.f1);
    }
}

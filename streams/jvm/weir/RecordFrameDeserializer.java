package weir;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.util.Collector;

/**
 * Turns a Kafka record into a record frame, with an empty key.
 *
 * The body is not parsed here. The engine decides by one parse whether it is valid and to which key
 * it belongs; two parsers could disagree and fold an event into the state of another key.
 */
public final class RecordFrameDeserializer
        implements KafkaRecordDeserializationSchema<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;
    private static final String NO_KEY = "";

    @Override
    public void deserialize(
            ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<String, byte[]>> out) {
        out.collect(Tuple2.of(NO_KEY, RecordFrame.encode(LimitedRecord.of(record))));
    }

    @Override
    public TypeInformation<Tuple2<String, byte[]>> getProducedType() {
        return KeyedFrames.TYPE;
    }
}

package weir;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.util.Collector;

/**
 * Turns a Kafka record into {@code (key, record frame)}; the key is a text field of the JSON body.
 *
 * The key only decides the partition of the keyed stream. schemas/codec.py alone decides whether
 * the body is valid. A body without a usable key gets the key "" and is refused there. Reading the
 * key here saves the Python call that PyFlink's own key_by makes for every event.
 */
public final class KeyedRecordDeserializer
        implements KafkaRecordDeserializationSchema<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;
    private static final String NO_KEY = "";

    private final HashMap<String, String> keyFields;
    private transient JsonFactory json;

    /** @param keyFields name of the key field in the body, by topic */
    public KeyedRecordDeserializer(Map<String, String> keyFields) {
        this.keyFields = new HashMap<>(keyFields);
    }

    @Override
    public void deserialize(
            ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<String, byte[]>> out) {
        String key = key(record.value(), keyFields.get(record.topic()));
        out.collect(Tuple2.of(key, RecordFrame.encode(record)));
    }

    @Override
    public TypeInformation<Tuple2<String, byte[]>> getProducedType() {
        return KeyedFrames.TYPE;
    }

    private String key(byte[] body, String keyField) {
        if (body == null) {
            return NO_KEY;
        }
        if (json == null) {
            json = new JsonFactory();
        }
        try (JsonParser parser = json.createParser(body)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return NO_KEY;
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                boolean isKey = keyField.equals(parser.currentName());
                JsonToken value = parser.nextToken();
                if (isKey) {
                    return value == JsonToken.VALUE_STRING ? parser.getText() : NO_KEY;
                }
                parser.skipChildren();
            }
            return NO_KEY;
        } catch (IOException notJson) {
            return NO_KEY;
        }
    }
}

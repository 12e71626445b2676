package weir;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * A Kafka record as {@code Row(key, record text)}, keyed by one text field of its JSON body.
 *
 * The key only routes: whether the body is valid is decided in Python, by schemas/codec.py alone.
 * A body without a usable key goes to the key "" and is refused there. Extracting the key here
 * saves the Python call that PyFlink's own key_by costs for every event.
 */
public final class KeyedRecordDeserializer implements KafkaRecordDeserializationSchema<Row> {
    private static final long serialVersionUID = 1L;
    private static final String NO_KEY = "";

    private final String keyField;
    private transient JsonFactory json;

    public KeyedRecordDeserializer(String keyField) {
        this.keyField = keyField;
    }

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Row> out) {
        out.collect(Row.of(key(record.value()), RecordText.encode(record)));
    }

    @Override
    public TypeInformation<Row> getProducedType() {
        return Types.ROW(Types.STRING, Types.STRING);
    }

    private String key(byte[] body) {
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
                    return value == JsonToken.VALUE_STRING ? crossing(parser.getText()) : NO_KEY;
                }
                parser.skipChildren();
            }
            return NO_KEY;
        } catch (IOException notJson) {
            return NO_KEY;
        }
    }

    /** UTF-8 bytes read as ISO-8859-1: see {@link RecordText}. */
    private static String crossing(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        return RecordText.crossesAsText(utf8)
                ? new String(utf8, StandardCharsets.ISO_8859_1)
                : NO_KEY;
    }
}

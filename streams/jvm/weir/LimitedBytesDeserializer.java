package weir;

import java.nio.ByteBuffer;
import java.util.Map;

import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Headers;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.serialization.Deserializer;

/**
 * Gives a key or a value as bytes, or null and a description in headers if it is too large.
 *
 * Kafka limits compressed bytes, so a fetch of one MiB may hold many records of any size, and the
 * client keeps all that it gives at once. This is the only place where a record is seen before the
 * next one is decompressed. {@link LimitedRecord} makes the description complete.
 */
public final class LimitedBytesDeserializer implements Deserializer<byte[]> {
    private String part;

    @Override
    public void configure(Map<String, ?> settings, boolean isKey) {
        part = isKey ? "key" : "value";
    }

    @Override
    public byte[] deserialize(String topic, byte[] data) {
        return data;
    }

    @Override
    public byte[] deserialize(String topic, Headers headers, ByteBuffer data) {
        if (data == null) {
            return null;
        }
        if (data.remaining() > LimitedRecord.PART_BYTES_MAX) {
            for (Header header : headers) {
                // Until it is read, a header refers to the whole record.
                header.key();
                header.value();
            }
            Description.of(part, data, Description.HEAD_BYTES_MAX).forEach(headers::add);
            return null;
        }
        byte[] bytes = new byte[data.remaining()];
        data.duplicate().get(bytes);
        return bytes;
    }
}

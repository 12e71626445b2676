package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Headers;

/**
 * One Kafka record as one byte array, so that it crosses between the JVM and Python in one call.
 *
 * <pre>
 *   'R'  partition i32  offset i64  timestamp i64      (all big-endian; -1: none)
 *   lengths i32 of topic, key, headers, value          (-1: null, for key and value)
 *   topic, key, headers, value
 *   headers = (lengths i32 of name and value, name, value)*
 * </pre>
 *
 * The same layout in Python is in streams/velocity/record_frame.py.
 */
final class RecordFrame {
    private static final byte MAGIC = 'R';
    private static final int HEAD_BYTES = 1 + 4 + 8 + 8 + 4 * 4;
    private static final int NULL = -1;

    private RecordFrame() {}

    static byte[] encode(ConsumerRecord<byte[], byte[]> record) {
        byte[] topic = record.topic().getBytes(StandardCharsets.UTF_8);
        int headersLength = 0;
        for (Header header : record.headers()) {
            headersLength += 8 + utf8(header.key()).length + length(header.value());
        }
        ByteBuffer frame = ByteBuffer.allocate(
                HEAD_BYTES + topic.length + length(record.key()) + headersLength + length(record.value()));
        frame.put(MAGIC).putInt(record.partition()).putLong(record.offset()).putLong(record.timestamp());
        frame.putInt(topic.length).putInt(lengthOrNull(record.key()));
        frame.putInt(headersLength).putInt(lengthOrNull(record.value()));
        frame.put(topic);
        put(frame, record.key());
        for (Header header : record.headers()) {
            byte[] name = utf8(header.key());
            frame.putInt(name.length).putInt(lengthOrNull(header.value())).put(name);
            put(frame, header.value());
        }
        put(frame, record.value());
        return frame.array();
    }

    static ProducerRecord<byte[], byte[]> decode(byte[] bytes) {
        ByteBuffer frame = ByteBuffer.wrap(bytes);
        if (frame.get() != MAGIC) {
            throw new IllegalArgumentException("a record frame begins with byte " + MAGIC + " (R), this one with " + bytes[0]);
        }
        frame.getInt();
        frame.getLong();
        long timestamp = frame.getLong();
        int topicLength = frame.getInt();
        int keyLength = frame.getInt();
        int headersLength = frame.getInt();
        int valueLength = frame.getInt();
        String topic = new String(take(frame, topicLength), StandardCharsets.UTF_8);
        byte[] key = take(frame, keyLength);
        int valueAt = frame.position() + headersLength;
        // A record may have any negative timestamp, but a producer sends none.
        Long timestampOrNull = timestamp < 0 ? null : Long.valueOf(timestamp);
        byte[] value = valueLength == NULL ? null : new byte[valueLength];
        if (value != null) {
            System.arraycopy(bytes, valueAt, value, 0, valueLength);
        }
        ProducerRecord<byte[], byte[]> record =
                new ProducerRecord<>(topic, null, timestampOrNull, key, value);
        Headers headers = record.headers();
        while (frame.position() < valueAt) {
            int nameLength = frame.getInt();
            int headerLength = frame.getInt();
            headers.add(
                    new String(take(frame, nameLength), StandardCharsets.UTF_8),
                    take(frame, headerLength));
        }
        return record;
    }

    private static byte[] take(ByteBuffer frame, int length) {
        if (length == NULL) {
            return null;
        }
        byte[] bytes = new byte[length];
        frame.get(bytes);
        return bytes;
    }

    private static void put(ByteBuffer frame, byte[] bytes) {
        if (bytes != null) {
            frame.put(bytes);
        }
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static int length(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    private static int lengthOrNull(byte[] bytes) {
        return bytes == null ? NULL : bytes.length;
    }
}

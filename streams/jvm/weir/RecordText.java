package weir;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Headers;

/**
 * One Kafka record as one line of text, so that it crosses into Python in a single cheap call.
 *
 * <pre>
 *   topic US partition US offset US timestamp US key US headers US value
 *   headers = (name GS blob RS)*
 *   blob    = "-" null | "=" bytes as ISO-8859-1 | "~" base64
 * </pre>
 *
 * Strings cross JNI as modified UTF-8, which breaks on NUL and on characters outside the basic
 * plane. Bytes read as ISO-8859-1 have neither once control characters are sent as base64, so any
 * bytes at all arrive as they came. The twin of this class is streams/record_text.py.
 */
final class RecordText {
    static final char FIELD = '\u001f';
    static final char HEADER = '\u001e';
    static final char NAME = '\u001d';

    private RecordText() {}

    static String encode(ConsumerRecord<byte[], byte[]> record) {
        int valueLength = record.value() == null ? 0 : record.value().length;
        StringBuilder text = new StringBuilder(valueLength + 128);
        text.append(record.topic()).append(FIELD)
                .append(record.partition()).append(FIELD)
                .append(record.offset()).append(FIELD)
                .append(record.timestamp()).append(FIELD);
        appendBlob(text, record.key());
        text.append(FIELD);
        for (Header header : record.headers()) {
            appendBlob(text, header.key().getBytes(StandardCharsets.UTF_8));
            text.append(NAME);
            appendBlob(text, header.value());
            text.append(HEADER);
        }
        text.append(FIELD);
        appendBlob(text, record.value());
        return text.toString();
    }

    static ProducerRecord<byte[], byte[]> decode(String text) {
        String[] fields = split(text);
        Long timestamp = fields[3].isEmpty() ? null : Long.valueOf(fields[3]);
        ProducerRecord<byte[], byte[]> record =
                new ProducerRecord<>(fields[0], null, timestamp, blob(fields[4]), blob(fields[6]));
        addHeaders(record.headers(), fields[5]);
        return record;
    }

    private static String[] split(String text) {
        String[] fields = new String[7];
        int from = 0;
        for (int i = 0; i < 6; i++) {
            int to = text.indexOf(FIELD, from);
            if (to < 0) {
                throw new IllegalArgumentException(
                        "a record text has 7 fields, this one has " + (i + 1));
            }
            fields[i] = text.substring(from, to);
            from = to + 1;
        }
        fields[6] = text.substring(from);
        return fields;
    }

    private static void addHeaders(Headers headers, String text) {
        int from = 0;
        while (from < text.length()) {
            int name = text.indexOf(NAME, from);
            int end = text.indexOf(HEADER, name);
            headers.add(
                    new String(blob(text.substring(from, name)), StandardCharsets.UTF_8),
                    blob(text.substring(name + 1, end)));
            from = end + 1;
        }
    }

    private static void appendBlob(StringBuilder text, byte[] bytes) {
        if (bytes == null) {
            text.append('-');
        } else if (crossesAsText(bytes)) {
            text.append('=').append(new String(bytes, StandardCharsets.ISO_8859_1));
        } else {
            text.append('~').append(Base64.getEncoder().encodeToString(bytes));
        }
    }

    private static byte[] blob(String text) {
        switch (text.charAt(0)) {
            case '-':
                return null;
            case '=':
                return text.substring(1).getBytes(StandardCharsets.ISO_8859_1);
            case '~':
                return Base64.getDecoder().decode(text.substring(1));
            default:
                throw new IllegalArgumentException("a blob starts with -, = or ~: " + text);
        }
    }

    static boolean crossesAsText(byte[] bytes) {
        for (byte b : bytes) {
            if (b >= 0 && b < 0x20 && b != '\t' && b != '\n' && b != '\r') {
                return false;
            }
        }
        return true;
    }
}

package weir;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Headers;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/**
 * The dead letter of a feature row that is too large for its topic.
 *
 * Its headers are those of schemas/dead_letter.py and name the transaction that the row is made
 * from; its value is the row.
 */
final class RefusedRow {
    /** How many headers, the last ones, give the reason of a dead letter. */
    static final int REASON_HEADERS = 6;

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String PREFIX = "__connect.errors.";

    private RefusedRow() {}

    static ProducerRecord<byte[], byte[]> deadLetter(
            ProducerRecord<byte[], byte[]> row,
            long size,
            long limit,
            String transactions,
            String deadLetters) {
        JsonNode origin = origin(row.value());
        ProducerRecord<byte[], byte[]> letter = new ProducerRecord<>(
                deadLetters, null, row.timestamp(), row.key(), row.value(), row.headers());
        Headers headers = letter.headers();
        add(headers, "topic", transactions);
        add(headers, "partition", origin.get("partition").asText());
        add(headers, "offset", origin.get("offset").asText());
        add(headers, "stage", "produce");
        add(headers, "exception.class.name", "schemas.errors.InvalidEventError");
        add(headers, "exception.message", "a record of " + size + " bytes does not fit topic "
                + row.topic() + ", limit " + limit + ", 63/64 of its max.message.bytes");
        return letter;
    }

    /** Returns a key that no other dead letter has: where the refused record lies. */
    static byte[] place(Headers reason) {
        return String.join("/", last(reason, "topic"), last(reason, "partition"),
                last(reason, "offset")).getBytes(StandardCharsets.UTF_8);
    }

    private static String last(Headers headers, String name) {
        return new String(headers.lastHeader(PREFIX + name).value(), StandardCharsets.UTF_8);
    }

    private static JsonNode origin(byte[] row) {
        try {
            return JSON.readTree(row).get("origin");
        } catch (IOException error) {
            throw new IllegalStateException("a feature row of the engine is no JSON", error);
        }
    }

    private static void add(Headers headers, String name, String value) {
        headers.add(PREFIX + name, value.getBytes(StandardCharsets.UTF_8));
    }
}

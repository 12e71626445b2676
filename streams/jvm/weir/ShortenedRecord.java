package weir;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;

/**
 * A record whose largest parts give way to a description, until it has a given size.
 *
 * schemas/shortened_dead_letter.py has the rules and explains them; a test compares both.
 *
 * @param key of the record
 * @param headers all headers, those at the end included
 * @param value of the record
 */
record ShortenedRecord(byte[] key, List<Header> headers, byte[] value) {
    private static final int LEFT_OUT_BYTES_MIN = 256;
    private static final int HEADERS_MAX = 10_000;
    private static final int BATCH_BYTES = 61 + 21;
    private static final int VARINT_BYTES = 5;
    private static final List<String> PARTS = List.of("key", "headers", "value");

    /** Returns an upper bound of what Kafka compares with {@code max.message.bytes}. */
    long size() {
        return size(key, headers, value);
    }

    static long size(byte[] key, Iterable<Header> headers, byte[] value) {
        long size = BATCH_BYTES + 3 * VARINT_BYTES;
        for (Header header : headers) {
            size += 2 * VARINT_BYTES + Description.utf8(header.key()).length + length(header.value());
        }
        return size + length(key) + length(value);
    }

    /**
     * Leaves out the largest parts until the record fits; one that fits is returned unchanged.
     *
     * @param original headers that may be left out
     * @param last headers that are always kept, at the end
     */
    static ShortenedRecord of(
            byte[] key, List<Header> original, List<Header> last, byte[] value, long bytesMax) {
        ShortenedRecord fitting = new ShortenedRecord(key, joined(original, last), value);
        if (fits(fitting, last, bytesMax)) {
            return fitting;
        }
        Map<String, ByteBuffer> parts = Map.of(
                "key", content(key),
                "headers", Description.encoded(original),
                "value", content(value));
        boolean hasTooMany = original.size() > HEADERS_MAX;
        List<String> bySize = PARTS.stream()
                .filter(part -> parts.get(part).remaining() >= LEFT_OUT_BYTES_MIN)
                .sorted(Comparator.comparingLong(
                        part -> hasTooMany && part.equals("headers")
                                ? Long.MIN_VALUE
                                : -parts.get(part).remaining()))
                .toList();
        for (int headBytesMax : new int[] {Description.HEAD_BYTES_MAX, 0}) {
            for (int count = 1; count <= bySize.size(); count++) {
                List<String> leftOut = bySize.subList(0, count);
                List<Header> kept = new ArrayList<>();
                if (!leftOut.contains("headers")) {
                    kept.addAll(original);
                }
                kept.addAll(description(leftOut, parts, headBytesMax));
                fitting = new ShortenedRecord(
                        leftOut.contains("key") ? null : key,
                        joined(kept, last),
                        leftOut.contains("value") ? null : value);
                if (fits(fitting, last, bytesMax)) {
                    return fitting;
                }
            }
        }
        return fitting;
    }

    private static boolean fits(ShortenedRecord record, List<Header> last, long bytesMax) {
        return record.headers.size() <= HEADERS_MAX + last.size() && record.size() <= bytesMax;
    }

    private static List<Header> joined(List<Header> first, List<Header> last) {
        List<Header> all = new ArrayList<>(first);
        all.addAll(last);
        return all;
    }

    private static List<Header> description(
            List<String> leftOut, Map<String, ByteBuffer> parts, int headBytesMax) {
        List<String> names = PARTS.stream().filter(leftOut::contains).toList();
        List<Header> headers = new ArrayList<>();
        headers.add(Description.leftOut(names));
        names.forEach(part -> headers.addAll(Description.of(part, parts.get(part), headBytesMax)));
        return headers;
    }

    private static ByteBuffer content(byte[] bytes) {
        return bytes == null ? ByteBuffer.allocate(0) : ByteBuffer.wrap(bytes);
    }

    private static int length(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }
}

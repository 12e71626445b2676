package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeader;

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
    private static final int HEAD_BYTES_MAX = 1024;
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
            size += 2 * VARINT_BYTES + utf8(header.key()).length + length(header.value());
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
        Map<String, byte[]> parts = new LinkedHashMap<>();
        parts.put("key", orEmpty(key));
        parts.put("headers", encoded(original));
        parts.put("value", orEmpty(value));
        boolean hasTooMany = original.size() > HEADERS_MAX;
        List<String> bySize = PARTS.stream()
                .filter(part -> parts.get(part).length >= LEFT_OUT_BYTES_MIN)
                .sorted(Comparator.comparingLong(
                        part -> hasTooMany && part.equals("headers")
                                ? Long.MIN_VALUE
                                : -parts.get(part).length))
                .toList();
        for (int headBytesMax : new int[] {HEAD_BYTES_MAX, 0}) {
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
            List<String> leftOut, Map<String, byte[]> parts, int headBytesMax) {
        List<String> names = PARTS.stream().filter(leftOut::contains).toList();
        List<Header> headers = new ArrayList<>();
        headers.add(new RecordHeader("weir-shortened", utf8(String.join(",", names))));
        for (String part : names) {
            byte[] content = parts.get(part);
            String start = "weir-" + part + "-";
            headers.add(new RecordHeader(start + "length", utf8(Integer.toString(content.length))));
            headers.add(new RecordHeader(start + "sha256", utf8(sha256(content))));
            if (headBytesMax > 0) {
                int headBytes = Math.min(headBytesMax, content.length);
                headers.add(new RecordHeader(start + "head", Arrays.copyOf(content, headBytes)));
            }
        }
        return headers;
    }

    private static byte[] encoded(List<Header> headers) {
        int bytes = 0;
        for (Header header : headers) {
            bytes += 8 + utf8(header.key()).length + length(header.value());
        }
        ByteBuffer encoded = ByteBuffer.allocate(bytes);
        for (Header header : headers) {
            byte[] name = utf8(header.key());
            encoded.putInt(name.length).putInt(header.value() == null ? -1 : header.value().length);
            encoded.put(name).put(orEmpty(header.value()));
        }
        return encoded.array();
    }

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }

    private static byte[] orEmpty(byte[] bytes) {
        return bytes == null ? new byte[0] : bytes;
    }

    private static int length(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}

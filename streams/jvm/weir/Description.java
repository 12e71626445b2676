package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeader;

/** The headers that describe a part of a record that was left out: length, SHA-256, first bytes. */
final class Description {
    static final int HEAD_BYTES_MAX = 1024;

    private Description() {}

    /**
     * @param part {@code key}, {@code headers} or {@code value}
     * @param headBytesMax how many of the first bytes to give; for 0 there is no such header
     */
    static List<Header> of(String part, ByteBuffer content, int headBytesMax) {
        String start = "weir-" + part + "-";
        List<Header> headers = new ArrayList<>();
        headers.add(header(start + "length", Integer.toString(content.remaining())));
        headers.add(header(start + "sha256", sha256(content)));
        if (headBytesMax > 0) {
            byte[] head = new byte[Math.min(headBytesMax, content.remaining())];
            content.duplicate().get(head);
            headers.add(new RecordHeader(start + "head", head));
        }
        return headers;
    }

    static Header leftOut(List<String> parts) {
        return header("weir-shortened", String.join(",", parts));
    }

    /** Returns headers as the bytes that are described: lengths, name and value of each. */
    static ByteBuffer encoded(List<Header> headers) {
        int bytes = 0;
        for (Header header : headers) {
            byte[] value = header.value();
            bytes += 8 + utf8(header.key()).length + (value == null ? 0 : value.length);
        }
        ByteBuffer encoded = ByteBuffer.allocate(bytes);
        for (Header header : headers) {
            byte[] name = utf8(header.key());
            byte[] value = header.value();
            encoded.putInt(name.length).putInt(value == null ? -1 : value.length).put(name);
            if (value != null) {
                encoded.put(value);
            }
        }
        return encoded.flip();
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static Header header(String name, String value) {
        return new RecordHeader(name, utf8(value));
    }

    private static String sha256(ByteBuffer content) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(content.duplicate());
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }
}

package weir;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * A consumed record of which no part is larger than {@link #PART_BYTES_MAX}.
 *
 * Key and value that are too large are left out by {@link LimitedBytesDeserializer}, headers here;
 * those that decide about the record are kept. A record without its value is refused; without its
 * key or the other headers it is processed as usual. schemas/shortened_dead_letter.py has the
 * names of the headers that are added.
 */
final class LimitedRecord {
    /** The same limit as in schemas/topics.py. */
    static final int PART_BYTES_MAX = 1024 * 1024;

    private static final int HEADERS_MAX = 10_000;
    private static final List<String> READ = List.of("ce_type", "weir-replay");
    private static final int READ_BYTES_MAX = 1024;
    private static final int DESCRIPTION_HEADERS = 3;

    private LimitedRecord() {}

    /** Returns the record itself if nothing is or must be left out. */
    static ConsumerRecord<byte[], byte[]> of(ConsumerRecord<byte[], byte[]> record) {
        List<String> leftOut = new ArrayList<>();
        if (record.key() == null && record.serializedKeySize() > PART_BYTES_MAX) {
            leftOut.add("key");
        }
        if (record.value() == null && record.serializedValueSize() > PART_BYTES_MAX) {
            leftOut.add("value");
        }
        Header[] all = record.headers().toArray();
        int describedAt = all.length - leftOut.size() * DESCRIPTION_HEADERS;
        List<Header> original = Arrays.asList(all).subList(0, describedAt);
        boolean hasTooMany = describedAt > HEADERS_MAX || bytes(original) > PART_BYTES_MAX;
        if (leftOut.isEmpty() && !hasTooMany) {
            return record;
        }
        List<Header> headers = new ArrayList<>();
        List<Header> described = new ArrayList<>();
        if (hasTooMany) {
            leftOut.add(leftOut.contains("key") ? 1 : 0, "headers");
            headers.addAll(read(record));
            described.addAll(Description.of(
                    "headers", Description.encoded(original), Description.HEAD_BYTES_MAX));
        } else {
            headers.addAll(original);
        }
        headers.add(Description.leftOut(leftOut));
        headers.addAll(described);
        headers.addAll(Arrays.asList(all).subList(describedAt, all.length));
        return new ConsumerRecord<>(
                record.topic(),
                record.partition(),
                record.offset(),
                record.timestamp(),
                record.timestampType(),
                record.serializedKeySize(),
                record.serializedValueSize(),
                record.key(),
                record.value(),
                new RecordHeaders(headers),
                Optional.empty());
    }

    private static long bytes(List<Header> headers) {
        long bytes = 0;
        for (Header header : headers) {
            byte[] value = header.value();
            bytes += header.key().length() + (value == null ? 0 : value.length);
        }
        return bytes;
    }

    /** Returns the headers that decide about a record; of each name the last one counts. */
    private static List<Header> read(ConsumerRecord<byte[], byte[]> record) {
        List<Header> read = new ArrayList<>();
        for (String name : READ) {
            Header last = record.headers().lastHeader(name);
            if (last != null && (last.value() == null || last.value().length <= READ_BYTES_MAX)) {
                read.add(last);
            }
        }
        return read;
    }
}

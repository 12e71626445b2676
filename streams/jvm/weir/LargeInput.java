package weir;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Shortens records that are too large to be worth a look before they cross into Python.
 *
 * A record of some kilobytes may have gigabytes when it is decompressed, and every copy of it on
 * its way costs as much memory. A record whose value is left out here is refused; without a key or
 * without most of its headers it is processed as usual.
 */
final class LargeInput {
    /** schemas/topics.py has the same limit for what is produced. */
    private static final long BYTES_MAX = 16 * 1024 * 1024;
    /** A dead letter of what is left fits every topic. */
    private static final long SHORTENED_BYTES_MAX = 1024 * 1024;
    private static final List<String> HEADERS_READ = List.of("ce_type", "weir-replay");
    private static final int READ_BYTES_MAX = 1024;

    private LargeInput() {}

    /** Returns the record itself unless it is too large. */
    static ConsumerRecord<byte[], byte[]> shortened(ConsumerRecord<byte[], byte[]> record) {
        if (size(record) <= BYTES_MAX) {
            return record;
        }
        List<Header> headers = Arrays.asList(record.headers().toArray());
        ShortenedRecord left = ShortenedRecord.of(
                record.key(), headers, read(record), record.value(), SHORTENED_BYTES_MAX);
        return new ConsumerRecord<>(
                record.topic(),
                record.partition(),
                record.offset(),
                record.timestamp(),
                record.timestampType(),
                record.serializedKeySize(),
                record.serializedValueSize(),
                left.key(),
                left.value(),
                new RecordHeaders(left.headers()),
                Optional.empty());
    }

    private static long size(ConsumerRecord<byte[], byte[]> record) {
        long size = Math.max(0, record.serializedKeySize());
        size += Math.max(0, record.serializedValueSize());
        for (Header header : record.headers()) {
            byte[] value = header.value();
            // Every header costs an object of its own.
            size += 64 + header.key().length() + (value == null ? 0 : value.length);
        }
        return size;
    }

    /** Returns the headers that decide about a record, in their order; of each name the last. */
    private static List<Header> read(ConsumerRecord<byte[], byte[]> record) {
        List<Header> read = new ArrayList<>();
        for (String name : HEADERS_READ) {
            Header last = record.headers().lastHeader(name);
            if (last != null && (last.value() == null || last.value().length <= READ_BYTES_MAX)) {
                read.add(last);
            }
        }
        return read;
    }
}

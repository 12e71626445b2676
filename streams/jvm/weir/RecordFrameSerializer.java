package weir;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutionException;

import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;

/**
 * Turns a record frame of the engine into the Kafka record to produce: topic, key, headers, value.
 *
 * A record that is too large for its topic would fail the job, and again after each restart. So a
 * feature row that is too large becomes a dead letter, and a dead letter is shortened.
 */
public final class RecordFrameSerializer
        implements KafkaRecordSerializationSchema<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final String bootstrap;
    private final String transactions;
    private final String features;
    private final String deadLetters;
    private final long requestBytesMax;

    private transient TopicLimits limits;

    /**
     * @param bootstrap address of the broker
     * @param transactions topic that the feature rows are made from
     * @param features topic of the feature rows
     * @param deadLetters topic of the dead letters
     * @param requestBytesMax largest record that the producer of the sink sends, bytes
     */
    public RecordFrameSerializer(
            String bootstrap,
            String transactions,
            String features,
            String deadLetters,
            long requestBytesMax) {
        this.bootstrap = Objects.requireNonNull(bootstrap);
        this.transactions = Objects.requireNonNull(transactions);
        this.features = Objects.requireNonNull(features);
        this.deadLetters = Objects.requireNonNull(deadLetters);
        this.requestBytesMax = requestBytesMax;
    }

    @Override
    public void open(SerializationSchema.InitializationContext context, KafkaSinkContext sink)
            throws Exception {
        limits = new TopicLimits(bootstrap, List.of(features, deadLetters), requestBytesMax);
        limits.read();
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
            Tuple2<String, byte[]> keyed, KafkaSinkContext context, Long timestamp) {
        ProducerRecord<byte[], byte[]> record = RecordFrame.decode(keyed.f1);
        long size = ShortenedRecord.size(record.key(), record.headers(), record.value());
        if (size > limits.bytesMax(record.topic()) || !fitsOtherwise(record)) {
            readLimits();
        }
        long limit = limits.bytesMax(record.topic());
        if (record.topic().equals(deadLetters)) {
            return fitting(record);
        }
        return size <= limit ? record : fitting(RefusedRow.deadLetter(
                record, size, limit, transactions, deadLetters));
    }

    private ProducerRecord<byte[], byte[]> fitting(ProducerRecord<byte[], byte[]> letter) {
        List<Header> headers = Arrays.asList(letter.headers().toArray());
        int reasonAt = headers.size() - RefusedRow.REASON_HEADERS;
        ShortenedRecord fitting = ShortenedRecord.of(
                letter.key(),
                headers.subList(0, reasonAt),
                headers.subList(reasonAt, headers.size()),
                letter.value(),
                limits.bytesMax(deadLetters));
        Long timestamp = letter.timestamp();
        boolean isInTime = timestamp != null && limits.acceptsTimestamp(deadLetters, timestamp);
        boolean lacksKey = fitting.key() == null && limits.needsKey(deadLetters);
        return new ProducerRecord<>(
                deadLetters,
                null,
                isInTime ? timestamp : null,
                lacksKey ? RefusedRow.place(letter.headers()) : fitting.key(),
                fitting.value(),
                fitting.headers());
    }

    /** Whether timestamp and key of a record fit its topic. */
    private boolean fitsOtherwise(ProducerRecord<byte[], byte[]> record) {
        Long timestamp = record.timestamp();
        return (timestamp == null || limits.acceptsTimestamp(record.topic(), timestamp))
                && (record.key() != null || !limits.needsKey(record.topic()));
    }

    private void readLimits() {
        try {
            limits.readIfOld();
        } catch (ExecutionException error) {
            throw new IllegalStateException("the broker did not give the limits of topics", error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while reading limits of topics", error);
        }
    }
}

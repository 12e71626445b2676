package weir;

import java.util.HashMap;
import java.util.Map;

import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;

/** The offsets at which the job starts to read when no restored state has offsets. */
public final class StartOffsets {
    private StartOffsets() {}

    /**
     * @param offsets first offset to read by {@code topic/partition}; as strings, because Python's
     *     integers would arrive as {@code Integer}. Other partitions are read from their beginning.
     */
    public static OffsetsInitializer of(Map<String, String> offsets) {
        Map<TopicPartition, Long> starts = new HashMap<>();
        offsets.forEach((place, offset) -> {
            int slash = place.lastIndexOf('/');
            int partition = Integer.parseInt(place.substring(slash + 1));
            starts.put(new TopicPartition(place.substring(0, slash), partition), Long.valueOf(offset));
        });
        return starts.isEmpty() ? OffsetsInitializer.earliest() : OffsetsInitializer.offsets(starts);
    }
}

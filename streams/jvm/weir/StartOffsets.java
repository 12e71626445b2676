package weir;

import java.util.HashMap;
import java.util.Map;

import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;

/** Where the job begins to read when no state of its own says so. */
public final class StartOffsets {
    private StartOffsets() {}

    /**
     * @param offsets from {@code topic/partition} to the first offset to read, as texts: Python's
     *     integers would arrive as {@code Integer}. Partitions not named are read from their beginning.
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

package weir;

import java.nio.ByteBuffer;

import org.apache.flink.api.common.eventtime.SerializableTimestampAssigner;
import org.apache.flink.api.java.tuple.Tuple2;

/**
 * Uses the position of a frame within its key as the timestamp, because batch mode sorts by it.
 *
 * Without timestamps Flink gives no order within a key. The value is a position and not a time;
 * there are no watermarks that depend on it.
 */
public final class FoldOrder implements SerializableTimestampAssigner<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final int position;

    /** @param position index in the frame of the big-endian i64 to sort by, bytes */
    public FoldOrder(int position) {
        this.position = position;
    }

    @Override
    public long extractTimestamp(Tuple2<String, byte[]> keyed, long recordTimestamp) {
        return ByteBuffer.wrap(keyed.f1).getLong(position);
    }
}

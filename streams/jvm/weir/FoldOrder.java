package weir;

import java.nio.ByteBuffer;

import org.apache.flink.api.common.eventtime.SerializableTimestampAssigner;
import org.apache.flink.api.java.tuple.Tuple2;

/**
 * The place of a frame among its key's as the timestamp: batch mode sorts each key's by it.
 *
 * Without timestamps the order within a key would be any. It is no time: nothing waits for it.
 */
public final class FoldOrder implements SerializableTimestampAssigner<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final int position;

    /** @param position of the big-endian i64 in the frame */
    public FoldOrder(int position) {
        this.position = position;
    }

    @Override
    public long extractTimestamp(Tuple2<String, byte[]> keyed, long recordTimestamp) {
        return ByteBuffer.wrap(keyed.f1).getLong(position);
    }
}

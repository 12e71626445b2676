package weir;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;

/**
 * The journal of the current key: its durable entries, in Flink's list state.
 *
 * Python calls these methods; {@code JournalStore} in streams/velocity/journal.py is their
 * interface there. Each call crosses from Python into the JVM. An ordinary event needs only
 * {@link #append}.
 */
public final class Journal {
    private final ListState<byte[]> entries;

    Journal(ListState<byte[]> entries) {
        this.entries = entries;
    }

    /** The state of an entity's journals, in the job and in the savepoint of a backfill. */
    static ListStateDescriptor<byte[]> descriptor(String entity) {
        return new ListStateDescriptor<>(entity + "-journal", KeyedFrames.FRAME_TYPE);
    }

    /** Returns all entries in order, each preceded by its length as a big-endian i32. */
    public byte[] read() throws Exception {
        List<byte[]> all = new ArrayList<>();
        int size = 0;
        Iterable<byte[]> stored = entries.get();
        for (byte[] entry : stored == null ? Collections.<byte[]>emptyList() : stored) {
            all.add(entry);
            size += 4 + entry.length;
        }
        ByteBuffer joined = ByteBuffer.allocate(size);
        for (byte[] entry : all) {
            joined.putInt(entry.length).put(entry);
        }
        return joined.array();
    }

    /** Adds one entry. */
    public void append(byte[] entry) throws Exception {
        entries.add(entry);
    }

    /** Replaces all entries by this one. */
    public void replace(byte[] snapshot) throws Exception {
        entries.update(Collections.singletonList(snapshot));
    }
}

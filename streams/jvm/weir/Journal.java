package weir;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;

/**
 * The durable entries of the key that is being processed, as Python calls them.
 *
 * Each method is one crossing, and {@link #append} the only one that every event needs. The twin
 * is {@code JournalStore} in streams/velocity/journal.py.
 */
public final class Journal {
    private final ListState<byte[]> entries;

    Journal(ListState<byte[]> entries) {
        this.entries = entries;
    }

    /** Where the job, and the savepoint that it may start from, keep the journals of an entity. */
    static ListStateDescriptor<byte[]> descriptor(String entity) {
        return new ListStateDescriptor<>(entity + "-journal", KeyedFrames.FRAME_TYPE);
    }

    /** All entries in order, each behind its length as a big-endian i32. */
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

    public void append(byte[] entry) throws Exception {
        entries.add(entry);
    }

    /** Drops all entries and stores this one instead. */
    public void replace(byte[] snapshot) throws Exception {
        entries.update(Collections.singletonList(snapshot));
    }
}

package weir;

import java.util.Collections;

import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;

/** The journals of one entity: for each key its durable entries, in Flink's list state. */
final class Journals {
    private static final int JOURNAL_BYTES = 1024;

    private final ListState<byte[]> entries;

    Journals(ListState<byte[]> entries) {
        this.entries = entries;
    }

    /**
     * The state of an entity's journals, in the job and in the savepoint of a backfill.
     *
     * @param entity position of the entity
     */
    static ListStateDescriptor<byte[]> descriptor(int entity) {
        return new ListStateDescriptor<>("journal-" + entity, KeyedFrames.FRAME_TYPE);
    }

    /** Returns the entries of the current key in order, each preceded by its length as i32. */
    byte[] read() throws Exception {
        Batch read = new Batch(JOURNAL_BYTES);
        Iterable<byte[]> stored = entries.get();
        if (stored != null) {
            stored.forEach(read::add);
        }
        return read.take();
    }

    /** Adds one entry to the current key. */
    void append(byte[] entry) throws Exception {
        entries.add(entry);
    }

    /** Replaces all entries of the current key by this one. */
    void replace(byte[] snapshot) throws Exception {
        entries.update(Collections.singletonList(snapshot));
    }
}

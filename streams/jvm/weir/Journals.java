package weir;

import java.util.List;

import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;

/** The journals of one entity: for each key its durable entries, in Flink's list state. */
public final class Journals {
    private static final int JOURNAL_BYTES = 1024;

    private final ListState<byte[]> entries;

    public Journals(ListState<byte[]> entries) {
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

    /** Adds entries to the current key. */
    void append(List<byte[]> added) throws Exception {
        entries.addAll(added);
    }

    /** Replaces all entries of the current key. */
    void replace(List<byte[]> snapshot) throws Exception {
        entries.update(snapshot);
    }
}

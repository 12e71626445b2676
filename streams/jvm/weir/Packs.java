package weir;

import java.nio.ByteBuffer;
import java.util.function.Consumer;

import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;

/**
 * What a batch sends to the subtasks of the next operator: one element of Flink for each of them.
 *
 * Flink would write, route and read each record by itself. A pack holds all records of a batch that
 * go to one subtask, in their order, as {@link Batch} has them, so the next operator copies them
 * into its batch as they are. The key of a record says which subtask owns it, as
 * {@code DataStream.keyBy} would. The next operator must have the same parallelism.
 */
final class Packs {
    private static final int PACK_BYTES = 16 * 1024;

    private final Batch[] ofSubtasks;
    private final String[] names;
    private final int keyGroups;

    /**
     * @param subtasks number of subtasks of the next operator
     * @param keyGroups number of key groups of the job, Flink's maximum parallelism
     */
    Packs(int subtasks, int keyGroups) {
        this.keyGroups = keyGroups;
        ofSubtasks = new Batch[subtasks];
        names = new String[subtasks];
        for (int subtask = 0; subtask < subtasks; subtask++) {
            ofSubtasks[subtask] = new Batch(PACK_BYTES);
            names[subtask] = Integer.toString(subtask);
        }
    }

    /** Adds a record, the next {@code length} bytes of a buffer, for the subtask with its key. */
    void add(String key, ByteBuffer from, int length) {
        int subtask = KeyGroupRangeAssignment.assignKeyToParallelOperator(
                key, keyGroups, ofSubtasks.length);
        ofSubtasks[subtask].add(from, length);
    }

    /** Gives each pack that has a record, with the number of its subtask, and empties them. */
    void take(Consumer<Tuple2<String, byte[]>> out) {
        for (int subtask = 0; subtask < ofSubtasks.length; subtask++) {
            if (!ofSubtasks[subtask].isEmpty()) {
                out.accept(Tuple2.of(names[subtask], ofSubtasks[subtask].take()));
            }
        }
    }
}

package weir;

import org.apache.flink.api.common.functions.Partitioner;

/** Sends each of the {@link Packs} to its subtask; the key of the element is the number of that. */
public final class ToSubtask implements Partitioner<String> {
    private static final long serialVersionUID = 1L;

    @Override
    public int partition(String subtask, int subtasks) {
        return Integer.parseInt(subtask);
    }
}

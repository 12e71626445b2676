package weir;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.state.api.functions.KeyedStateBootstrapFunction;

/**
 * Writes the journal of a key, one snapshot, into the savepoint for the velocity job.
 *
 * The first byte of an element is the position of the entity, as {@link BackfillFold} writes it.
 */
public final class JournalBootstrap
        extends KeyedStateBootstrapFunction<String, Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final int first;
    private final int end;
    private transient List<Journals> journals;

    /**
     * @param first position of the first entity of the operator
     * @param end position after its last entity
     */
    public JournalBootstrap(int first, int end) {
        this.first = first;
        this.end = end;
    }

    @Override
    public void open(OpenContext context) {
        journals = new ArrayList<>();
        for (int entity = first; entity < end; entity++) {
            journals.add(new Journals(getRuntimeContext().getListState(Journals.descriptor(entity))));
        }
    }

    @Override
    public void processElement(Tuple2<String, byte[]> keyed, Context context) throws Exception {
        byte[] snapshot = Arrays.copyOfRange(keyed.f1, 1, keyed.f1.length);
        journals.get(keyed.f1[0] - first).replace(List.of(snapshot));
    }
}

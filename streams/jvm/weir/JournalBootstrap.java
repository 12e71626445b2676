package weir;

import java.util.Collections;
import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.state.api.functions.KeyedStateBootstrapFunction;

/** Writes the journal of a key, one snapshot, into the savepoint for the velocity job. */
public final class JournalBootstrap
        extends KeyedStateBootstrapFunction<String, Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final String entity;
    private transient ListState<byte[]> entries;

    public JournalBootstrap(String entity) {
        this.entity = Objects.requireNonNull(entity);
    }

    @Override
    public void open(OpenContext context) {
        entries = getRuntimeContext().getListState(Journal.descriptor(entity));
    }

    @Override
    public void processElement(Tuple2<String, byte[]> keyed, Context context) throws Exception {
        entries.update(Collections.singletonList(keyed.f1));
    }
}

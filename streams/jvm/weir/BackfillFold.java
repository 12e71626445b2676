package weir;

import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Folds bounded input for one entity: all frames of one key, then of the next key.
 *
 * It keeps no durable state, because a failed backfill starts again from the beginning. After the
 * last frame of a key it emits the state of the key to {@link #STATES}: the position of the entity
 * in one byte, then the journal from which the velocity job starts.
 */
public final class BackfillFold
        extends KeyedProcessFunction<String, Tuple2<String, byte[]>, Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    public static final OutputTag<Tuple2<String, byte[]>> STATES =
            new OutputTag<>("states", KeyedFrames.TYPE);

    private final String settings;
    private final String pythonExecutable;
    private final String definitionDigest;
    private final int entity;
    private final boolean seedsOnlineState;

    private transient PythonStage stage;

    /**
     * @param settings of the deployment, as JSON
     * @param pythonExecutable path of the Python to start
     * @param definitionDigest digest of the definitions that the backfill is for
     * @param entity position of the entity
     * @param seedsOnlineState whether the last states are written to Redis
     */
    public BackfillFold(
            String settings,
            String pythonExecutable,
            String definitionDigest,
            int entity,
            boolean seedsOnlineState) {
        this.settings = Objects.requireNonNull(settings);
        this.pythonExecutable = Objects.requireNonNull(pythonExecutable);
        this.definitionDigest = Objects.requireNonNull(definitionDigest);
        this.entity = entity;
        this.seedsOnlineState = seedsOnlineState;
    }

    @Override
    public void open(OpenContext context) {
        stage = new PythonStage(
                pythonExecutable,
                "streams.backfill.operators",
                settings,
                definitionDigest,
                entity,
                seedsOnlineState);
    }

    @Override
    public void processElement(
            Tuple2<String, byte[]> element, Context context, Collector<Tuple2<String, byte[]>> out) {
        // In batch mode Flink fires this timer after the last element of the key.
        context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
        byte[] answer = stage.call("process", element.f0, element.f1);
        if (answer != null) {
            out.collect(KeyedFrames.decode(answer));
        }
    }

    @Override
    public void onTimer(
            long timestamp, OnTimerContext context, Collector<Tuple2<String, byte[]>> out) {
        String key = context.getCurrentKey();
        byte[] snapshot = stage.call("finish_key", key);
        if (snapshot != null) {
            context.output(STATES, Tuple2.of(key, snapshot));
        }
    }

    @Override
    public void close() throws Exception {
        if (stage != null) {
            stage.close();
            stage = null;
        }
    }
}

package weir;

import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * A stage of the velocity job over bounded input: all frames of one key, then of the next key.
 *
 * It keeps no durable state, because a failed backfill starts again from the beginning. After the
 * last frame of a key it emits the state of the key to {@link #STATES}, as the journal from which
 * the velocity job starts.
 */
public final class BackfillFold
        extends KeyedProcessFunction<String, Tuple2<String, byte[]>, Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    public static final OutputTag<Tuple2<String, byte[]>> STATES =
            new OutputTag<>("states", KeyedFrames.TYPE);

    private final String entity;
    private final String settings;
    private final String pythonExecutable;
    private final String definitionDigest;
    private final boolean seedsOnlineState;

    private transient PythonStage stage;

    public BackfillFold(
            String entity,
            String settings,
            String pythonExecutable,
            String definitionDigest,
            boolean seedsOnlineState) {
        this.entity = Objects.requireNonNull(entity);
        this.settings = Objects.requireNonNull(settings);
        this.pythonExecutable = Objects.requireNonNull(pythonExecutable);
        this.definitionDigest = Objects.requireNonNull(definitionDigest);
        this.seedsOnlineState = seedsOnlineState;
    }

    @Override
    public void open(OpenContext context) {
        stage = new PythonStage(
                pythonExecutable,
                "streams.backfill.operators",
                entity,
                settings,
                definitionDigest,
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

package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

import pemja.core.PythonInterpreter;
import pemja.core.PythonInterpreterConfig;
import pemja.core.object.PyObject;

/**
 * A stage of the velocity job over a bounded, sorted input: all of a key's frames, then the next key's.
 *
 * Needs no durable state: what fails is done again from the beginning. After a key's last frame its
 * state goes to {@link #STATES}, as the journal that the velocity job starts from.
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

    private transient PythonInterpreter python;
    private transient PyObject stage;

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
        python = new PythonInterpreter(
                PythonInterpreterConfig.newBuilder()
                        .setPythonExec(pythonExecutable)
                        .setExcType(PythonInterpreterConfig.ExecType.MULTI_THREAD)
                        .build());
        // Not by invoke, see PythonFold.
        python.set("arguments", new Object[] {entity, settings, definitionDigest, seedsOnlineState});
        python.exec(
                "from streams.backfill.stages import open_backfill_stage\n"
                        + "stage = open_backfill_stage(*arguments)");
        stage = (PyObject) python.get("stage");
    }

    /** The answer is as {@link UserFold#emit} takes it apart. */
    @Override
    public void processElement(
            Tuple2<String, byte[]> element, Context context, Collector<Tuple2<String, byte[]>> out) {
        // Batch mode fires what is due at the end of time when a key has had its last element.
        context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
        byte[] answer = (byte[]) stage.invokeMethod("process", element.f0, element.f1);
        if (answer == null) {
            return;
        }
        int keyLength = Short.toUnsignedInt(ByteBuffer.wrap(answer).getShort());
        String key = new String(answer, 2, keyLength, StandardCharsets.UTF_8);
        byte[] rest = new byte[answer.length - 2 - keyLength];
        System.arraycopy(answer, 2 + keyLength, rest, 0, rest.length);
        out.collect(Tuple2.of(key, rest));
    }

    @Override
    public void onTimer(
            long timestamp, OnTimerContext context, Collector<Tuple2<String, byte[]>> out) {
        String key = context.getCurrentKey();
        byte[] snapshot = (byte[]) stage.invokeMethod("finish_key", key);
        if (snapshot != null) {
            context.output(STATES, Tuple2.of(key, snapshot));
        }
    }

    @Override
    public void close() throws Exception {
        if (stage != null) {
            stage.invokeMethod("close");
            stage.close();
            stage = null;
        }
        if (python != null) {
            python.close();
            python = null;
        }
    }
}

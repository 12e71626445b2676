package weir;

import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Folds each element in Python, in the task's thread: one call with bytes, one result of bytes.
 *
 * PyFlink's own operators convert every element field by field, call a generator and ask its
 * iterator: at least five crossings between the JVM and Python for an event. This operator makes
 * one, to {@code process} of the stage that {@code streams.velocity.operators.open_stage} returns.
 * It always runs in thread mode; there is no process mode to fall back to. docs/adr/0012 has the
 * measurements.
 *
 * @param <O> type of the emitted elements
 */
public abstract class PythonFold<O> extends KeyedProcessFunction<String, Tuple2<String, byte[]>, O> {
    private static final long serialVersionUID = 1L;

    private final String entity;
    private final String settings;
    private final String pythonExecutable;

    private transient PythonStage stage;

    PythonFold(String entity, String settings, String pythonExecutable) {
        this.entity = Objects.requireNonNull(entity);
        this.settings = Objects.requireNonNull(settings);
        this.pythonExecutable = Objects.requireNonNull(pythonExecutable);
    }

    @Override
    public void open(OpenContext context) throws Exception {
        Journal journal = new Journal(getRuntimeContext().getListState(Journal.descriptor(entity)));
        stage = new PythonStage(
                pythonExecutable, "streams.velocity.operators", entity, settings, journal);
    }

    @Override
    public void processElement(Tuple2<String, byte[]> element, Context context, Collector<O> out) {
        byte[] answer = stage.call("process", (Object) element.f1);
        if (answer != null) {
            emit(answer, out);
        }
    }

    abstract void emit(byte[] answer, Collector<O> out);

    @Override
    public void close() throws Exception {
        if (stage != null) {
            stage.close();
            stage = null;
        }
    }
}

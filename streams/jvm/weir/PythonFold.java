package weir;

import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

import pemja.core.PythonInterpreter;
import pemja.core.PythonInterpreterConfig;
import pemja.core.object.PyObject;

/**
 * Folds each element in Python, in this thread: one call in, bytes back.
 *
 * PyFlink's own operators convert every element field by field, call a generator and ask its
 * iterator, five crossings and more for an event. This one hands bytes to
 * {@code streams.velocity.operators.open_stage(...).process} and takes bytes; docs/adr/0017 has the figures.
 * There is no process mode that it could fall back to.
 *
 * @param <O> what is emitted
 */
public abstract class PythonFold<O> extends KeyedProcessFunction<String, Tuple2<String, byte[]>, O> {
    private static final long serialVersionUID = 1L;

    private final String entity;
    private final String settings;
    private final String pythonExecutable;

    private transient PythonInterpreter python;
    private transient PyObject stage;

    PythonFold(String entity, String settings, String pythonExecutable) {
        this.entity = Objects.requireNonNull(entity);
        this.settings = Objects.requireNonNull(settings);
        this.pythonExecutable = Objects.requireNonNull(pythonExecutable);
    }

    @Override
    public void open(OpenContext context) throws Exception {
        Journal journal = new Journal(getRuntimeContext().getListState(Journal.descriptor(entity)));
        python = new PythonInterpreter(
                PythonInterpreterConfig.newBuilder()
                        .setPythonExec(pythonExecutable)
                        .setExcType(PythonInterpreterConfig.ExecType.MULTI_THREAD)
                        .build());
        // Not by invoke: PEMJA 0.5.7 then drops one reference to the function too many, and whoever
        // opens a stage in this process after this one was closed calls what lies there by then.
        python.set("arguments", new Object[] {entity, settings, journal});
        python.exec(
                "from streams.velocity.operators import open_stage\nstage = open_stage(*arguments)");
        stage = (PyObject) python.get("stage");
    }

    @Override
    public void processElement(Tuple2<String, byte[]> element, Context context, Collector<O> out) {
        byte[] answer = (byte[]) stage.invokeMethod("process", (Object) element.f1);
        if (answer != null) {
            emit(answer, out);
        }
    }

    abstract void emit(byte[] answer, Collector<O> out);

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

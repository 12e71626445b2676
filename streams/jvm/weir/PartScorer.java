package weir;

import java.util.Objects;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Scores the parts of a batch scoring: one call of Python for a whole part.
 *
 * It keeps no state: the stage writes what a part gave into a file before it answers, and does not
 * score a part that has such a file. A failure of the stage ends the job.
 */
public final class PartScorer
        extends ProcessFunction<Tuple2<String, byte[]>, Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final String pythonExecutable;
    private final String directory;

    private transient PythonStage stage;

    /**
     * @param pythonExecutable path of the Python to start
     * @param directory of the run
     */
    public PartScorer(String pythonExecutable, String directory) {
        this.pythonExecutable = Objects.requireNonNull(pythonExecutable);
        this.directory = Objects.requireNonNull(directory);
    }

    @Override
    public void open(OpenContext context) {
        stage = new PythonStage(pythonExecutable, "streams.batch_scoring.operators", directory);
    }

    @Override
    public void processElement(
            Tuple2<String, byte[]> part, Context context, Collector<Tuple2<String, byte[]>> out) {
        byte[] result;
        try {
            result = stage.call("process", part.f1);
        } catch (RuntimeException error) {
            // Only the loss of a TaskManager is worth a restart; the stage has tried again itself.
            throw new SuppressRestartsException(error);
        }
        out.collect(Tuple2.of(part.f0, result));
    }

    @Override
    public void close() throws Exception {
        if (stage != null) {
            stage.close();
            stage = null;
        }
    }
}

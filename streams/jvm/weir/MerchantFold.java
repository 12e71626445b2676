package weir;

import org.apache.flink.util.Collector;

/**
 * The merchant stage. Input: output of the user stage and record frames of labels. Output: record
 * frames to produce to Kafka.
 */
public final class MerchantFold extends PythonFold<byte[]> {
    private static final long serialVersionUID = 1L;

    public MerchantFold(String settings, String pythonExecutable) {
        super("merchant", settings, pythonExecutable);
    }

    @Override
    void emit(byte[] answer, Collector<byte[]> out) {
        out.collect(answer);
    }
}

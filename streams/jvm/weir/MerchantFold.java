package weir;

import org.apache.flink.util.Collector;

/** What the user stage hands on, and record frames of labels, in; record frames to produce, out. */
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

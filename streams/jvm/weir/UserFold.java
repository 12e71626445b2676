package weir;

import java.nio.charset.StandardCharsets;

import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.util.Collector;

/**
 * The user stage. Input: record frames of transactions and labels. Output: what the merchant stage
 * needs of each, keyed by merchant.
 */
public final class UserFold extends PythonFold<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final byte[] labels;

    /** @param labelsTopic name of the topic whose records are forwarded unchanged */
    public UserFold(String settings, String pythonExecutable, String labelsTopic) {
        super("user", settings, pythonExecutable);
        labels = labelsTopic.getBytes(StandardCharsets.UTF_8);
    }

    /** Labels have no user state: they are forwarded under the merchant key that they came with. */
    @Override
    public void processElement(
            Tuple2<String, byte[]> element, Context context, Collector<Tuple2<String, byte[]>> out) {
        if (RecordFrame.isOfTopic(element.f1, labels)) {
            out.collect(element);
        } else {
            super.processElement(element, context, out);
        }
    }

    @Override
    void emit(byte[] answer, Collector<Tuple2<String, byte[]>> out) {
        out.collect(KeyedFrames.decode(answer));
    }
}

package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.util.Collector;

/** Record frames of transactions in; the merchant's key and what the next stage needs, out. */
public final class UserFold extends PythonFold<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    private final byte[] labels;

    /** @param labelsTopic name of the topic whose records pass on */
    public UserFold(String settings, String pythonExecutable, String labelsTopic) {
        super("user", settings, pythonExecutable);
        labels = labelsTopic.getBytes(StandardCharsets.UTF_8);
    }

    /** Labels are the merchants': they pass on under the key that they came with. */
    @Override
    public void processElement(
            Tuple2<String, byte[]> element, Context context, Collector<Tuple2<String, byte[]>> out) {
        if (RecordFrame.isOfTopic(element.f1, labels)) {
            out.collect(element);
        } else {
            super.processElement(element, context, out);
        }
    }

    /** The answer is the key's length as a big-endian u16, the key, the rest. */
    @Override
    void emit(byte[] answer, Collector<Tuple2<String, byte[]>> out) {
        ByteBuffer bytes = ByteBuffer.wrap(answer);
        int keyLength = Short.toUnsignedInt(bytes.getShort());
        String key = new String(answer, 2, keyLength, StandardCharsets.UTF_8);
        byte[] rest = new byte[answer.length - 2 - keyLength];
        System.arraycopy(answer, 2 + keyLength, rest, 0, rest.length);
        out.collect(Tuple2.of(key, rest));
    }
}

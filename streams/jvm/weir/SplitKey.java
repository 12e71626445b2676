package weir;

import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.types.Row;

/** {@code "key US rest"} becomes {@code Row(key, rest)}: the next stage's key without a Python call. */
public final class SplitKey implements MapFunction<String, Row> {
    private static final long serialVersionUID = 1L;

    @Override
    public Row map(String text) {
        int end = text.indexOf(RecordText.FIELD);
        return Row.of(text.substring(0, end), text.substring(end + 1));
    }
}

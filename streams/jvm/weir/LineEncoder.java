package weir;

import java.io.IOException;
import java.io.OutputStream;

import org.apache.flink.api.common.serialization.Encoder;
import org.apache.flink.api.java.tuple.Tuple2;

/** Writes the rows of a backfill as JSON lines; the bytes of a row are one JSON object. */
public final class LineEncoder implements Encoder<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    @Override
    public void encode(Tuple2<String, byte[]> row, OutputStream stream) throws IOException {
        stream.write(row.f1);
        stream.write('\n');
    }
}

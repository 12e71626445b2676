package weir;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.reader.SimpleStreamFormat;
import org.apache.flink.connector.file.src.reader.StreamFormat;
import org.apache.flink.core.fs.FSDataInputStream;

/**
 * File format of a backfill's input: keyed frames, one after another.
 *
 * <pre>
 *   (length i32 of what follows, key length u16, key, frame)*      (all big-endian)
 * </pre>
 *
 * Written by streams/backfill/frames.py.
 */
public final class KeyedFrameFormat extends SimpleStreamFormat<Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;

    @Override
    public StreamFormat.Reader<Tuple2<String, byte[]>> createReader(
            Configuration configuration, FSDataInputStream stream) {
        return new Reader(new DataInputStream(stream));
    }

    @Override
    public TypeInformation<Tuple2<String, byte[]>> getProducedType() {
        return KeyedFrames.TYPE;
    }

    private static final class Reader implements StreamFormat.Reader<Tuple2<String, byte[]>> {
        private final DataInputStream input;

        Reader(DataInputStream input) {
            this.input = input;
        }

        @Override
        public Tuple2<String, byte[]> read() throws IOException {
            int first = input.read();
            if (first < 0) {
                return null;
            }
            byte[] rest = new byte[3];
            input.readFully(rest);
            int length = first << 24 | (rest[0] & 0xFF) << 16 | (rest[1] & 0xFF) << 8 | rest[2] & 0xFF;
            byte[] key = new byte[input.readUnsignedShort()];
            input.readFully(key);
            if (length < 2 + key.length) {
                throw new EOFException("a keyed frame has " + length + " bytes, its key needs "
                        + (2 + key.length) + "; write the backfill's input again");
            }
            byte[] frame = new byte[length - 2 - key.length];
            input.readFully(frame);
            return Tuple2.of(new String(key, StandardCharsets.UTF_8), frame);
        }

        @Override
        public void close() throws IOException {
            input.close();
        }
    }
}

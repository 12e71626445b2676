package weir;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple2;

/**
 * The elements between the operators: {@code (key, bytes)}.
 *
 * The key is a Java string, so Flink selects it without a call into Python.
 */
public final class KeyedFrames implements KeySelector<Tuple2<String, byte[]>, String> {
    private static final long serialVersionUID = 1L;

    public static final TypeInformation<String> KEY_TYPE = Types.STRING;
    public static final TypeInformation<byte[]> FRAME_TYPE =
            PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
    public static final TypeInformation<Tuple2<String, byte[]>> TYPE =
            Types.TUPLE(KEY_TYPE, FRAME_TYPE);

    @Override
    public String getKey(Tuple2<String, byte[]> keyed) {
        return keyed.f0;
    }

    /**
     * Reads what a stage of the backfill returns: length of the key as a big-endian u16, key, frame.
     *
     * Written by {@code encode_keyed} in streams/backfill/keyed_frame.py.
     */
    static Tuple2<String, byte[]> decode(byte[] keyed) {
        int keyLength = (keyed[0] & 0xFF) << 8 | keyed[1] & 0xFF;
        int frameAt = 2 + keyLength;
        String key = new String(keyed, 2, keyLength, StandardCharsets.UTF_8);
        return Tuple2.of(key, Arrays.copyOfRange(keyed, frameAt, keyed.length));
    }
}

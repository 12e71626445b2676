package weir;

import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple2;

/** A key and bytes: what flows between the operators. The key is in the JVM, so keying is cheap. */
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
}

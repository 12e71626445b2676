package weir;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** Elements as one growing array of bytes, each preceded by its length as a big-endian i32. */
final class Batch {
    private byte[] data;
    private int bytes;
    private int elements;

    Batch(int initialBytes) {
        data = new byte[initialBytes];
    }

    void add(byte[] element) {
        add(ByteBuffer.wrap(element), element.length);
    }

    /** Adds one element: the next {@code length} bytes of a buffer. */
    void add(ByteBuffer from, int length) {
        reserve(4 + length);
        data[bytes] = (byte) (length >>> 24);
        data[bytes + 1] = (byte) (length >>> 16);
        data[bytes + 2] = (byte) (length >>> 8);
        data[bytes + 3] = (byte) length;
        from.get(data, bytes + 4, length);
        bytes += 4 + length;
        elements++;
    }

    /** Adds all elements, {@code count} of them, of what {@link #take} of another batch returned. */
    void addAll(byte[] taken, int count) {
        reserve(taken.length);
        System.arraycopy(taken, 0, data, bytes, taken.length);
        bytes += taken.length;
        elements += count;
    }

    /** Returns how many elements are in what {@link #take} returned. */
    static int count(byte[] taken) {
        ByteBuffer lengths = ByteBuffer.wrap(taken);
        int count = 0;
        for (int at = 0; at < taken.length; at += 4 + lengths.getInt(at)) {
            count++;
        }
        return count;
    }

    private void reserve(int added) {
        if (bytes + added > data.length) {
            data = Arrays.copyOf(data, Math.max(bytes + added, 2 * data.length));
        }
    }

    boolean isEmpty() {
        return elements == 0;
    }

    int elements() {
        return elements;
    }

    int bytes() {
        return bytes;
    }

    /** Returns what was added, and starts an empty batch. */
    byte[] take() {
        byte[] taken = Arrays.copyOf(data, bytes);
        bytes = 0;
        elements = 0;
        return taken;
    }
}

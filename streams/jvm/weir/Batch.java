package weir;

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
        int end = bytes + 4 + element.length;
        if (end > data.length) {
            data = Arrays.copyOf(data, Math.max(end, 2 * data.length));
        }
        data[bytes] = (byte) (element.length >>> 24);
        data[bytes + 1] = (byte) (element.length >>> 16);
        data[bytes + 2] = (byte) (element.length >>> 8);
        data[bytes + 3] = (byte) element.length;
        System.arraycopy(element, 0, data, bytes + 4, element.length);
        bytes = end;
        elements++;
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

package weir;

/**
 * Says how long a batch waits for further elements; the more the batches before had, the longer.
 *
 * At a low rate the input pauses after each element, and few more would come during a wait, which
 * would add its whole length to the latency. At a high rate a wait of a few milliseconds joins what
 * arrives of several partitions, so there are fewer batches, each of which costs about a
 * millisecond of CPU until its decisions are written.
 *
 * Knows neither Flink nor the elements. The operator asks it after each pause of the input.
 */
public final class FlushDelay {
    /** After batches with fewer elements an element does not wait. */
    static final int ELEMENTS_MIN = 8;
    /** After batches with this many elements it waits the whole delay. */
    static final int ELEMENTS_FULL = 64;

    private final int delayMs;
    private final int idleDelayMs;
    private long startedNs;
    /** Mean number of elements of the last batches, about four of them. */
    private double elements;

    /**
     * @param delayMs longest wait while more elements are at hand, ms
     * @param idleDelayMs longest wait when the input has paused, ms
     */
    public FlushDelay(int delayMs, int idleDelayMs) {
        this.delayMs = delayMs;
        this.idleDelayMs = idleDelayMs;
    }

    /** Notes when the first element of a batch came. */
    public void start(long nowNs) {
        startedNs = nowNs;
    }

    /** Notes how many elements a batch had. */
    public void end(int count) {
        elements += (count - elements) / 4;
    }

    /**
     * Returns how long the batch has still to wait, ms; 0 if it is due.
     *
     * @param isIdle whether the input has paused; if not, more elements are at hand
     */
    public long leftMs(long nowNs, boolean isIdle) {
        double waitMs = isIdle ? idleMs() : delayMs;
        return (long) Math.ceil(Math.max(0.0, waitMs - (nowNs - startedNs) / 1e6));
    }

    private double idleMs() {
        double share = Math.min(1.0, elements / ELEMENTS_FULL);
        return elements < ELEMENTS_MIN ? 0.0 : idleDelayMs * share;
    }
}

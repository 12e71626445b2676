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
    /** After batches with fewer elements an element does not wait: it would mostly wait alone. */
    static final double ELEMENTS_MIN = 1.5;
    /** After batches with this many elements it waits the whole delay. */
    static final int ELEMENTS_FULL = 32;
    /** The shortest wait, if the delay allows it, ms: a shorter one would join hardly anything. */
    static final double WAIT_MS_MIN = 1.5;
    private static final double NS_PER_MS = 1e6;

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
     * Returns how long the batch has still to wait, ns; 0 if it is due.
     *
     * @param isIdle whether the input has paused; if not, more elements are at hand
     */
    public long leftNs(long nowNs, boolean isIdle) {
        double waitMs = isIdle ? idleMs() : delayMs;
        return Math.max(0L, (long) (waitMs * NS_PER_MS) - (nowNs - startedNs));
    }

    private double idleMs() {
        if (elements < ELEMENTS_MIN) {
            return 0.0;
        }
        double shareMs = idleDelayMs * Math.min(1.0, elements / ELEMENTS_FULL);
        return Math.min(idleDelayMs, Math.max(WAIT_MS_MIN, shareMs));
    }
}

package weir;

import java.util.ArrayList;
import java.util.List;

import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.mailbox.MailboxExecutorImpl;

/**
 * Lets rows leave together whose events came together: held until the task has no more input.
 *
 * A producer's linger cannot do this: a fetch of hundred events takes longer to fold than anybody
 * wants a single row to wait. Where input never ends, in a backlog, a bundle leaves after
 * {@code holdMs} or with {@link #BYTES_MAX} bytes. Nothing is held across a checkpoint, so delivery
 * is what it is without; docs/adr/0024 has the figures.
 */
public final class Bundling extends AbstractStreamOperatorFactory<byte[]>
        implements OneInputStreamOperatorFactory<byte[], byte[]> {
    private static final long serialVersionUID = 1L;
    private static final int BYTES_MAX = 256 * 1024;

    private final long holdNs;

    /** @param holdMs longest time that a row waits for others, ms; 0: none waits */
    public Bundling(int holdMs) {
        holdNs = holdMs * 1_000_000L;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <T extends StreamOperator<byte[]>> T createStreamOperator(
            StreamOperatorParameters<byte[]> parameters) {
        return (T) new Operator(parameters, (MailboxExecutorImpl) parameters.getMailboxExecutor(), holdNs);
    }

    @Override
    @SuppressWarnings("rawtypes")
    public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
        return Operator.class;
    }

    private static final class Operator extends AbstractStreamOperator<byte[]>
            implements OneInputStreamOperator<byte[], byte[]> {
        private static final long serialVersionUID = 1L;

        private final transient MailboxExecutorImpl mailbox;
        private final long holdNs;
        private transient List<byte[]> held = new ArrayList<>();
        private int heldBytes;
        private long heldSinceNs;
        private boolean isWatching;

        Operator(
                StreamOperatorParameters<byte[]> parameters, MailboxExecutorImpl mailbox, long holdNs) {
            super(parameters);
            this.mailbox = mailbox;
            this.holdNs = holdNs;
        }

        @Override
        public void processElement(StreamRecord<byte[]> row) {
            if (held.isEmpty()) {
                heldSinceNs = System.nanoTime();
            }
            held.add(row.getValue());
            heldBytes += row.getValue().length;
            if (heldBytes >= BYTES_MAX) {
                leave();
            } else if (!isWatching) {
                isWatching = true;
                watch();
            }
        }

        /** Looks again after each element, and once more when there are no more. */
        private void watch() {
            mailbox.execute(this::leaveIfNothingComes, "bundle");
        }

        private void leaveIfNothingComes() {
            if (mailbox.isIdle() || System.nanoTime() - heldSinceNs >= holdNs) {
                leave();
            }
            isWatching = !held.isEmpty();
            if (isWatching) {
                watch();
            }
        }

        private void leave() {
            List<byte[]> bundle = held;
            held = new ArrayList<>();
            heldBytes = 0;
            StreamRecord<byte[]> row = new StreamRecord<>(null);
            for (byte[] frame : bundle) {
                output.collect(row.replace(frame));
            }
        }

        @Override
        public void prepareSnapshotPreBarrier(long checkpointId) {
            leave();
        }

        @Override
        public void finish() {
            leave();
        }
    }
}

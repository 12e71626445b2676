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
 * Batches output rows: holds them until the task has no more input, then flushes them together.
 *
 * The linger time of the Kafka producer cannot replace this operator. Folding a fetch of a hundred
 * events takes longer than a single row should wait, so a linger time is either too short for the
 * fetch or too long for the row. In a backlog the input never pauses; there a batch is flushed
 * after {@code delayMs} or at {@link #BYTES_MAX} bytes. The operator flushes before each checkpoint
 * barrier, so it does not change the delivery guarantee. docs/adr/0024 has the measurements.
 */
public final class OutputBatching extends AbstractStreamOperatorFactory<byte[]>
        implements OneInputStreamOperatorFactory<byte[], byte[]> {
    private static final long serialVersionUID = 1L;
    private static final int BYTES_MAX = 256 * 1024;

    private final long delayNs;

    /** @param delayMs longest time that a row waits for its batch, ms; 0 turns batching off */
    public OutputBatching(int delayMs) {
        delayNs = delayMs * 1_000_000L;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <T extends StreamOperator<byte[]>> T createStreamOperator(
            StreamOperatorParameters<byte[]> parameters) {
        MailboxExecutorImpl mailbox = (MailboxExecutorImpl) parameters.getMailboxExecutor();
        return (T) new Operator(parameters, mailbox, delayNs);
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
        private final long delayNs;
        private transient List<byte[]> batch = new ArrayList<>();
        private int batchBytes;
        private long batchStartedNs;
        private boolean isCheckQueued;

        Operator(
                StreamOperatorParameters<byte[]> parameters,
                MailboxExecutorImpl mailbox,
                long delayNs) {
            super(parameters);
            this.mailbox = mailbox;
            this.delayNs = delayNs;
        }

        @Override
        public void processElement(StreamRecord<byte[]> row) {
            if (batch.isEmpty()) {
                batchStartedNs = System.nanoTime();
            }
            batch.add(row.getValue());
            batchBytes += row.getValue().length;
            if (batchBytes >= BYTES_MAX) {
                flush();
            } else if (!isCheckQueued) {
                isCheckQueued = true;
                queueCheck();
            }
        }

        /** The mailbox runs the check after the next element, or at once when there is no input. */
        private void queueCheck() {
            mailbox.execute(this::flushIfDue, "flush the output batch if it is due");
        }

        private void flushIfDue() {
            if (mailbox.isIdle() || System.nanoTime() - batchStartedNs >= delayNs) {
                flush();
            }
            isCheckQueued = !batch.isEmpty();
            if (isCheckQueued) {
                queueCheck();
            }
        }

        private void flush() {
            List<byte[]> flushed = batch;
            batch = new ArrayList<>();
            batchBytes = 0;
            StreamRecord<byte[]> row = new StreamRecord<>(null);
            for (byte[] frame : flushed) {
                output.collect(row.replace(frame));
            }
        }

        @Override
        public void prepareSnapshotPreBarrier(long checkpointId) {
            flush();
        }

        @Override
        public void finish() {
            flush();
        }
    }
}

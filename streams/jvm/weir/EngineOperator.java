package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.locks.LockSupport;

import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.metrics.TimerGauge;
import org.apache.flink.runtime.state.KeyedStateBackend;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;
import org.apache.flink.streaming.runtime.tasks.mailbox.MailboxExecutorImpl;

/**
 * Computes batches of elements in Python, where the native engine is: one call for a batch.
 *
 * Elements wait until the task has no more input, which Flink's mailbox knows, and at high rates
 * some milliseconds for more ({@link FlushDelay}); but not longer than {@code delayMs}, and not
 * beyond {@link #ELEMENTS_MAX} or {@link #BYTES_MAX}. The operator flushes before each checkpoint
 * barrier and so keeps nothing across a checkpoint. The answer contains the changes of journals,
 * which are stored key by key in Flink's list state, and the elements to emit.
 * If the engine needs journals of keys that are not in its memory, it says so first; they are read
 * and given to it in a second call, which may ask for further ones once.
 * streams/velocity/engine_frames.py describes the bytes.
 *
 * Entities have only positions here. An operator without entities has no state; it decodes and
 * routes. An operator sends the next one {@link Packs}, so Flink keys no element; each operator sets
 * the keys of its state itself. docs/adr/0027 and 0047 have the measurements.
 */
public final class EngineOperator extends AbstractStreamOperatorFactory<Tuple2<String, byte[]>>
        implements OneInputStreamOperatorFactory<Tuple2<String, byte[]>, Tuple2<String, byte[]>> {
    private static final long serialVersionUID = 1L;
    private static final int ELEMENTS_MAX = 512;
    private static final int BYTES_MAX = 1024 * 1024;
    private static final int BATCH_BYTES = 64 * 1024;
    private static final long SLEEP_NS_MAX = 2_000_000;

    private final String settings;
    private final String pythonExecutable;
    private final String definitionDigest;
    private final int first;
    private final int end;
    private final int delayMs;
    private final boolean isFirst;
    private final boolean isLast;

    /**
     * @param settings of the deployment, as JSON
     * @param pythonExecutable path of the Python to start
     * @param definitionDigest digest of the definitions that the job is submitted with
     * @param first position of the first entity
     * @param end position after the last entity; equal to {@code first} for none
     * @param delayMs longest time that an element waits for its batch while more elements are at
     *     hand, ms; 0 turns batching off
     * @param isFirst whether it gets records of the source, not packs; only it waits for more when
     *     the input pauses, the others get what it has joined
     * @param isLast whether it emits records to produce, not packs
     */
    public EngineOperator(
            String settings,
            String pythonExecutable,
            String definitionDigest,
            int first,
            int end,
            int delayMs,
            boolean isFirst,
            boolean isLast) {
        this.settings = Objects.requireNonNull(settings);
        this.pythonExecutable = Objects.requireNonNull(pythonExecutable);
        this.definitionDigest = Objects.requireNonNull(definitionDigest);
        this.first = first;
        this.end = end;
        this.delayMs = delayMs;
        this.isFirst = isFirst;
        this.isLast = isLast;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <T extends StreamOperator<Tuple2<String, byte[]>>> T createStreamOperator(
            StreamOperatorParameters<Tuple2<String, byte[]>> parameters) {
        MailboxExecutorImpl mailbox = (MailboxExecutorImpl) parameters.getMailboxExecutor();
        return (T) new Operator(parameters, mailbox, this);
    }

    @Override
    @SuppressWarnings("rawtypes")
    public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
        return Operator.class;
    }

    private static final class Operator extends AbstractStreamOperator<Tuple2<String, byte[]>>
            implements OneInputStreamOperator<Tuple2<String, byte[]>, Tuple2<String, byte[]>> {
        private static final long serialVersionUID = 1L;
        private static final byte JOURNALS_NEEDED = 'J';
        private static final byte APPEND = 'A';

        private final transient MailboxExecutorImpl mailbox;
        private final EngineOperator factory;
        private final transient Batch batch = new Batch(BATCH_BYTES);
        private final transient List<Journals> journals = new ArrayList<>();
        private final transient List<JournalChanges> changes = new ArrayList<>();
        private final transient ProcessingTimeService timers;
        private transient PythonStage stage;
        private transient Packs packs;
        private transient OnlineRewrite rewrite;
        private final transient FlushDelay delay;
        private transient TimerGauge idleTime;
        private boolean isCheckQueued;

        Operator(
                StreamOperatorParameters<Tuple2<String, byte[]>> parameters,
                MailboxExecutorImpl mailbox,
                EngineOperator factory) {
            super(parameters);
            this.mailbox = mailbox;
            this.factory = factory;
            this.timers = parameters.getProcessingTimeService();
            this.delay = new FlushDelay(factory.delayMs, factory.isFirst ? factory.delayMs : 0);
        }

        @Override
        public void open() throws Exception {
            super.open();
            idleTime = metrics.getTaskIOMetricGroup().getIdleTimeMsPerSecond();
            TaskInfo task = getRuntimeContext().getTaskInfo();
            for (int entity = factory.first; entity < factory.end; entity++) {
                Journals ofEntity =
                        new Journals(getRuntimeContext().getListState(Journals.descriptor(entity)));
                journals.add(ofEntity);
                changes.add(new JournalChanges(ofEntity, task.getMaxNumberOfParallelSubtasks()));
            }
            packs = new Packs(
                    task.getNumberOfParallelSubtasks(), task.getMaxNumberOfParallelSubtasks());
            stage = new PythonStage(
                    factory.pythonExecutable,
                    "streams.velocity.operators",
                    factory.settings,
                    factory.definitionDigest,
                    factory.first,
                    factory.end,
                    task.getIndexOfThisSubtask());
            if (!journals.isEmpty()) {
                KeyedStateBackend<String> backend = getKeyedStateBackend();
                rewrite = new OnlineRewrite(
                        stage, backend, timers, getMetricGroup(), journals, factory.first);
            }
        }

        /** An element has no key of its own; each record in it gets its key when it is stored. */
        @Override
        @SuppressWarnings("rawtypes")
        public void setKeyContextElement1(StreamRecord element) {}

        @Override
        public void processElement(StreamRecord<Tuple2<String, byte[]>> element) throws Exception {
            byte[] added = element.getValue().f1;
            int count = factory.isFirst ? 1 : Batch.count(added);
            if (batch.elements() + count > ELEMENTS_MAX || batch.bytes() + added.length > BYTES_MAX) {
                flush();
            }
            if (batch.isEmpty()) {
                delay.start(System.nanoTime());
            }
            if (factory.isFirst) {
                batch.add(added);
            } else {
                batch.addAll(added, count);
            }
            if (batch.elements() >= ELEMENTS_MAX || batch.bytes() >= BYTES_MAX) {
                flush();
            } else if (!isCheckQueued) {
                isCheckQueued = true;
                queueCheck();
            }
        }

        /** The mailbox runs the check after the next element, or at once when there is no input. */
        private void queueCheck() {
            mailbox.execute(this::flushIfDue, "flush the batch if it is due");
        }

        private void flushIfDue() throws Exception {
            isCheckQueued = false;
            if (batch.isEmpty()) {
                return;
            }
            boolean isIdle = mailbox.isIdle();
            long waitNs = delay.leftNs(System.nanoTime(), isIdle);
            if (waitNs == 0) {
                flush();
                return;
            }
            if (isIdle) {
                sleep(waitNs);
            }
            isCheckQueued = true;
            queueCheck();
        }

        /**
         * Waits in the task's thread. A timer would wake two threads, and what arrives meanwhile would
         * wake this one for each fetch. Not longer than {@link #SLEEP_NS_MAX}: then the task takes
         * what has arrived, of which its source holds little, and checks again.
         */
        private void sleep(long waitNs) {
            // Flink's metrics count the time as idle, as they do while the input pauses.
            idleTime.markStart();
            LockSupport.parkNanos(Math.min(waitNs, SLEEP_NS_MAX));
            idleTime.markEnd();
        }

        private void flush() throws Exception {
            if (batch.isEmpty()) {
                return;
            }
            delay.end(batch.elements());
            ByteBuffer answer = ByteBuffer.wrap(stage.call("process", batch.take()));
            while (answer.get() == JOURNALS_NEEDED) {
                answer = ByteBuffer.wrap(stage.call("resume", readJournals(answer)));
            }
            store(answer);
            emit(answer);
        }

        private void emit(ByteBuffer answer) {
            StreamRecord<Tuple2<String, byte[]>> record = new StreamRecord<>(null);
            for (int emitted = answer.getInt(); emitted > 0; emitted--) {
                String key = key(answer);
                if (factory.isLast) {
                    output.collect(record.replace(Tuple2.of(key, element(answer))));
                } else {
                    packs.add(key, answer, answer.getInt());
                }
            }
            packs.take(pack -> output.collect(record.replace(pack)));
        }

        /** Returns the journals that the engine asks for, in their order. */
        private byte[] readJournals(ByteBuffer missing) throws Exception {
            Batch read = new Batch(BATCH_BYTES);
            for (int count = missing.getInt(); count > 0; count--) {
                Journals ofEntity = journals.get(missing.get() - factory.first);
                setCurrentKey(key(missing));
                read.add(ofEntity.read());
            }
            return read.take();
        }

        private void store(ByteBuffer answer) throws Exception {
            for (int count = answer.getInt(); count > 0; count--) {
                JournalChanges ofEntity = changes.get(answer.get() - factory.first);
                boolean isAppended = answer.get() == APPEND;
                String key = key(answer);
                byte[] entry = element(answer);
                if (isAppended) {
                    ofEntity.append(key, entry);
                } else {
                    ofEntity.replace(key, entry);
                }
            }
            for (JournalChanges ofEntity : changes) {
                ofEntity.write(getKeyedStateBackend());
            }
        }

        private static String key(ByteBuffer answer) {
            byte[] key = new byte[answer.getShort() & 0xFFFF];
            answer.get(key);
            return new String(key, StandardCharsets.UTF_8);
        }

        private static byte[] element(ByteBuffer answer) {
            byte[] element = new byte[answer.getInt()];
            answer.get(element);
            return element;
        }

        @Override
        public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
            flush();
        }

        @Override
        public void finish() throws Exception {
            flush();
            super.finish();
        }

        @Override
        public void close() throws Exception {
            if (rewrite != null) {
                rewrite.close();
                rewrite = null;
            }
            if (stage != null) {
                stage.close();
                stage = null;
            }
            super.close();
        }
    }
}

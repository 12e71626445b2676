package weir;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.state.KeyedStateBackend;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;

/**
 * Gives the journals of all keys to the engine, slice by slice, when Redis has lost states.
 *
 * Runs in the task's thread between two batches, by a timer: so a journal that is read is the state
 * after the last batch, and a batch waits for one slice at most. Python says which slices it wants
 * (streams/velocity/online_rewrite.py), and wants none while enough keys wait for Redis. The keys
 * of a rewrite are those that existed when it started; a newer key is written when it changes.
 */
final class OnlineRewrite implements AutoCloseable {
    private static final byte START = 'S';
    private static final byte NEXT = 'N';
    private static final long IDLE_MS = 200;
    /** Pause between two slices; a slice takes about a millisecond. */
    private static final long ACTIVE_MS = 5;
    /** From so many bytes of journals on a slice takes no further key. */
    private static final int SLICE_BYTES_MAX = 32 * 1024;

    private final PythonStage stage;
    private final KeyedStateBackend<String> backend;
    private final ProcessingTimeService timers;
    private final List<Journals> journals;
    private final int first;
    private final Map<Integer, Stream<String>> opened = new HashMap<>();
    private final Map<Integer, Iterator<String>> keys = new HashMap<>();
    private final Counter rewrites;
    private final Counter rewrittenKeys;

    /**
     * @param journals of the entities
     * @param first position of the first entity
     */
    OnlineRewrite(
            PythonStage stage,
            KeyedStateBackend<String> backend,
            ProcessingTimeService timers,
            MetricGroup metrics,
            List<Journals> journals,
            int first) {
        this.stage = stage;
        this.backend = backend;
        this.timers = timers;
        this.journals = journals;
        this.first = first;
        rewrites = metrics.counter("onlineRewrites");
        rewrittenKeys = metrics.counter("onlineRewrittenKeys");
        schedule(IDLE_MS);
    }

    @Override
    public void close() {
        opened.values().forEach(Stream::close);
        opened.clear();
        keys.clear();
    }

    private void schedule(long delayMs) {
        timers.registerTimer(timers.getCurrentProcessingTime() + delayMs, this::giveWhatIsWanted);
    }

    private void giveWhatIsWanted(long timestampMs) throws Exception {
        ByteBuffer wishes = ByteBuffer.wrap(stage.call("rewrite_wishes"));
        schedule(wishes.hasRemaining() ? ACTIVE_MS : IDLE_MS);
        while (wishes.hasRemaining()) {
            int entity = wishes.get();
            byte wish = wishes.get();
            int keysMax = wishes.getShort() & 0xFFFF;
            if (wish == START) {
                start(entity);
            }
            if (wish == START || wish == NEXT) {
                give(entity, keysMax);
            }
        }
    }

    private void start(int entity) {
        Stream<String> before = opened.remove(entity);
        if (before != null) {
            before.close();
        }
        String name = Journals.descriptor(entity).getName();
        opened.put(entity, backend.getKeys(name, VoidNamespace.INSTANCE));
        keys.put(entity, opened.get(entity).iterator());
        rewrites.inc();
    }

    private void give(int entity, int keysMax) throws Exception {
        Iterator<String> ofEntity = keys.get(entity);
        Batch slice = new Batch(SLICE_BYTES_MAX);
        int taken = 0;
        while (taken < keysMax && slice.bytes() < SLICE_BYTES_MAX && ofEntity.hasNext()) {
            String key = ofEntity.next();
            backend.setCurrentKey(key);
            slice.add(key.getBytes(StandardCharsets.UTF_8));
            slice.add(journals.get(entity - first).read());
            taken++;
        }
        boolean isEnd = !ofEntity.hasNext();
        rewrittenKeys.inc(taken);
        stage.call("rewrite", entity, slice.take(), isEnd ? 1 : 0);
        if (isEnd) {
            opened.remove(entity).close();
        }
    }
}

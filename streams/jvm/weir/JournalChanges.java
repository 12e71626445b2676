package weir;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.flink.runtime.state.KeyGroupRangeAssignment;
import org.apache.flink.runtime.state.KeyedStateBackend;

/**
 * The changes of an entity's journals in one batch, collected so that each key is written once.
 *
 * They are written in the order in which RocksDB keeps the keys, nearly: one write then finds much
 * of what it reads in the processor's cache, because the write before it has read the same.
 */
public final class JournalChanges {
    private final Journals journals;
    private final int keyGroups;
    private final Map<Place, OfKey> changes = new TreeMap<>();

    /**
     * @param journals where they are written
     * @param keyGroups number of key groups of the job, Flink's maximum parallelism
     */
    public JournalChanges(Journals journals, int keyGroups) {
        this.journals = journals;
        this.keyGroups = keyGroups;
    }

    /** Adds an entry to the journal of a key. */
    public void append(String key, byte[] entry) {
        of(key).entries.add(entry);
    }

    /** Replaces all entries of the journal of a key by this one. */
    public void replace(String key, byte[] snapshot) {
        OfKey change = of(key);
        change.isReplaced = true;
        change.entries.clear();
        change.entries.add(snapshot);
    }

    /** Writes them. Setting a key that belongs to another subtask fails, so no key gets another's. */
    public void write(KeyedStateBackend<String> backend) throws Exception {
        for (Map.Entry<Place, OfKey> change : changes.entrySet()) {
            backend.setCurrentKey(change.getKey().key);
            OfKey ofKey = change.getValue();
            if (ofKey.isReplaced) {
                journals.replace(ofKey.entries);
            } else {
                journals.append(ofKey.entries);
            }
        }
        changes.clear();
    }

    private OfKey of(String key) {
        int keyGroup = KeyGroupRangeAssignment.assignToKeyGroup(key, keyGroups);
        return changes.computeIfAbsent(new Place(keyGroup, key), place -> new OfKey());
    }

    private record Place(int keyGroup, String key) implements Comparable<Place> {
        @Override
        public int compareTo(Place other) {
            int order = Integer.compare(keyGroup, other.keyGroup);
            return order != 0 ? order : key.compareTo(other.key);
        }
    }

    private static final class OfKey {
        private final List<byte[]> entries = new ArrayList<>(2);
        private boolean isReplaced;
    }
}

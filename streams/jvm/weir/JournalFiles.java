package weir;

import java.util.Collection;

import org.apache.flink.state.rocksdb.RocksDBOptionsFactory;
import org.rocksdb.ColumnFamilyOptions;
import org.rocksdb.DBOptions;

/**
 * RocksDB options for the journals, which are appended for every event and read after a restart.
 *
 * Every checkpoint adds a small file. By default RocksDB compacts at four files, so it would
 * rewrite the journals every few seconds and use a sixth of the TaskManager's CPU under load.
 * Compaction makes reads faster, but the job hardly reads while the states in use fit into memory.
 */
public final class JournalFiles implements RocksDBOptionsFactory {
    private static final long serialVersionUID = 1L;

    private static final int COMPACTED_AT_FILES = 24;
    private static final int SLOWED_AT_FILES = 2 * COMPACTED_AT_FILES;
    private static final int STOPPED_AT_FILES = 3 * COMPACTED_AT_FILES;

    @Override
    public DBOptions createDBOptions(DBOptions options, Collection<AutoCloseable> handles) {
        return options;
    }

    @Override
    public ColumnFamilyOptions createColumnOptions(
            ColumnFamilyOptions options, Collection<AutoCloseable> handles) {
        return options
                .setLevel0FileNumCompactionTrigger(COMPACTED_AT_FILES)
                .setLevel0SlowdownWritesTrigger(SLOWED_AT_FILES)
                .setLevel0StopWritesTrigger(STOPPED_AT_FILES);
    }
}

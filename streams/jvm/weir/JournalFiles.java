package weir;

import java.util.Collection;

import org.apache.flink.state.rocksdb.RocksDBOptionsFactory;
import org.rocksdb.ColumnFamilyOptions;
import org.rocksdb.DBOptions;

/**
 * How RocksDB keeps the journals: appended all the time, read only after a restart.
 *
 * Every checkpoint leaves a small file. Merged as soon as there are four, which is RocksDB's
 * default, they are rewritten every few seconds, a sixth of the TaskManager's time under load, to
 * make reads cheap that nobody makes: the live states are in memory.
 */
public final class JournalFiles implements RocksDBOptionsFactory {
    private static final long serialVersionUID = 1L;

    private static final int MERGED_AT = 24;
    private static final int SLOWED_AT = 2 * MERGED_AT;
    private static final int STOPPED_AT = 3 * MERGED_AT;

    @Override
    public DBOptions createDBOptions(DBOptions options, Collection<AutoCloseable> handles) {
        return options;
    }

    @Override
    public ColumnFamilyOptions createColumnOptions(
            ColumnFamilyOptions options, Collection<AutoCloseable> handles) {
        return options
                .setLevel0FileNumCompactionTrigger(MERGED_AT)
                .setLevel0SlowdownWritesTrigger(SLOWED_AT)
                .setLevel0StopWritesTrigger(STOPPED_AT);
    }
}

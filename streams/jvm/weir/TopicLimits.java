package weir;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;

import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.AdminClient;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Config;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.config.ConfigResource;

/**
 * How large a record of each topic may be: the broker's {@code max.message.bytes}, and the sink's.
 *
 * Read when the sink opens, so a job that failed because a limit was lowered knows it after the
 * restart. Read again when a record does not fit, but not more than once in {@link #AGE_NS_MAX}.
 */
final class TopicLimits {
    private static final String NAME = "max.message.bytes";
    private static final long AGE_NS_MAX = 1_000_000_000L;
    /** A broker that compresses again may make random bytes larger by less than this share. */
    private static final long RESERVE_SHARE = 64;

    private final Map<String, Object> admin;
    private final Collection<String> topics;
    private final long requestBytesMax;
    private Map<String, Long> limits = Map.of();
    private long readNs;

    TopicLimits(String bootstrap, Collection<String> topics, long requestBytesMax) {
        this.admin = Map.of("bootstrap.servers", bootstrap);
        this.topics = List.copyOf(topics);
        this.requestBytesMax = requestBytesMax;
    }

    /** Returns the limit of a topic, bytes, less a reserve; the sink's for an unknown topic. */
    long of(String topic) {
        long limit = Math.min(requestBytesMax, limits.getOrDefault(topic, requestBytesMax));
        return limit - limit / RESERVE_SHARE;
    }

    void readIfOld() throws ExecutionException, InterruptedException {
        if (System.nanoTime() - readNs >= AGE_NS_MAX) {
            read();
        }
    }

    void read() throws ExecutionException, InterruptedException {
        List<ConfigResource> resources = new ArrayList<>();
        for (String topic : topics) {
            resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic));
        }
        Map<String, Long> found = new HashMap<>();
        try (AdminClient client = AdminClient.create(admin)) {
            Map<ConfigResource, Config> configs = client.describeConfigs(resources).all().get();
            configs.forEach((resource, config) ->
                    found.put(resource.name(), Long.valueOf(config.get(NAME).value())));
        }
        limits = found;
        readNs = System.nanoTime();
    }
}

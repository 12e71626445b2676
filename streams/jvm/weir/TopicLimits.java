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
 * What the topics of the sink accept: sizes, timestamps, and whether a record needs a key.
 *
 * Read when the sink opens, so a job that failed because of a changed setting knows it after the
 * restart. Read again when a record does not fit, but not more than once in {@link #AGE_NS_MAX}.
 */
final class TopicLimits {
    private static final long AGE_NS_MAX = 1_000_000_000L;
    /** A broker that compresses again may make random bytes larger by less than this share. */
    private static final long RESERVE_SHARE = 64;

    private final Map<String, Object> admin;
    private final Collection<String> topics;
    private final long requestBytesMax;
    private Map<String, Limits> limits = Map.of();
    private long readNs;

    TopicLimits(String bootstrap, Collection<String> topics, long requestBytesMax) {
        this.admin = Map.of("bootstrap.servers", bootstrap);
        this.topics = List.copyOf(topics);
        this.requestBytesMax = requestBytesMax;
    }

    /** Returns the largest record of a topic, bytes, less a reserve. */
    long bytesMax(String topic) {
        return limits.get(topic).bytesMax;
    }

    /** Whether the topic accepts a timestamp of the producer now, ms since 1970 UTC. */
    boolean acceptsTimestamp(String topic, long timestampMs) {
        long aheadMs = timestampMs - System.currentTimeMillis();
        Limits ofTopic = limits.get(topic);
        return timestampMs >= 0 && -ofTopic.behindMsMax <= aheadMs && aheadMs <= ofTopic.aheadMsMax;
    }

    /** Whether the topic is compacted, so that every record must have a key. */
    boolean needsKey(String topic) {
        return limits.get(topic).isCompacted;
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
        Map<String, Limits> found = new HashMap<>();
        try (AdminClient client = AdminClient.create(admin)) {
            client.describeConfigs(resources).all().get().forEach(
                    (resource, config) -> found.put(resource.name(), limitsOf(config)));
        }
        limits = found;
        readNs = System.nanoTime();
    }

    private Limits limitsOf(Config topic) {
        long bytesMax = Math.min(requestBytesMax, number(topic, "max.message.bytes"));
        return new Limits(
                bytesMax - bytesMax / RESERVE_SHARE,
                number(topic, "message.timestamp.before.max.ms"),
                number(topic, "message.timestamp.after.max.ms"),
                topic.get("cleanup.policy").value().contains("compact"));
    }

    private static long number(Config topic, String name) {
        return Long.parseLong(topic.get(name).value());
    }

    private record Limits(long bytesMax, long behindMsMax, long aheadMsMax, boolean isCompacted) {}
}

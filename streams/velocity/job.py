"""The graph of the velocity job, from source to sink. Wiring only.

    parallelism 1:    transactions -> engine: decode, fold by user and by merchant -> features
                      labels -------^                                               -> dead-letters

    parallelism > 1:  transactions -> engine: decode -> by user: fold -> by merchant: fold -> ...
                      labels -------^

With a parallelism above 1, an operator sends the next one a pack of records for each subtask
(``Packs.java``), not a record at a time.

Source and sink are Flink's Kafka connectors; records are framed in the JVM (``streams/jvm``). Every
engine operator is an ``EngineOperator.java``, which calls Python (``operators.py``) once for a
batch. Submitted by ``submit.py``.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from features.definitions import DEFINITION_DIGEST
from features.engine.plan import ENTITIES
from schemas import topics
from schemas.settings import Settings
from streams.velocity.cluster import GROUP_ID, JOB_NAME, KEY_GROUPS, engine_operators

_DESERIALIZER = "weir.LimitedBytesDeserializer"
_POLL_RECORDS_MAX = 100
"""Records that the source's client gives at once. Four times as many are in memory, each with up to
``topics.INPUT_BYTES_MAX`` bytes, whatever they have compressed."""
_LINGER_MS = 0
"""Linger time of the sink's producer, ms: none, because the rows of a batch come together, and the
engine's operator has waited for more events where that pays."""
_REQUESTS_IN_FLIGHT_MAX = 1
"""Unacknowledged requests of the sink's producer. The producer sends the first row of a batch at
once; meanwhile the others collect, and leave in one request."""
_BATCH_BYTES_MAX = 131_072
"""Batch size of the sink's producer, bytes for each partition: large enough to send the rows of a
batch in one request."""
_DELIVERY_TIMEOUT_MS = 30_000
"""Longest wait of the sink for an acknowledgement, ms; longer than a restart of the broker. Then
the job restarts. A batch that is larger than its topic accepts can keep Kafka's idempotent producer
from sending anything to its partition for as long."""
_REQUEST_TIMEOUT_MS = 20_000
"""Timeout of one request of the sink, ms."""


def environment(settings: Settings, *, restore_from: str | None) -> StreamExecutionEnvironment:
    """The execution environment of the session cluster at ``settings.flink_rest_url``.

    Args:
        settings: addresses, parallelism, checkpoint interval.
        restore_from: URI of a checkpoint or savepoint; None starts with empty state at the
            beginning of the topics.
    """
    options = {
        "execution.attached": "false",
        "pipeline.name": JOB_NAME,
        "parallelism.default": str(settings.flink_parallelism),
        "pipeline.max-parallelism": str(KEY_GROUPS),
        "pipeline.object-reuse": "true",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms}ms",
        "execution.checkpointing.mode": "AT_LEAST_ONCE",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.buffer-timeout.interval": "1ms",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "200ms",
        "restart-strategy.exponential-delay.max-backoff": "10s",
    }
    if restore_from is not None:
        options["execution.state-recovery.path"] = restore_from
    return remote_environment(settings, options)


def remote_environment(
    settings: Settings, options: Mapping[str, str]
) -> StreamExecutionEnvironment:
    """An execution environment of the session cluster at ``settings.flink_rest_url``.

    Args:
        settings: address of the cluster.
        options: Flink options by name.
    """
    host, _, port = settings.flink_rest_url.removeprefix("http://").partition(":")
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    gateway = get_gateway()
    remote = gateway.jvm.org.apache.flink.streaming.api.environment.RemoteStreamEnvironment
    # get_execution_environment() would start a cluster of its own inside this process.
    no_jars = gateway.new_array(gateway.jvm.java.lang.String, 0)
    return StreamExecutionEnvironment(
        remote(host, int(port), configuration._j_configuration, no_jars)
    )


def build(
    env: StreamExecutionEnvironment,
    settings: Settings,
    *,
    next_offsets: Mapping[str, Mapping[int, int]],
) -> None:
    """Add the graph to ``env``.

    Args:
        env: the execution environment.
        settings: of the deployment.
        next_offsets: first offset to read by topic and partition, unless the restored state has
            offsets; other partitions are read from the beginning.
    """
    elements = _source(env, settings, next_offsets)
    if settings.flink_parallelism == 1:
        (operator,) = engine_operators(settings)
        elements = _engine(
            elements, settings, "engine", operator.first, operator.end, is_first=True
        )
        elements.uid(operator.uid)
    else:
        elements = _engine(elements, settings, "decode and route", 0, 0, is_first=True)
        elements.uid("route")
        for operator in engine_operators(settings):
            name = f"engine: {ENTITIES[operator.first].entity}"
            packs = _to_subtasks(elements)
            elements = _engine(packs, settings, name, operator.first, operator.end)
            elements.uid(operator.uid)
    _sink(elements, settings)


def _engine(
    elements: Any,
    settings: Settings,
    name: str,
    first: int,
    end: int,
    *,
    is_first: bool = False,
) -> Any:
    """An engine operator for the entities from ``first`` up to ``end``; none: it only decodes.

    The first operator of the job gets records, the others what the one before them sends.
    """
    glue = get_gateway().jvm.weir
    # PEMJA starts this Python inside the TaskManager; its default is the first one on the PATH.
    operator = glue.EngineOperator(
        settings.model_dump_json(),
        sys.executable,
        DEFINITION_DIGEST,
        first,
        end,
        settings.batching_delay_ms,
        is_first,
        end == len(ENTITIES),
    )
    transformed = elements.transform(name, glue.KeyedFrames.TYPE, operator)
    if first < end:
        # Not by keyBy, which would take a key from each element: the operator sets the keys.
        transformation = transformed.getTransformation()
        transformation.setStateKeySelector(glue.KeyedFrames())
        transformation.setStateKeyType(glue.KeyedFrames.KEY_TYPE)
    return transformed


def _source(
    env: StreamExecutionEnvironment,
    settings: Settings,
    next_offsets: Mapping[str, Mapping[int, int]],
) -> Any:
    """Transactions and labels as ``("", frame)``; one source, so that one thread reads both."""
    jvm = get_gateway().jvm
    kafka = jvm.org.apache.flink.connector.kafka.source
    starts = {
        f"{topic}/{partition}": str(offset)
        for topic, of_topic in next_offsets.items()
        for partition, offset in of_topic.items()
    }
    builder = (
        kafka.KafkaSource.builder()
        .setBootstrapServers(settings.kafka_bootstrap)
        .setGroupId(GROUP_ID)
        .setTopics(_java_strings(topics.TRANSACTIONS, topics.LABELS))
        .setStartingOffsets(jvm.weir.StartOffsets.of(starts))
        .setDeserializer(jvm.weir.RecordFrameDeserializer())
        .setProperty("partition.discovery.interval.ms", "10000")
        .setProperty("commit.offsets.on.checkpoint", "true")
        # Records of an aborted transaction never happened.
        .setProperty("isolation.level", "read_committed")
        .setProperty("key.deserializer", _DESERIALIZER)
        .setProperty("value.deserializer", _DESERIALIZER)
        .setProperty("max.poll.records", str(_POLL_RECORDS_MAX))
    )
    strategy = jvm.org.apache.flink.api.common.eventtime.WatermarkStrategy.noWatermarks()
    stream = env._j_stream_execution_environment.fromSource(builder.build(), strategy, "events")
    return stream.uid("source-events")


def _to_subtasks(packs: Any) -> Any:
    """Send each pack to the subtask that it is for.

    With a parallelism of 1 there are no packs: source, engine and sink form one chain in one
    thread, without serialisation and hand-over.
    """
    glue = get_gateway().jvm.weir
    return packs.partitionCustom(glue.ToSubtask(), glue.KeyedFrames())


def _sink(records: Any, settings: Settings) -> None:
    jvm = get_gateway().jvm
    guarantee = jvm.org.apache.flink.connector.base.DeliveryGuarantee.AT_LEAST_ONCE
    serializer = jvm.weir.RecordFrameSerializer(
        settings.kafka_bootstrap,
        topics.TRANSACTIONS,
        topics.FEATURES,
        topics.DEAD_LETTERS,
        topics.RECORD_BYTES_MAX,
    )
    sink = (
        jvm.org.apache.flink.connector.kafka.sink.KafkaSink.builder()
        .setBootstrapServers(settings.kafka_bootstrap)
        .setRecordSerializer(serializer)
        .setDeliveryGuarantee(guarantee)
        .setProperty("acks", "all")
        .setProperty("linger.ms", str(_LINGER_MS))
        .setProperty("max.in.flight.requests.per.connection", str(_REQUESTS_IN_FLIGHT_MAX))
        .setProperty("batch.size", str(_BATCH_BYTES_MAX))
        .setProperty("compression.type", settings.topic_compression)
        .setProperty("compression.zstd.level", str(topics.ZSTD_LEVEL))
        .setProperty("max.request.size", str(topics.RECORD_BYTES_MAX))
        .setProperty("delivery.timeout.ms", str(_DELIVERY_TIMEOUT_MS))
        .setProperty("request.timeout.ms", str(_REQUEST_TIMEOUT_MS))
        .build()
    )
    records.sinkTo(sink).name("features, dead-letters").uid("sink")


def _java_strings(*values: str):  # type: ignore[no-untyped-def]
    gateway = get_gateway()
    array = gateway.new_array(gateway.jvm.java.lang.String, len(values))
    for index, value in enumerate(values):
        array[index] = value
    return array

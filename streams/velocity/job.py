"""The velocity job's graph, top to bottom. Wiring only.

    transactions -> by user: validate, fold -> by merchant: fold, finish row -> features
    labels -------> pass on ------------------------^                       -> dead-letters

The sources and the sink are Kafka's, keyed and framed in the JVM (``streams/jvm``); the two
operators are Python, called from there (``operators.py``). Rows whose events came together leave
together (``Bundling.java``). Submitted by ``submit.py``.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from schemas import topics
from schemas.settings import Settings
from streams.velocity.cluster import GROUP_ID, JOB_NAME, MERCHANT_UID, USER_UID

_DEAD_LETTER_BYTES_MAX = 2 * 1024 * 1024
_GATHERED_BYTES_MAX = 65_536
"""Events that gather at the broker, bytes: as many are taken at once, however young they are."""
_LINGER_MS = 1
"""How long the sink's producer waits after a row: a bundle is in its hands at once."""
_BATCH_BYTES_MAX = 131_072
"""Rows of one partition that are sent at once, bytes: a bundle of any size is one request."""


def environment(settings: Settings, *, restore_from: str | None) -> StreamExecutionEnvironment:
    """The execution environment of the session cluster at ``settings.flink_rest_url``.

    Args:
        settings: addresses, parallelism, checkpoint interval.
        restore_from: path of a retained checkpoint or savepoint; None starts with empty state
            at the beginning of the topics.
    """
    options = {
        "execution.attached": "false",
        "pipeline.name": JOB_NAME,
        "parallelism.default": str(settings.flink_parallelism),
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
        settings: the cluster's address.
        options: Flink's, by name.
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
    """Put the graph into ``env``.

    Args:
        env: of the cluster.
        settings: of the deployment.
        next_offsets: by topic and partition the first offset to read, unless the restored state
            says so itself; the beginning for what is not named.
    """
    glue = get_gateway().jvm.weir
    # The Python that PEMJA starts inside the TaskManager; by default the first one on its PATH.
    arguments = settings.model_dump_json(), sys.executable
    keyed = _keyed_in_place if settings.flink_parallelism == 1 else _keyed
    by_merchant = keyed(_source(env, settings, next_offsets)).process(
        glue.UserFold(*arguments, topics.LABELS), glue.KeyedFrames.TYPE
    )
    by_merchant.name("user velocity").uid(USER_UID)
    records = keyed(by_merchant).process(glue.MerchantFold(*arguments), glue.KeyedFrames.FRAME_TYPE)
    records.name("merchant risk").uid(MERCHANT_UID)
    bundles = records.transform(
        "bundles", glue.KeyedFrames.FRAME_TYPE, glue.Bundling(settings.gather_ms)
    )
    _sink(bundles.uid("bundles"), settings)


def _source(
    env: StreamExecutionEnvironment,
    settings: Settings,
    next_offsets: Mapping[str, Mapping[int, int]],
) -> Any:
    """Transactions and labels as ``(key, record frame)``: one source, so one thread reads both."""
    jvm = get_gateway().jvm
    kafka = jvm.org.apache.flink.connector.kafka.source
    starts = {
        f"{topic}/{partition}": str(offset)
        for topic, of_topic in next_offsets.items()
        for partition, offset in of_topic.items()
    }
    key_fields = {topics.TRANSACTIONS: "user_id", topics.LABELS: "merchant_id"}
    builder = (
        kafka.KafkaSource.builder()
        .setBootstrapServers(settings.kafka_bootstrap)
        .setGroupId(GROUP_ID)
        .setTopics(_java_strings(*key_fields))
        .setStartingOffsets(jvm.weir.StartOffsets.of(starts))
        .setDeserializer(jvm.weir.KeyedRecordDeserializer(key_fields))
        .setProperty("partition.discovery.interval.ms", "10000")
        .setProperty("commit.offsets.on.checkpoint", "true")
    )
    if settings.gather_ms:
        # Each fetch wakes a dozen threads from here to the decision, whatever it brings.
        builder.setProperty("fetch.min.bytes", str(_GATHERED_BYTES_MAX))
        builder.setProperty("fetch.max.wait.ms", str(settings.gather_ms))
    strategy = jvm.org.apache.flink.api.common.eventtime.WatermarkStrategy.noWatermarks()
    stream = env._j_stream_execution_environment.fromSource(builder.build(), strategy, "events")
    return stream.uid("source-events")


def _keyed(stream: Any) -> Any:
    """``stream`` of ``(key, frame)``, sent over the network to the subtask that has the key.

    PyFlink's ``key_by`` would put an operator of its own around every element.
    """
    frames = get_gateway().jvm.weir.KeyedFrames
    return stream.keyBy(frames(), frames.KEY_TYPE)


def _keyed_in_place(stream: Any) -> Any:
    """The same where there is one subtask, which has all keys: nothing needs to be sent.

    So source, both stages and sink are one chain in one thread: no serialisation, no hand-over
    from thread to thread, and no two threads that wait for one interpreter.
    """
    jvm = get_gateway().jvm
    utils = jvm.org.apache.flink.streaming.api.datastream.DataStreamUtils
    frames = jvm.weir.KeyedFrames
    return utils.reinterpretAsKeyedStream(stream, frames(), frames.KEY_TYPE)


def _sink(records: Any, settings: Settings) -> None:
    jvm = get_gateway().jvm
    guarantee = jvm.org.apache.flink.connector.base.DeliveryGuarantee.AT_LEAST_ONCE
    sink = (
        jvm.org.apache.flink.connector.kafka.sink.KafkaSink.builder()
        .setBootstrapServers(settings.kafka_bootstrap)
        .setRecordSerializer(jvm.weir.RecordFrameSerializer())
        .setDeliveryGuarantee(guarantee)
        .setProperty("acks", "all")
        .setProperty("linger.ms", str(_LINGER_MS))
        .setProperty("batch.size", str(_BATCH_BYTES_MAX))
        # A dead letter is a record of full size plus its headers.
        .setProperty("max.request.size", str(_DEAD_LETTER_BYTES_MAX))
        .build()
    )
    records.sinkTo(sink).name("features, dead-letters").uid("sink")


def _java_strings(*values: str):  # type: ignore[no-untyped-def]
    gateway = get_gateway()
    array = gateway.new_array(gateway.jvm.java.lang.String, len(values))
    for index, value in enumerate(values):
        array[index] = value
    return array

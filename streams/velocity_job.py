"""The velocity job's graph, top to bottom. Wiring only.

    transactions -> by user: validate, fold -> by merchant: fold, finish row -> features
    labels ------------------------------------^                            -> dead-letters

The sources and the sink are Kafka's, keyed and framed in the JVM (``streams/jvm``); the two
operators are Python. Submitted by ``submit.py``.
"""

import sys

from pyflink.common import Configuration
from pyflink.common.typeinfo import Types
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from schemas import topics
from schemas.settings import Settings
from streams.cluster import JOB_NAME
from streams.operators import MerchantVelocity, UserVelocity

GROUP_ID = "weir-velocity"

_DEAD_LETTER_BYTES_MAX = 2 * 1024 * 1024
_KEYED_TEXT = Types.ROW([Types.STRING(), Types.STRING()])


def environment(settings: Settings, *, restore_from: str | None) -> StreamExecutionEnvironment:
    """The execution environment of the session cluster at ``settings.flink_rest_url``.

    Args:
        settings: addresses, parallelism, checkpoint interval.
        restore_from: path of a retained checkpoint or savepoint; None starts with empty state
            at the beginning of the topics.
    """
    host, _, port = settings.flink_rest_url.removeprefix("http://").partition(":")
    configuration = Configuration()
    options = {
        "execution.attached": "false",
        "pipeline.name": JOB_NAME,
        "parallelism.default": str(settings.flink_parallelism),
        "pipeline.object-reuse": "true",
        "python.execution-mode": "thread",
        # The one PEMJA starts inside the TaskManager; by default the first `python` on its PATH.
        "python.executable": sys.executable,
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
    for name, value in options.items():
        configuration.set_string(name, value)
    gateway = get_gateway()
    remote = gateway.jvm.org.apache.flink.streaming.api.environment.RemoteStreamEnvironment
    # get_execution_environment() would start a cluster of its own inside this process.
    no_jars = gateway.new_array(gateway.jvm.java.lang.String, 0)
    return StreamExecutionEnvironment(
        remote(host, int(port), configuration._j_configuration, no_jars)
    )


def build(env: StreamExecutionEnvironment, settings: Settings) -> None:
    """Put the graph into ``env``."""
    transactions = _source(env, settings, topic=topics.TRANSACTIONS, key_field="user_id")
    labels = _source(env, settings, topic=topics.LABELS, key_field="merchant_id")
    by_merchant = _split_key(
        _keyed(transactions)
        .process(UserVelocity(settings), Types.STRING())
        .name("user velocity")
        .uid("user-velocity")
    )
    records = (
        _keyed(by_merchant.union(labels))
        .process(MerchantVelocity(settings), Types.STRING())
        .name("merchant risk")
        .uid("merchant-risk")
    )
    _sink(records, settings)


def _source(
    env: StreamExecutionEnvironment, settings: Settings, *, topic: str, key_field: str
) -> DataStream:
    """``topic`` as ``Row(key, record text)``."""
    jvm = get_gateway().jvm
    kafka = jvm.org.apache.flink.connector.kafka.source
    initializer = kafka.enumerator.initializer.OffsetsInitializer
    source = (
        kafka.KafkaSource.builder()
        .setBootstrapServers(settings.kafka_bootstrap)
        .setGroupId(GROUP_ID)
        .setTopics(_java_strings(topic))
        .setStartingOffsets(initializer.earliest())
        .setDeserializer(jvm.weir.KeyedRecordDeserializer(key_field))
        .setProperty("partition.discovery.interval.ms", "10000")
        .setProperty("commit.offsets.on.checkpoint", "true")
        .setProperty("fetch.max.wait.ms", "10")
        .build()
    )
    strategy = jvm.org.apache.flink.api.common.eventtime.WatermarkStrategy.noWatermarks()
    stream = env._j_stream_execution_environment.fromSource(source, strategy, topic)
    return DataStream(stream.uid(f"source-{topic}"))


def _keyed(stream: DataStream) -> KeyedStream:
    """``stream`` of ``Row(key, text)`` keyed by its first field, without PyFlink's key_by.

    ``DataStream.key_by`` would add a Python operator that computes the key of every element;
    here the JVM has put it into the row already.
    """
    jvm = get_gateway().jvm
    selector = jvm.org.apache.flink.streaming.api.functions.python.KeyByKeySelector()
    key_type = Types.ROW([Types.STRING()]).get_java_type_info()
    return KeyedStream(stream._j_data_stream.keyBy(selector, key_type), Types.STRING(), stream)


def _split_key(stream: DataStream) -> DataStream:
    jvm = get_gateway().jvm
    rows = stream._j_data_stream.map(jvm.weir.SplitKey(), _KEYED_TEXT.get_java_type_info())
    return DataStream(rows.name("split key").uid("split-key"))


def _sink(records: DataStream, settings: Settings) -> None:
    jvm = get_gateway().jvm
    guarantee = jvm.org.apache.flink.connector.base.DeliveryGuarantee.AT_LEAST_ONCE
    sink = (
        jvm.org.apache.flink.connector.kafka.sink.KafkaSink.builder()
        .setBootstrapServers(settings.kafka_bootstrap)
        .setRecordSerializer(jvm.weir.RecordTextSerializer())
        .setDeliveryGuarantee(guarantee)
        .setProperty("acks", "all")
        .setProperty("linger.ms", "1")
        # A dead letter is a record of full size plus its headers.
        .setProperty("max.request.size", str(_DEAD_LETTER_BYTES_MAX))
        .build()
    )
    records._j_data_stream.sinkTo(sink).name("features, dead-letters").uid("sink")


def _java_strings(*values: str):  # type: ignore[no-untyped-def]
    gateway = get_gateway()
    array = gateway.new_array(gateway.jvm.java.lang.String, len(values))
    for index, value in enumerate(values):
        array[index] = value
    return array

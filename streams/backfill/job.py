"""The graph of the backfill: the two stages of the velocity job over files, in batch mode.

    transactions -> by user: fold -----> by merchant: fold, finish row -> rows as JSON lines
    labels ------------------------------^
                      |                  |
                      states of users    states of merchants -> savepoint, Redis

Wiring only; ``operators.py`` opens the stages. ``weir backfill`` writes the input files, runs
``python -m streams.backfill.job PLAN`` and reads the output.
"""

import logging
import sys
from pathlib import Path
from typing import Any

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from schemas.settings import Settings
from streams.backfill.frames import MERCHANT_ORDER_AT, USER_ORDER_AT
from streams.backfill.plan import BackfillPlan
from streams.velocity.cluster import BACKFILL_JOB_NAME, MERCHANT_UID, USER_UID
from streams.velocity.job import remote_environment


def environment(settings: Settings) -> StreamExecutionEnvironment:
    """The execution environment of the session cluster, in batch mode; ``execute`` waits.

    There are no retries: a backfill that fails reports the reason and can be run again.
    """
    return remote_environment(
        settings,
        {
            "execution.runtime-mode": "BATCH",
            "execution.attached": "true",
            "pipeline.name": BACKFILL_JOB_NAME,
            "parallelism.default": str(settings.flink_parallelism),
            "restart-strategy.type": "none",
        },
    )


def build(env: StreamExecutionEnvironment, settings: Settings, plan: BackfillPlan) -> None:
    """Add the graph to ``env``."""
    glue = get_gateway().jvm.weir
    seeds = bool(plan.savepoint)
    arguments = settings.model_dump_json(), sys.executable, plan.definition_digest, seeds
    transactions = _source(env, plan.transactions, "transactions", order_at=USER_ORDER_AT)
    unfinished = _keyed(transactions).process(
        glue.BackfillFold("user", *arguments), glue.KeyedFrames.TYPE
    )
    unfinished.name("user velocity")
    labels = _source(env, plan.labels, "labels", order_at=MERCHANT_ORDER_AT)
    by_merchant = unfinished.assignTimestampsAndWatermarks(_ordered(MERCHANT_ORDER_AT))
    rows = _keyed(by_merchant.union(_java_streams(labels))).process(
        glue.BackfillFold("merchant", *arguments), glue.KeyedFrames.TYPE
    )
    rows.name("merchant risk")
    file_sink = get_gateway().jvm.org.apache.flink.connector.file.sink.FileSink
    path = get_gateway().jvm.org.apache.flink.core.fs.Path
    sink = file_sink.forRowFormat(path(Path(plan.rows).as_uri()), glue.LineEncoder()).build()
    rows.sinkTo(sink).name("rows")
    if seeds:
        _savepoint(env, settings, plan, unfinished=unfinished, rows=rows)


def _savepoint(
    env: StreamExecutionEnvironment,
    settings: Settings,
    plan: BackfillPlan,
    *,
    unfinished: Any,
    rows: Any,
) -> None:
    """Write the states to a savepoint, under the ids of the velocity job's stages."""
    jvm = get_gateway().jvm
    api = jvm.org.apache.flink.state.api
    groups = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
    writer = api.SavepointWriter.newSavepoint(
        env._j_stream_execution_environment,
        jvm.org.apache.flink.runtime.state.hashmap.HashMapStateBackend(),
        groups.computeDefaultMaxParallelism(settings.flink_parallelism),
    )
    keys = jvm.weir.KeyedFrames
    for uid, entity, stage in ((USER_UID, "user", unfinished), (MERCHANT_UID, "merchant", rows)):
        states = stage.getSideOutput(jvm.weir.BackfillFold.STATES)
        journals = (
            api.OperatorTransformation.bootstrapWith(states)
            .keyBy(keys(), keys.KEY_TYPE)
            .transform(jvm.weir.JournalBootstrap(entity))
        )
        writer = writer.withOperator(api.OperatorIdentifier.forUid(uid), journals)
    writer.write(Path(plan.savepoint).as_uri())


def _source(env: StreamExecutionEnvironment, path: str, name: str, *, order_at: int) -> Any:
    jvm = get_gateway().jvm
    file_source = jvm.org.apache.flink.connector.file.src.FileSource
    paths = get_gateway().new_array(jvm.org.apache.flink.core.fs.Path, 1)
    paths[0] = jvm.org.apache.flink.core.fs.Path(Path(path).as_uri())
    source = file_source.forRecordStreamFormat(jvm.weir.KeyedFrameFormat(), paths).build()
    return env._j_stream_execution_environment.fromSource(source, _ordered(order_at), name)


def _ordered(order_at: int) -> Any:
    """Assign the timestamps by which batch mode sorts the frames of a key."""
    jvm = get_gateway().jvm
    strategy = jvm.org.apache.flink.api.common.eventtime.WatermarkStrategy.noWatermarks()
    return strategy.withTimestampAssigner(jvm.weir.FoldOrder(order_at))


def _keyed(stream: Any) -> Any:
    frames = get_gateway().jvm.weir.KeyedFrames
    return stream.keyBy(frames(), frames.KEY_TYPE)


def _java_streams(*streams: Any) -> Any:
    data_stream = get_gateway().jvm.org.apache.flink.streaming.api.datastream.DataStream
    array = get_gateway().new_array(data_stream, len(streams))
    for index, stream in enumerate(streams):
        array[index] = stream
    return array


def main() -> None:
    """Entry point: run the plan in the file of the first argument; returns when it is finished."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    env = environment(settings)
    build(env, settings, BackfillPlan.read(Path(sys.argv[1])))
    env.execute(BACKFILL_JOB_NAME)


if __name__ == "__main__":
    main()

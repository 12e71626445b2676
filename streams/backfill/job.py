"""The graph of the backfill: the engine of the velocity job over files, in batch mode.

    transactions -> by user: fold -----> by merchant: fold, row -> rows as JSON lines
    labels ------------------------------^
                      |                  |
                      states of users    states of merchants -> savepoint, Redis

Wiring only; ``operators.py`` opens the stages. ``weir backfill`` writes the input files, runs
``python -m streams.backfill.job PLAN`` and reads the output.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from features.engine.plan import ENTITIES
from schemas.settings import Settings
from streams.backfill.frames import MERCHANT_ORDER_AT, USER_ORDER_AT
from streams.backfill.plan import BackfillPlan
from streams.velocity.cluster import BACKFILL_JOB_NAME, KEY_GROUPS, engine_operators
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
    transactions = _source(env, plan.transactions, "transactions", order_at=USER_ORDER_AT)
    events = _fold(transactions, settings, plan, entity=0)
    labels = _source(env, plan.labels, "labels", order_at=MERCHANT_ORDER_AT)
    by_merchant = events.assignTimestampsAndWatermarks(_ordered(MERCHANT_ORDER_AT))
    rows = _fold(by_merchant.union(_java_streams(labels)), settings, plan, entity=1)
    file_sink = get_gateway().jvm.org.apache.flink.connector.file.sink.FileSink
    path = get_gateway().jvm.org.apache.flink.core.fs.Path
    encoder = get_gateway().jvm.weir.LineEncoder()
    rows.sinkTo(file_sink.forRowFormat(path(Path(plan.rows).as_uri()), encoder).build())
    if plan.savepoint:
        _savepoint(env, settings, plan, folds=(events, rows))


def _fold(stream: Any, settings: Settings, plan: BackfillPlan, *, entity: int) -> Any:
    """Fold a stream for the entity at a position of the plan of features."""
    glue = get_gateway().jvm.weir
    fold = glue.BackfillFold(
        settings.model_dump_json(),
        sys.executable,
        plan.definition_digest,
        entity,
        bool(plan.savepoint),
    )
    name = f"fold by {ENTITIES[entity].entity}"
    return _keyed(stream).process(fold, glue.KeyedFrames.TYPE).name(name)


def _savepoint(
    env: StreamExecutionEnvironment,
    settings: Settings,
    plan: BackfillPlan,
    *,
    folds: Sequence[Any],
) -> None:
    """Write the states to a savepoint, for the operators of the velocity job.

    Args:
        env: the execution environment.
        settings: of the deployment.
        plan: says where the savepoint goes.
        folds: the fold of each entity, in the order of the entities.
    """
    jvm = get_gateway().jvm
    api = jvm.org.apache.flink.state.api
    writer = api.SavepointWriter.newSavepoint(
        env._j_stream_execution_environment,
        jvm.org.apache.flink.runtime.state.hashmap.HashMapStateBackend(),
        KEY_GROUPS,
    )
    keys = jvm.weir.KeyedFrames
    states = [fold.getSideOutput(jvm.weir.BackfillFold.STATES) for fold in folds]
    for operator in engine_operators(settings):
        first, *others = states[operator.first : operator.end]
        of_operator = first.union(_java_streams(*others)) if others else first
        journals = (
            api.OperatorTransformation.bootstrapWith(of_operator)
            .keyBy(keys(), keys.KEY_TYPE)
            .transform(jvm.weir.JournalBootstrap(operator.first, operator.end))
        )
        writer = writer.withOperator(api.OperatorIdentifier.forUid(operator.uid), journals)
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

"""The graph of batch scoring: one operator that scores whole parts, in Flink's batch mode.

    files of parts -> score: Parquet, model, COPY -> (what a part gave is in a file of its own)

Flink hands a part to a task that is free. If a TaskManager is lost, it hands the parts of its tasks
out again; those that have a result are not scored again. Rows never cross into the JVM. Wiring
only; ``operators.py`` opens the stages. ``weir batch score`` runs
``python -m streams.batch_scoring.job DIRECTORY PARALLELISM``.
"""

import logging
import sys
from pathlib import Path

from pyflink.java_gateway import get_gateway

from schemas.settings import Settings
from streams.batch_scoring.plan import PARTS_DIRECTORY, job_name
from streams.velocity.job import remote_environment

_RESTARTS_MAX = 5
"""A run survives the loss of so many TaskManagers; each restart repeats only unfinished parts."""


def run(settings: Settings, directory: Path, *, parallelism: int) -> None:
    """Run the parts of a directory; returns when all have a result."""
    env = remote_environment(
        settings,
        {
            "execution.runtime-mode": "BATCH",
            "execution.attached": "true",
            "pipeline.name": job_name(directory),
            "parallelism.default": str(parallelism),
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": str(_RESTARTS_MAX),
            "restart-strategy.fixed-delay.delay": "1 s",
        },
    )
    jvm = get_gateway().jvm
    file_source = jvm.org.apache.flink.connector.file.src.FileSource
    paths = get_gateway().new_array(jvm.org.apache.flink.core.fs.Path, 1)
    paths[0] = jvm.org.apache.flink.core.fs.Path((directory / PARTS_DIRECTORY).as_uri())
    source = file_source.forRecordStreamFormat(jvm.weir.KeyedFrameFormat(), paths).build()
    no_watermarks = jvm.org.apache.flink.api.common.eventtime.WatermarkStrategy.noWatermarks()
    parts = env._j_stream_execution_environment.fromSource(source, no_watermarks, "parts")
    scorer = jvm.weir.PartScorer(sys.executable, str(directory))
    results = parts.process(scorer, jvm.weir.KeyedFrames.TYPE).name("score")
    discarding = jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink
    results.sinkTo(discarding()).name("done")
    env.execute(job_name(directory))


def main() -> None:
    """Entry point: run the parts in the directory of the first argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(Settings(), Path(sys.argv[1]), parallelism=int(sys.argv[2]))


if __name__ == "__main__":
    main()

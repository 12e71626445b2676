"""The job of batch features: queries of Flink SQL over CSV files, in Flink's batch mode.

    transactions --> add up by user and day --> join with the midnights --> add up --> CSV files
    observations --^

Flink plans the steps from the query, and spreads each over the task slots; no Python runs in them.
Wiring only. ``weir materialize --flink`` writes the files, runs
``python -m streams.batch_features.job PLAN`` and reads the answers.
"""

import logging
import sys
from pathlib import Path

from pyflink.table import EnvironmentSettings, StreamTableEnvironment

from schemas.settings import Settings
from streams.batch_features.plan import BatchFeaturesPlan, CsvTable
from streams.velocity.job import remote_environment

JOB_NAME = "batch-features"


def run(settings: Settings, plan: BatchFeaturesPlan) -> None:
    """Run the queries of a plan as one job; returns when all answers are written."""
    env = remote_environment(
        settings,
        {
            "execution.runtime-mode": "BATCH",
            "execution.attached": "true",
            "pipeline.name": JOB_NAME,
            "parallelism.default": str(plan.parallelism),
            "restart-strategy.type": "none",
        },
    )
    tables = StreamTableEnvironment.create(env, EnvironmentSettings.in_batch_mode())
    for table in (*plan.tables, *plan.answers):
        tables.execute_sql(_declaration(table))
    statements = tables.create_statement_set()
    for answer, query in zip(plan.answers, plan.queries, strict=True):
        statements.add_insert_sql(f"INSERT INTO `{answer.name}` {query}")
    statements.execute().wait()


def _declaration(table: CsvTable) -> str:
    columns = ", ".join(f"`{name}` {kind}" for name, kind in table.columns.items())
    return (
        f"CREATE TEMPORARY TABLE `{table.name}` ({columns}) WITH "
        f"('connector' = 'filesystem', 'path' = '{Path(table.path).as_uri()}', 'format' = 'csv')"
    )


def main() -> None:
    """Entry point: run the plan in the file of the first argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(Settings(), BatchFeaturesPlan.read(Path(sys.argv[1])))


if __name__ == "__main__":
    main()

"""Runs a batch scoring: the rows, the model, the parts on Flink, the publication, the report.

Puts the parts in order. Nothing that readers see changes before the one commit that publishes.
Called by `weir batch score`.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

from features.definitions import DEFINITION_DIGEST
from operations.batch_scoring.errors import NoRowsToScoreError
from operations.batch_scoring.flink import Progress, run_parts
from operations.batch_scoring.inputs import Inputs, find_inputs
from operations.batch_scoring.model import FoundModel, find_model
from operations.batch_scoring.report import ScoringReport, add_up, compare
from operations.batch_scoring.request import Request
from operations.batch_scoring.sinks.by_address import open_sink
from operations.batch_scoring.sinks.sink import FilledPart, Run, Sink
from operations.batch_scoring.tracking import log_report, report_before
from operations.flink_client import FlinkClient, free_slots
from schemas.settings import Settings
from streams.batch_scoring.plan import (
    PARTS_DIRECTORY,
    RESULTS_DIRECTORY,
    Part,
    PartResult,
    ScoringPlan,
    job_name,
    part_file,
)
from streams.velocity.cluster import checkpoints_dir

_RUN_ID_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told what happens.

    Attributes:
        say: takes a sentence.
        begin: takes how many rows there are.
        progress: takes how many have been read so far.
    """

    say: Callable[[str], object]
    begin: Callable[[int], object]
    progress: Progress


class _Steps:
    """Measures the steps of a run, wall clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long a block takes."""
        began_s = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - began_s, 3)


class _Prepared(NamedTuple):
    run: Run
    parts: Sequence[Part]
    inputs: Inputs


def score_batch(
    settings: Settings, client: FlinkClient, request: Request, *, now_ms: int, watch: Watch
) -> ScoringReport:
    """Score rows and publish the predictions; gives the report, which MLflow has, too.

    Delivery: exactly once. A run publishes all its predictions in one commit, in place of those
    that an earlier run of the model published for the same dates. A run that fails or is killed
    has published nothing; running it again gives the same predictions.

    Args:
        settings: where archive, MLflow and Flink are.
        client: how to submit a job to Flink.
        request: what is scored, and where the predictions go.
        now_ms: the clock, ms since 1970 UTC; of the report in MLflow.
        watch: is told what happens.

    Raises:
        WeirError: see `errors`, and the errors of the archive, of models and of MLflow.
    """
    sink = open_sink(request.sink, request.table)
    sink.check()
    slots = free_slots(settings.flink_rest_url)
    steps, directory = _Steps(), _new_directory(settings)
    try:
        with steps.timed("prepare"):
            prepared = _prepare(settings, request, sink, directory)
        watch.begin(prepared.inputs.rows)
        run = prepared.run
        watch.say(
            f"scoring {prepared.inputs.rows:,} rows in {len(prepared.parts):,} parts with "
            f"{run.model_name} version {run.model_version}"
        )
        try:
            with steps.timed("score"):
                results = run_parts(
                    client,
                    settings.flink_rest_url,
                    directory,
                    job_name=job_name(directory),
                    parts=len(prepared.parts),
                    parallelism=min(slots, request.parallelism, len(prepared.parts)),
                    progress=watch.progress,
                )
            with steps.timed("publish"):
                _publish(sink, prepared, results)
        finally:
            sink.discard(run)
        report = _report(settings, prepared, results, steps)
        logged = log_report(settings.mlflow_tracking_uri, report, now_ms=now_ms)
        watch.say(f"the report is run {logged} in MLflow")
        return report
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(settings: Settings, request: Request, sink: Sink, directory: Path) -> _Prepared:
    found = find_model(
        settings.mlflow_tracking_uri,
        request.definition,
        request.model_version,
        directory=directory,
    )
    inputs = find_inputs(
        settings.archive_url,
        request,
        spec=found.loaded.spec,
        scratch=directory,
    )
    run = Run(
        run_id=uuid.uuid4().hex[:_RUN_ID_DIGITS],
        model_name=request.model_name,
        model_version=found.version.version,
        data_version=inputs.data_version,
    )
    sink.begin(run)
    _plan(request, sink, run, found, inputs).write(directory)
    parts = [
        Part(number, cut.prediction_date, cut.rows, cut.inputs, sink.target(run, number))
        for number, cut in enumerate(inputs.cuts)
    ]
    for name in (PARTS_DIRECTORY, RESULTS_DIRECTORY):
        (directory / name).mkdir()
    for part in parts:
        part_file(directory, part.number).write_bytes(part.encode_entry())
    return _Prepared(run, parts, inputs)


def _plan(request: Request, sink: Sink, run: Run, found: FoundModel, inputs: Inputs) -> ScoringPlan:
    return ScoringPlan(
        **asdict(run),
        trees_digest=found.version.trees_digest,
        entity_column=request.entity_column,
        lookup_ms=inputs.lookup_ms,
        definition_digest=DEFINITION_DIGEST,
        left_out=inputs.left_out,
        batch_features=inputs.batch_features,
        outcomes=request.definition.policy.outcomes,
        thresholds=request.definition.policy.thresholds,
        rows_at_once=request.rows_at_once,
        sink=sink.address,
    )


def _publish(sink: Sink, prepared: _Prepared, results: Sequence[PartResult]) -> None:
    if not any(result.rows for result in results):
        raise NoRowsToScoreError(
            f"none of the {prepared.inputs.rows:,} rows can be scored: all are repeats, or of "
            f"other definitions than {DEFINITION_DIGEST}; `weir backfill` computes them by these"
        )
    sink.publish(
        prepared.run,
        [
            FilledPart(part.number, part.prediction_date, result.rows, part.target)
            for part, result in zip(prepared.parts, results, strict=True)
        ],
    )


def _report(
    settings: Settings,
    prepared: _Prepared,
    results: Sequence[PartResult],
    steps: _Steps,
) -> ScoringReport:
    """Build the report; what is published stays published if MLflow fails."""
    run, counted = prepared.run, add_up(results)
    before = report_before(settings.mlflow_tracking_uri, run.model_name)
    return ScoringReport(
        **asdict(run),
        **counted,
        reach=prepared.inputs.reach,
        prediction_dates=prepared.inputs.prediction_dates,
        rows_per_s=round(counted["rows"] / sum(steps.seconds.values()), 1),
        seconds=steps.seconds,
        drift=compare(
            histogram=counted["histogram"], score_mean=counted["score_mean"], before=before
        ),
    )


def _new_directory(settings: Settings) -> Path:
    """Make a directory for a run, readable by the user of the TaskManagers alone.

    The name is new: the job of a run that was killed may still be running.
    """
    directory = checkpoints_dir(settings).parent / f"batch-{uuid.uuid4().hex[:_RUN_ID_DIGITS]}"
    directory.mkdir(parents=True, mode=0o700)
    return directory

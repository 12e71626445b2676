"""Scores one part after another: rows from Parquet, through the model, into the target of the part.

One stage works in one thread of a TaskManager. What is read, encoded, scored and copied releases
the interpreter's lock, so several stages of one process use several cores. Knows no Flink.
"""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.definitions import DAY_MS
from features.user_inputs import DAYS_IDLE
from models.artifact.files import read_files
from models.artifact.load import LoadedModel, load_model
from models.encoding.columns import encode_columns
from streams.batch_scoring.part_rows import BatchFeatures, LeftOut, part_batches
from streams.batch_scoring.part_targets import (
    PartTarget,
    TargetUnreachableError,
    parquet_file,
    postgres_table,
)
from streams.batch_scoring.plan import (
    MODEL_DIRECTORY,
    Part,
    PartResult,
    ScoringPlan,
    result_file,
)
from streams.batch_scoring.tally import Tally

_EVENT_TIME: Final = "event_time_ms"
_USER: Final = "user_id"
_PAUSES_S: Final = (1, 5, 15)
"""Pauses between the tries of a part while the database does not answer: it may be restarting."""

logger = logging.getLogger(__name__)


class ScoringStage:
    """Scores the parts of one run; parts may come in any order and more than once.

    Args:
        directory: of the run, with its plan and its model.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._plan = ScoringPlan.read(directory)
        self._model = _model(directory)
        self._left_out = _left_out(self._plan.left_out)
        self._outcomes = pa.array(self._plan.outcomes, pa.string())

    def process(self, part: bytes) -> bytes:
        """Score one part; gives its result.

        Delivery: exactly once. The result is written after the scores are durable; a part that has
        a result is not scored again, and one without a result starts from nothing.

        Args:
            part: as `plan.Part` encodes it.

        Raises:
            PartNotStoredError: the target did not take the scores.
            ValueError: a score is not a number from 0 to 1.
        """
        parsed = Part.decode(part)
        result = result_file(self._directory, parsed.number)
        if result.exists():
            return result.read_bytes()
        content = self._score_again(parsed).encode()
        _write_durably(result, content)
        return content

    def close(self) -> None:
        """Nothing is open between two parts."""

    def _score_again(self, part: Part) -> PartResult:
        """Score a part; again after a while if the database did not answer."""
        for pause_s in _PAUSES_S:
            try:
                return self._score(part)
            except TargetUnreachableError as error:
                logger.warning("part %d again in %d s: %s", part.number, pause_s, error)
                time.sleep(pause_s)
        return self._score(part)

    def _score(self, part: Part) -> PartResult:
        tally = Tally(self._model.spec.columns, self._plan.outcomes)
        batches = part_batches(
            part,
            self._columns(),
            rows_at_once=self._plan.rows_at_once,
            definition_digest=self._plan.definition_digest,
            left_out=self._left_out,
        )
        with ExitStack() as stack:
            target = stack.enter_context(self._target(part))
            while True:
                with tally.timed("read"):
                    batch = next(batches, None)
                if batch is None:
                    break
                tally.left_out += batch.left_out
                self._score_batch(batch.rows, target, tally)
            with tally.timed("commit"):
                stack.close()
        return tally.result(part.number)

    def _score_batch(self, rows: pa.RecordBatch, target: PartTarget, tally: Tally) -> None:
        plan, model = self._plan, self._model
        with tally.timed("encode"):
            if plan.batch_features:
                features = _batch_features(plan.batch_features)
                rows = features.join(rows, self._lookup_ms(rows))
            if self._derives_idle_days:
                rows = _with_days_idle(rows, self._lookup_ms(rows))
            vectors = encode_columns(rows, model.spec)
        with tally.timed("score"):
            scores = model.trees.scores(vectors)
        with tally.timed("decide"):
            codes = outcome_codes(scores, plan.thresholds)
            tally.count(scores, codes, vectors)
        with tally.timed("write"):
            decisions = pa.DictionaryArray.from_arrays(pa.array(codes), self._outcomes)
            entities = rows.column(plan.entity_column).cast(pa.string())
            target.write(entities, scores, decisions)

    @property
    def _derives_idle_days(self) -> bool:
        """Whether days idle follow from the rows of the archive; a table of features has them."""
        return self._plan.lookup_ms is not None and DAYS_IDLE in self._model.spec.columns

    def _columns(self) -> tuple[str, ...]:
        spec = self._model.spec
        joins = bool(self._plan.batch_features)
        joined = (_USER, _EVENT_TIME) if joins or self._derives_idle_days else ()
        # A plan without batch features has them in its rows, if the model takes any.
        given = set(spec.batch_columns) if joins else set()
        if self._derives_idle_days:
            given.add(DAYS_IDLE)
        own = tuple(column for column in spec.columns if column not in given)
        return (self._plan.entity_column, *own, *joined)

    def _lookup_ms(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        lookup_ms = self._plan.lookup_ms
        if lookup_ms is None:
            return np.asarray(rows.column(_EVENT_TIME).to_numpy(), dtype=np.int64)
        return np.full(len(rows), lookup_ms, dtype=np.int64)

    def _target(self, part: Part) -> AbstractContextManager[PartTarget]:
        plan = self._plan
        constants: dict[str, str | int] = {
            "model_name": plan.model_name,
            "model_version": plan.model_version,
            "data_version": plan.data_version,
            "run_id": plan.run_id,
        }
        if not plan.sink:
            return parquet_file(Path(part.target), constants=constants)
        constants |= {"prediction_date": part.prediction_date, "part": part.number}
        return postgres_table(plan.sink, part.target, constants=constants)


def outcome_codes(scores: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.int8]:
    """Give the position of each score's outcome, as `models.policy.DecisionPolicy` gives it.

    Raises:
        ValueError: a score is not a number from 0 to 1.
    """
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score is not within 0 to 1; the model is faulty")
    return np.searchsorted(np.asarray(thresholds), scores, side="left").astype(np.int8)


def _with_days_idle(rows: pa.RecordBatch, lookup_ms: NDArray[np.int64]) -> pa.RecordBatch:
    """Add `DAYS_IDLE`, as `features.user_inputs.days_idle` gives it."""
    events_ms = np.asarray(rows.column(_EVENT_TIME).to_numpy(), dtype=np.int64)
    idle = np.maximum(lookup_ms // DAY_MS - events_ms // DAY_MS, 0)
    return pa.RecordBatch.from_arrays(
        [*rows.columns, pa.array(idle)], [*rows.schema.names, DAYS_IDLE]
    )


# Loaded once for all stages of a process; a run has a directory of its own.
@lru_cache(maxsize=1)
def _model(directory: Path) -> LoadedModel:
    plan = ScoringPlan.read(directory)

    def read(path: str) -> bytes | None:
        file = directory / MODEL_DIRECTORY / path
        return file.read_bytes() if file.exists() else None

    of = f"model {plan.model_name} version {plan.model_version}"
    return load_model(
        read_files(read, of=of),
        name=plan.model_name,
        version=plan.model_version,
        trees_digest=plan.trees_digest,
        columns=None,  # The command has checked them.
    )


@lru_cache(maxsize=1)
def _batch_features(path: str) -> BatchFeatures:
    return BatchFeatures(Path(path))


@lru_cache(maxsize=1)
def _left_out(path: str) -> LeftOut:
    return LeftOut(Path(path) if path else None)


def _write_durably(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)

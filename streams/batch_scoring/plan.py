"""The plan of one batch scoring: files from ``weir batch score`` to the Flink job that it starts.

One JSON file says what all parts have in common, one file a part which rows it has. Two processes
of two Python environments share them, so they are JSON. Knows no Flink.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PLAN_FILE = "plan.json"
PARTS_DIRECTORY = "parts"
RESULTS_DIRECTORY = "results"
MODEL_DIRECTORY = "model"
HISTOGRAM_BINS = 20
_LENGTHS = struct.Struct(">iH")
_KEY_LENGTH_BYTES = 2


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Consecutive row groups of one Parquet file.

    Attributes:
        path: of the file.
        first: the first row group.
        end: the one after the last.
    """

    path: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one call scores: some rows of one prediction date, and where their scores go.

    Attributes:
        number: of the part within the run, from 0.
        prediction_date: ISO date; the same for all rows.
        rows: how many the row groups have, before any is left out.
        inputs: where the rows are.
        target: what the part fills: a table of the sink's, or a Parquet file.
    """

    number: int
    prediction_date: str
    rows: int
    inputs: tuple[RowGroups, ...]
    target: str

    def encode(self) -> bytes:
        """Give the part as JSON."""
        return json.dumps(asdict(self)).encode()

    def encode_entry(self) -> bytes:
        """Give the content of the part's file, which ``KeyedFrameFormat.java`` reads."""
        key, frame = f"{self.number}".encode(), self.encode()
        lengths = _LENGTHS.pack(_KEY_LENGTH_BYTES + len(key) + len(frame), len(key))
        return lengths + key + frame

    @classmethod
    def decode(cls, content: bytes) -> "Part":
        """Read what :meth:`encode` gave."""
        fields = json.loads(content)
        inputs = tuple(RowGroups(**one) for one in fields.pop("inputs"))
        return cls(**fields, inputs=inputs)


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """What all parts of a run have in common. Paths are readable by the TaskManagers.

    Attributes:
        run_id: of the run.
        model_name: of the registered model.
        model_version: its number.
        trees_digest: of its trees, on record in the registry.
        data_version: of the rows that are scored.
        entity_column: the column whose value names the entity of a prediction.
        lookup_ms: as of when batch features are looked up, ms since 1970 UTC; None: as of the
            event time of each row.
        definition_digest: rows of other definitions are left out.
        left_out: Parquet file of ``log_partition`` and ``log_offset``: rows that are left out; ""
            for none.
        batch_features: Parquet file of ``user_id``, ``snapshot_ms`` and batch features; "" if the
            model takes none, or the rows have them.
        outcomes: the decisions, for the lowest scores first.
        thresholds: one between two outcomes, in order; a score must be above.
        rows_at_once: rows that are encoded and scored in one call.
        sink: ``postgresql://...``, or "" if each part becomes a Parquet file.
    """

    run_id: str
    model_name: str
    model_version: str
    trees_digest: str
    data_version: str
    entity_column: str
    lookup_ms: int | None
    definition_digest: str
    left_out: str
    batch_features: str
    outcomes: tuple[str, ...]
    thresholds: tuple[float, ...]
    rows_at_once: int
    sink: str

    def write(self, directory: Path) -> None:
        """Write the plan as JSON into the directory of the run."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        (directory / PLAN_FILE).write_text(text, encoding="utf-8")
        # The address of the sink may contain a password.
        (directory / PLAN_FILE).chmod(0o600)

    @classmethod
    def read(cls, directory: Path) -> "ScoringPlan":
        """Read the plan that :meth:`write` wrote."""
        fields = json.loads((directory / PLAN_FILE).read_text(encoding="utf-8"))
        lists = {name: tuple(fields[name]) for name in ("outcomes", "thresholds")}
        return cls(**{**fields, **lists})


@dataclass(frozen=True, slots=True)
class PartResult:
    """What became of one part.

    Attributes:
        number: of the part.
        rows: predictions that it gave.
        left_out: rows that it left out: repeats, unreadable ones, those of other definitions.
        score_sum: sum of the scores.
        histogram: of the scores: how many in each of `HISTOGRAM_BINS` equal bins from 0 to 1.
        outcomes: how many predictions by decision.
        nulls: values that are missing, by column of the vector; columns without any are left out.
        seconds: by step, of the thread that worked on the part.
    """

    number: int
    rows: int
    left_out: int
    score_sum: float
    histogram: tuple[int, ...]
    outcomes: Mapping[str, int]
    nulls: Mapping[str, int]
    seconds: Mapping[str, float]

    def encode(self) -> bytes:
        """Give the result as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, content: bytes) -> "PartResult":
        """Read what :meth:`encode` gave."""
        fields: dict[str, Any] = json.loads(content)
        return cls(**{**fields, "histogram": tuple(fields["histogram"])})


def job_name(directory: Path) -> str:
    """The name of the Flink job that works on a directory."""
    return f"weir-batch-score {directory.name}"


def part_file(directory: Path, number: int) -> Path:
    """The file of a part within the directory of its run."""
    return directory / PARTS_DIRECTORY / f"part-{number:05d}"


def result_file(directory: Path, number: int) -> Path:
    """The file of a part's result; it is there once the part is complete and durable."""
    return directory / RESULTS_DIRECTORY / f"part-{number:05d}.json"

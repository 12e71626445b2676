"""The plan of one computation of batch features, from ``weir materialize --flink`` to its job.

It is JSON, because two processes of two Python environments share it. Knows no Flink.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A directory of CSV files without header lines, which the query knows as a table.

    Attributes:
        name: of the table.
        path: of the directory: absolute, and the same for the TaskManagers.
        columns: SQL type by name, in the order of the files.
    """

    name: str
    path: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BatchFeaturesPlan:
    """What is read, computed and written.

    Attributes:
        tables: what the queries read.
        answers: where the answer to each query goes.
        queries: SQL, one for each of the answers; the columns are those of the answer.
        parallelism: how many tasks share each step.
    """

    tables: tuple[CsvTable, ...]
    answers: tuple[CsvTable, ...]
    queries: tuple[str, ...]
    parallelism: int

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "BatchFeaturesPlan":
        """Read a plan that :meth:`write` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            tables=tuple(CsvTable(**each) for each in found["tables"]),
            answers=tuple(CsvTable(**each) for each in found["answers"]),
            queries=tuple(found["queries"]),
            parallelism=found["parallelism"],
        )

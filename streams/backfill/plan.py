"""The plan of one backfill: a file from ``weir backfill`` to the Flink job that it starts.

It is JSON, because two processes of two Python environments share it. Knows no Flink.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Where a backfill reads and writes. Paths are absolute and readable by the TaskManagers.

    Attributes:
        definition_digest: digest of the definitions to compute by.
        transactions: file of transactions, written by `frames.encode_entry`, keyed by user.
        labels: file of labels, written the same way, keyed by merchant.
        rows: output directory of the feature rows, files of JSON lines.
        savepoint: output directory of the savepoint for the velocity job; empty to write neither
            a savepoint nor states to Redis.
    """

    definition_digest: str
    transactions: str
    labels: str
    rows: str
    savepoint: str

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "BackfillPlan":
        """Read a plan that :meth:`write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

"""What one backfill is to do, as a file: from ``weir backfill`` to the job that it runs.

Two processes of two Python environments share it, so it is JSON. Knows no Flink.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Where a backfill reads and writes; every path is absolute and seen by the TaskManagers.

    Attributes:
        definition_digest: of the definitions that values and states are to follow.
        transactions: file of `backfill_frames.encode_entry`, keyed by user.
        labels: the same of labels, keyed by merchant.
        rows: directory for the rows, files of JSON lines.
        savepoint: directory for the savepoint that the velocity job is to start from; empty: no
            seeding, neither of the job nor of Redis.
    """

    definition_digest: str
    transactions: str
    labels: str
    rows: str
    savepoint: str

    def write(self, path: Path) -> None:
        """Write it for :meth:`read`."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "BackfillPlan":
        """Read what :meth:`write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

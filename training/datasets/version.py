"""The version of a data set: everything that its rows depend on.

Pure data. Logged to MLflow with the data set and with every model that was fitted on it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """What a data set was built from. Equal versions give equal bytes.

    Attributes:
        archive: log offsets up to which the archive was read, as JSON.
        first_ms: earliest event time, included, ms since 1970 UTC.
        end_ms: end of the range of event time, excluded, ms since 1970 UTC.
        as_of_ms: observations after this time are left out, ms since 1970 UTC.
        maturity_ms: age, ms, from which on a row is included.
        definition_digest: of the feature definitions.
        code_version: of the code that built it.
        split: how it is divided into train, validation and test rows: a `SplitKind`. None: it is
            one table, which a training splits by time.
        model_digest: of the definition of a model of users: columns and label. None: the rows are
            transactions.
    """

    archive: str
    first_ms: int
    end_ms: int
    as_of_ms: int
    maturity_ms: int
    definition_digest: str
    code_version: str
    split: str | None = None
    model_digest: str | None = None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all fields."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Give the version as JSON; equal versions give equal text."""
        return json.dumps(self.as_fields(), indent=1)

    def as_fields(self) -> dict[str, Any]:
        """Give the fields by name; without ``split`` and ``model_digest`` if there is none."""
        fields = asdict(self)
        # Data sets that were built before there were these fields keep their digests.
        for name in ("split", "model_digest"):
            if fields[name] is None:
                del fields[name]
        return fields

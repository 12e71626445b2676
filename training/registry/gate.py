"""Evidence that the parity gate was passed; no version becomes the champion without it.

`ModelVersions.promote` requires it. `operations.promotion` alone makes it, which a house test
checks: training may not import operations, where the gate itself is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedGate:
    """Every copy of the features was what a recomputation gives.

    Attributes:
        rows: feature rows that were recomputed.
        values_checked: values that were compared, on all surfaces together.

    Raises:
        ValueError: nothing was compared, which is no evidence.
    """

    rows: int
    values_checked: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.values_checked < 1:
            raise ValueError(
                f"rows={self.rows} and values_checked={self.values_checked} must both be at "
                "least 1: comparing nothing does not pass the gate"
            )

"""How much time a request has, and what is left out when it runs short.

The deadline of a deployment is the setting ``api_deadline_ms``; a client may shorten it with the
header `DEADLINE_HEADER`. What is optional is dropped first: batch features, then the histories. The
answer itself is never dropped. Called by `scoring.http.scored`.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from schemas.errors import InvalidEventError, shown

DEADLINE_HEADER: Final = "Weir-Deadline-Ms"
DEADLINE_MS_MAX: Final = 60_000

SCORING_MS: Final = 2.0
"""Time kept for scoring and for the answer, ms: about four times what they take."""
HISTORY_MS_MIN: Final = 1.0
"""With less time than this, ms, the histories are not read: Redis answers in about 1 ms."""
BATCH_FEATURES_MS_MIN: Final = 5.0
"""With less time than this, ms, the histories are read without the batch features."""
TRANSACTIONS_EACH: Final = 100
"""A batch has the time of one transaction for each so many of its transactions."""

_DIGITS: Final = re.compile(r"[0-9]{1,5}")


class ReadPlan(NamedTuple):
    """What there is time to read."""

    timeout_ms: float
    """Limit of the read, ms; below `HISTORY_MS_MIN` nothing is read."""
    history: bool
    batch_features: bool


class Deadline(NamedTuple):
    """The time limit of one request."""

    total_ms: float
    started_ms: float
    """By a clock that never goes back."""

    @classmethod
    def of(
        cls, header: str | None, *, limit_ms: int, started_ms: float, transactions: int = 1
    ) -> Deadline:
        """Give the deadline of a request.

        Args:
            header: the value of `DEADLINE_HEADER`, or None. It only shortens.
            limit_ms: ``api_deadline_ms`` of the settings.
            started_ms: when the request began.
            transactions: how many are to be scored.

        Raises:
            InvalidEventError: the header is no number of ms from 1 to 60,000.

        Examples:
            >>> Deadline.of("20", limit_ms=50, started_ms=0).total_ms
            20
            >>> Deadline.of(None, limit_ms=50, started_ms=0, transactions=101).total_ms
            100
        """
        limit_ms *= -(-transactions // TRANSACTIONS_EACH)
        if header is None:
            return cls(limit_ms, started_ms)
        asked_ms = int(header) if _DIGITS.fullmatch(header) else 0
        if not 1 <= asked_ms <= DEADLINE_MS_MAX:
            raise InvalidEventError(
                DEADLINE_HEADER, f"is {shown(header)}, must be from 1 to {DEADLINE_MS_MAX} ms"
            )
        return cls(min(asked_ms, limit_ms), started_ms)

    def plan(self, now_ms: float, *, with_batch: bool) -> ReadPlan:
        """Say what may be read now.

        Args:
            now_ms: by the clock of ``started_ms``.
            with_batch: whether the model takes batch features.

        Examples:
            >>> Deadline(50, 0).plan(1, with_batch=True)
            ReadPlan(timeout_ms=47.0, history=True, batch_features=True)
            >>> Deadline(6, 0).plan(1, with_batch=True)
            ReadPlan(timeout_ms=3.0, history=True, batch_features=False)
            >>> Deadline(6, 0).plan(5, with_batch=True).history
            False
        """
        left_ms = self.total_ms - (now_ms - self.started_ms) - SCORING_MS
        return ReadPlan(
            left_ms,
            history=left_ms >= HISTORY_MS_MIN,
            batch_features=with_batch and left_ms >= BATCH_FEATURES_MS_MIN,
        )


def describe_deadline() -> dict[str, Any]:
    """Give the OpenAPI description of the header."""
    return {
        "name": DEADLINE_HEADER,
        "in": "header",
        "required": False,
        "description": "Time for this request, ms; shorter than the deployment's, never longer. "
        "When it runs short, batch features are left out, then the histories; `degraded` says so.",
        "schema": {"type": "integer", "minimum": 1, "maximum": DEADLINE_MS_MAX},
        "example": 20,
    }

"""`Scorer`: a model in your own process. The same code decides as in the stream and in the API.

::

    from scoring import Scorer

    scorer = Scorer.load("model")               # a directory of `weir models download`
    decision = scorer.score(row)                # a feature row, as on the topic `features`
    decision = scorer.score_transaction(transaction, stored)   # with histories from Redis
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from features.online.batch_values import BatchValues
from models.heuristic import HEURISTIC
from models.model import Model
from models.policy import Policy
from schemas import codec
from schemas.decision import Decision, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.transaction import Limits, Transaction
from scoring.core.ad_hoc import AdHocScore, Scoring, Stored, score_ad_hoc
from scoring.core.decide import decide_many
from scoring.core.ports import EntityPair
from scoring.embedded.model_directory import load_directory

STALENESS_MS_MAX = 86_400_000
"""As the default of the setting ``staleness_ms_max``."""
NO_OFFSET = Offset(partition=-1, offset=-1)
"""The place of a row that comes from no log."""

Row = FeatureRow | Mapping[str, Any] | bytes | str
"""A feature row: decoded, as parsed JSON, or as on the topic `features`."""


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Scorer:
    """Scores with one model version. Safe to use from several threads."""

    def __init__(
        self,
        model: Model,
        *,
        policy: Policy,
        limits: Limits,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        """Use a model that is loaded; `load` reads one from a directory.

        Args:
            model: scores.
            policy: the thresholds.
            limits: which transactions are accepted.
            now_ms: the clock, ms since 1970 UTC.
        """
        self.model = model
        self._policy = policy
        self._limits = limits
        self._now_ms = now_ms

    @classmethod
    def load(
        cls,
        path: str | Path | None,
        *,
        review_threshold: float = 0.5,
        block_threshold: float = 0.9,
        limits: Limits | None = None,
    ) -> Scorer:
        """Load a model from a directory, and check it as the services do.

        Args:
            path: a directory of `weir models download`, or with the three files of the version;
                None for the heuristic.
            review_threshold: a score above it is REVIEW; 0 to 1.
            block_threshold: a score above it is BLOCK; not below ``review_threshold``.
            limits: which transactions are accepted; those of the default settings if left out.

        Raises:
            models.errors.ModelRefusedError: the model is not whole, or not for this code.
        """
        model = HEURISTIC if path is None else load_directory(Path(path))
        policy = Policy(review_threshold=review_threshold, block_threshold=block_threshold)
        return cls(model, policy=policy, limits=limits or Limits())

    def score(
        self, row: Row, *, offset: Offset = NO_OFFSET, batch: BatchValues | None = None
    ) -> Decision:
        """Decide on one feature row; see `score_many`."""
        return self.score_many([row], offsets=[offset], batch=batch and [batch])[0]

    def score_many(
        self,
        rows: Sequence[Row],
        *,
        offsets: Sequence[Offset] | None = None,
        batch: Sequence[BatchValues] | None = None,
    ) -> list[Decision]:
        """Decide on feature rows, with one call of the model.

        Args:
            rows: as the velocity job wrote them.
            offsets: partition and offset of each in the feature log; none if left out.
            batch: the batch features of each row's user, for a model that takes some.

        Raises:
            schemas.errors.InvalidEventError: a row is none.
        """
        decoded = [_decoded(row) for row in rows]
        return decide_many(
            decoded,
            model=self.model,
            policy=self._policy,
            features_offsets=offsets or [NO_OFFSET] * len(decoded),
            now_ms=self._now_ms(),
            batch=batch,
        )

    def score_transaction(
        self, transaction: Mapping[str, Any], stored: EntityPair | None = None
    ) -> AdHocScore:
        """Decide on a transaction that is not in the stream, as POST /predict does.

        Args:
            transaction: the fields, checked by the stream's own rules; ``event_time_ms`` is now and
                ``transaction_id`` generated if left out.
            stored: what Redis holds of its user and merchant, see
                `scoring.embedded.online_read`; None if it is not known: the event alone counts.

        Raises:
            schemas.errors.InvalidEventError: it is no transaction of this deployment.
        """
        now_ms = self._now_ms()
        made_up_id = f"adhoc-{os.urandom(16).hex()}"
        fields = {"event_time_ms": now_ms, "transaction_id": made_up_id, **transaction}
        checked: Transaction = codec.transaction_from_object(
            fields, limits=self._limits, now_ms=now_ms, is_replay=False
        )
        scoring = Scoring(self.model, self._policy, now_ms, STALENESS_MS_MAX)
        return score_ad_hoc(checked, Stored(stored), scoring)


def _decoded(row: Row) -> FeatureRow:
    if isinstance(row, FeatureRow):
        return row
    if isinstance(row, Mapping):
        return decode_feature_row(orjson.dumps(dict(row)))
    return decode_feature_row(row.encode() if isinstance(row, str) else row)

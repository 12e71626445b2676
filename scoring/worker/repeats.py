"""Gives the first decisions of repeats again, from what was kept of them and their feature rows.

A repeat of the very row that was decided has the row at hand. For all others the row of the first
decision is read from the feature log, in one go for a batch. Knows the ports only. `BatchScorer`
calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from schemas.decision import Decision
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from scoring.core.first_decision import (
    DEGRADED_FIRST_ROW_UNAVAILABLE,
    DecisionContext,
    FirstDecision,
    decide_again,
)
from scoring.core.ports import DecisionStore, FeatureLog
from scoring.worker.feature_log import Scorable

CONTEXTS_MAX: Final = 1_000
"""How many contexts are remembered."""


class Repeats:
    """Decides on repeats. For one caller at a time."""

    def __init__(self, *, store: DecisionStore, log: FeatureLog) -> None:
        """Store the ports."""
        self._store = store
        self._log = log
        self._contexts: dict[bytes, DecisionContext] = {}

    async def decide(
        self,
        repeats: Sequence[tuple[Scorable, bytes]],
        *,
        at_hand: Sequence[Scorable],
        contexts: Mapping[bytes, bytes],
    ) -> list[Decision]:
        """Give the first decision of each repeat.

        If the row of a first decision cannot be read, the repeat's own row is taken: outcome, score
        and model are the first decision's, and ``degraded`` says so.

        Blocks: as `FeatureLog.read`, and as `DecisionStore.context` for each unknown context.

        Args:
            repeats: the repeated row, and what was kept of the first decision.
            at_hand: rows that need not be read again.
            contexts: of this batch, by digest.
        """
        firsts = [FirstDecision.unpack(kept) for _, kept in repeats]
        rows = {each.place: each for each in at_hand}
        far = [first.place for first in firsts if first.place not in rows]
        values = await self._log.read(far)
        decisions = []
        for (repeat, _), first in zip(repeats, firsts, strict=True):
            context = await self._context(first.context, contexts)
            near = rows.get(first.place)
            row = near.row if near is not None else _row(values.get(first.place), repeat)
            decision = decide_again(first, row or repeat.row, context)
            decisions.append(
                decision if row is not None else _mark(decision, DEGRADED_FIRST_ROW_UNAVAILABLE)
            )
        return decisions

    async def _context(
        self, digest: bytes, contexts: Mapping[bytes, bytes]
    ) -> DecisionContext | None:
        known = self._contexts.get(digest)
        if known is None:
            content = contexts.get(digest) or await self._store.context(digest)
            if content is None:
                return None
            if len(self._contexts) >= CONTEXTS_MAX:
                self._contexts.clear()
            self._contexts[digest] = known = DecisionContext.from_json(content)
        return known


def _row(value: bytes | None, repeat: Scorable) -> FeatureRow | None:
    """Decode a row that was read again; None if it is not of the same transaction."""
    if value is None:
        return None
    try:
        row = decode_feature_row(value)
    except InvalidEventError:
        return None
    return row if row.transaction.transaction_id.encode() == repeat.transaction_id else None


def _mark(decision: Decision, word: str) -> Decision:
    return replace(decision, degraded=(*decision.degraded, word))

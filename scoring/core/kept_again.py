"""What is to be kept of a first decision, from the decision as it went to the topic.

The inverse of `scoring.core.first_decision.decide_again`. Pure; `scoring.stores.decision_rebuild`
uses it when Redis has lost the first decisions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from models.encoding.vector import VectorSpec
from models.policy import Policy
from schemas.decision import Decision
from scoring.core.arms import ArmOfRows
from scoring.core.first_decision import (
    DEGRADED_FIRST_CONTEXT_LOST,
    DecisionContext,
    FirstDecision,
    KeptBatch,
    context_digest,
)

CONTEXTS_MAX: Final = 1_000
"""How many contexts are remembered."""

_THRESHOLD: Final = re.compile(r"score \S+ is (?:not )?above (\S+)")


class KeptAgain:
    """Gives what is kept of decisions."""

    def __init__(
        self, *, spec_of: Callable[[Decision], VectorSpec | None], present_policy: Policy
    ) -> None:
        """Start with no known context.

        Args:
            spec_of: gives the specification that ``decision.vector_spec`` names; None if there is
                none, or it is not known any more. Then ``degraded`` says so.
            present_policy: the thresholds of the deployment; taken if they explain the decision.
        """
        self._spec_of = spec_of
        self._present_policy = present_policy
        self._contexts: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def of(self, decision: Decision) -> tuple[FirstDecision, bytes]:
        """Give what is kept of a decision, and the content of its context.

        Raises what ``spec_of`` raises.

        Args:
            decision: as it went to the topic.
        """
        spec = self._spec_of(decision)
        batch = None
        if spec is not None and spec.batch_columns and decision.batch_as_of_ms is not None:
            values = [decision.features.get(name) for name in spec.batch_columns]
            batch = KeptBatch(decision.batch_as_of_ms, values)
        digest, content = self._context(decision, spec)
        first = FirstDecision(
            decision.score,
            digest,
            decision.decision,
            decision.features_offset,
            decision.decided_at_ms,
            batch,
        )
        return first, content

    def _context(self, decision: Decision, spec: VectorSpec | None) -> tuple[bytes, bytes]:
        policy = _policy_of(decision, self._present_policy)
        arm = None
        if decision.rollout is not None:
            arm = ArmOfRows(decision.rollout, decision.arm or "", decision.propensity or 0.0)
        key = (
            decision.model,
            decision.vector_spec,
            decision.degraded,
            policy,
            arm,
            decision.policy,
        )
        known = self._contexts.get(key)
        if known is not None:
            return known
        is_lost = spec is None and decision.vector_spec is not None
        lost = (DEGRADED_FIRST_CONTEXT_LOST,) if is_lost else ()
        degraded = (*decision.degraded, *lost)
        content = DecisionContext(
            decision.model, policy, degraded, spec, arm, decision.policy
        ).to_json()
        if len(self._contexts) >= CONTEXTS_MAX:
            self._contexts.clear()
        self._contexts[key] = found = (context_digest(content), content)
        return found


def _policy_of(decision: Decision, present: Policy) -> Policy:
    """Find the thresholds: only the one that the first reason names is needed to word it again."""
    reason = decision.reasons[0] if decision.reasons else ""
    found = _THRESHOLD.fullmatch(reason)
    if found is None or present.explain(decision.score) == reason:
        return present
    return Policy(review_threshold=float(found[1]), block_threshold=1.0)

"""Compares decisions, their features and their vectors, with what the recomputation gives.

Pure; knows neither Kafka nor the registry. `operations.parity.run` hands it the decisions.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from math import isnan
from typing import TypeAlias

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from models.encoding.row import encode_row
from models.encoding.vector import VectorSpec, vector_bytes, vector_digest
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import DIFFERENCES_KEPT, Difference, SurfaceReport
from schemas.decision import Decision, ModelRef, PolicyRef, RolloutRef, inputs_of
from scoring.core.arms import drawn_policy
from scoring.core.rollouts import RolloutInUse

FeatureEnds: TypeAlias = Mapping[int, int]
"""By partition of the feature log, the offset after the last row that was recomputed."""


class DecisionComparison:
    """Compares one decision after the other: `take` each of them, then `finish`."""

    def __init__(
        self,
        recomputed: Recomputed,
        *,
        ends: FeatureEnds,
        spec_of: Callable[[ModelRef], VectorSpec | None],
        rollout_at: Callable[[RolloutRef], RolloutInUse | None] = lambda _: None,
        on_compared: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        """Start without any decision.

        Args:
            recomputed: what the values should be.
            ends: how far the feature log was recomputed; decisions on later rows are newer.
            spec_of: the specification that a model's vectors were encoded by; None if it is not
                known any more, then only the features are compared.
            rollout_at: a rollout as of a revision; None if the log does not have it.
            on_compared: told of each decision that is compared.
        """
        self._report = SurfaceReport()
        self._recomputed = recomputed
        self._ends = ends
        self._spec_of = spec_of
        self._rollout_at = rollout_at
        self._on_compared = on_compared
        self._seen: set[str] = set()
        self._answered = 0

    def take(self, decision: Decision) -> None:
        """Take the next decision, each partition in offset order; the first one counts."""
        transaction_id = decision.transaction_id
        if transaction_id in self._seen:
            self._report.repeats += 1
        elif transaction_id in self._recomputed:
            self._seen.add(transaction_id)
            self._answered += 1
            self._compare(decision)
        elif self._is_newer(decision):
            self._report.newer += 1
        else:
            self._seen.add(transaction_id)
            self._report.extra += 1
            self._report.keep(Difference(transaction_id, "decision", "a decision", "absent"))

    @property
    def undecided(self) -> int:
        """How many recomputed transactions have no decision yet."""
        return len(self._recomputed) - self._answered

    def finish(self) -> SurfaceReport:
        """Give the report; transactions without a decision are missing."""
        self._report.missing = self.undecided
        undecided = (each for each in self._recomputed.ids() if each not in self._seen)
        for transaction_id in islice(undecided, DIFFERENCES_KEPT):
            self._report.keep(Difference(transaction_id, "decision", "absent", "a decision"))
        return self._report

    def _is_newer(self, decision: Decision) -> bool:
        place = decision.features_offset
        return place.offset >= self._ends.get(place.partition, 0)

    def _compare(self, decision: Decision) -> None:
        """Compare a decision with its transaction's first row.

        Only where two users have used an id, the scorer may have read the other user's row first;
        then the decision is compared with the row that it names.
        """
        named = decision.features_offset
        at = self._recomputed.position(decision.transaction_id)
        if named.partition != self._recomputed.places[at].partition:
            other = self._recomputed.position_at(
                decision.transaction_id, named.partition, named.offset
            )
            if other is None and self._is_newer(decision):
                self._report.conflicting += 1
                return
            if other is not None:
                self._report.conflicting += 1
                at = other
        self._compare_features(decision, at)
        self._compare_vector(decision, at)
        self._compare_arm(decision, at)
        self._on_compared(decision)

    def _compare_features(self, decision: Decision, at: int) -> None:
        marks = self._recomputed.marks(at)
        wanted = self._recomputed.values(at)
        is_old = decision.definition_digest != DEFINITION_DIGEST
        for name, value in zip(FEATURE_NAMES, wanted, strict=True):
            # Older definitions did not have all of these features.
            if is_old and name not in decision.features:
                continue
            self._report.checked += 1
            found = decision.features.get(name, "absent")
            is_equal = found is None if isnan(value) else found == value
            if not is_equal or (name in decision.approximate) != (name in marks):
                self._report.differs(decision.transaction_id, name, found=found, recomputed=value)

    def _compare_vector(self, decision: Decision, at: int) -> None:
        has_vector = decision.vector is not None or decision.vector_digest is not None
        spec = self._spec_of(decision.model) if has_vector else None
        if spec is None:
            return
        report, transaction_id = self._report, decision.transaction_id
        features = self._recomputed.features(at)
        for name in spec.batch_columns:
            # `batch_features` compares these with the snapshots; the vector must only agree with
            # the decision's own values.
            features[name] = decision.features.get(name)
            if name not in decision.features:
                report.differs(transaction_id, name, found="absent", recomputed="a batch feature")
        wanted = encode_row(spec, self._recomputed.transaction(at), features)
        report.checked += len(wanted)
        if decision.vector is None:
            self._compare_digest(
                decision, spec, wanted, inputs_of(self._recomputed.transaction(at))
            )
            return
        found_length = len(decision.vector)
        if found_length != len(wanted):
            report.differs(transaction_id, "vector", found=found_length, recomputed=len(wanted))
            return
        for name, found, value in zip(spec.columns, decision.vector, wanted, strict=True):
            if found != value and not (isnan(found) and isnan(value)):
                report.differs(transaction_id, f"vector {name}", found=found, recomputed=value)

    def _compare_digest(
        self,
        decision: Decision,
        spec: VectorSpec,
        wanted: list[float],
        inputs: Mapping[str, int | str],
    ) -> None:
        """Compare what a decision says of a vector that it does not carry."""
        pairs = (
            ("vector_spec", decision.vector_spec, spec.digest),
            ("inputs", f"{decision.inputs}", f"{inputs}"),
            ("vector_digest", decision.vector_digest, vector_digest(vector_bytes(wanted))),
        )
        for name, found, recomputed in pairs:
            if found != recomputed:
                self._report.differs(
                    decision.transaction_id, name, found=found, recomputed=recomputed
                )

    def _compare_arm(self, decision: Decision, at: int) -> None:
        """Assign the transaction again, and draw again if a draw could let it through."""
        found = {
            "arm": decision.arm,
            "propensity": decision.propensity,
            "policy": _shown_policy(decision.policy),
        }
        if decision.rollout is None:
            wanted: dict[str, str | float | None] = dict.fromkeys(found)
        else:
            self._report.checked += len(found)
            in_use = self._rollout_at(decision.rollout)
            if in_use is None:
                shown = f"{decision.rollout.id} revision {decision.rollout.revision}"
                self._report.differs(
                    decision.transaction_id, "rollout", found=shown, recomputed="absent"
                )
                return
            wanted = self._assigned(decision, at, in_use)
        for name, value in wanted.items():
            if found[name] != value:
                self._report.differs(
                    decision.transaction_id, name, found=found[name], recomputed=value
                )

    def _assigned(
        self, decision: Decision, at: int, in_use: RolloutInUse
    ) -> dict[str, str | float | None]:
        assigned = in_use.assigner.assign(
            user_id=decision.user_id, transaction_id=decision.transaction_id
        )
        wanted: dict[str, str | float | None] = {
            "arm": assigned.arm,
            "propensity": assigned.propensity,
        }
        if decision.policy is not None and in_use.let_through is not None:
            outcome, policy = drawn_policy(
                in_use.let_through,
                outcome="BLOCK",
                transaction_id=decision.transaction_id,
                amount_minor=self._recomputed.transaction(at).amount_minor,
            )
            wanted["policy"] = _shown_policy(policy) if outcome == decision.decision else outcome
        elif decision.policy is not None:
            wanted["policy"] = None
        return wanted


def _shown_policy(policy: PolicyRef | None) -> str | None:
    return None if policy is None else f"{policy.name} {policy.propensity}"

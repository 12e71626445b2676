"""A decision: the outcome for one transaction, with the model and the features behind it.

Holds everything that is needed to compute the same decision again: the features, what else the
vector is made of, the digest of the model, the place of the feature row in its log. Written by
``scoring``, read by subscribers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from schemas.fields import Id, Keywords, NotNegative, Share, Text, TimeMs
from schemas.transaction import Transaction

Outcome = Literal["APPROVE", "REVIEW", "BLOCK"]

INPUT_FIELDS: Final = ("amount_minor", "device_type", "ip_country")
"""The fields of a transaction that a vector may contain; `Decision.inputs` repeats them."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The model that scored."""

    name: Annotated[Text, "Registered name of the model, or the name of the heuristic."]
    version: Annotated[Text, "Version in the registry."]
    digest: Annotated[str, "Digest of the compiled trees; empty for the heuristic."]


@dataclass(frozen=True, slots=True)
class Offset:
    """A place in the feature log."""

    partition: Annotated[NotNegative, "Partition of the topic `features`."]
    offset: Annotated[NotNegative, "Offset in that partition."]


@dataclass(frozen=True, slots=True)
class RolloutRef:
    """The rollout that was in use."""

    id: Annotated[Text, "The rollout."]
    revision: Annotated[int, "Its revision; `rollouts` has the shares at it.", Keywords(minimum=1)]


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """What gave the outcome beside the thresholds, and how probable that outcome was."""

    name: Annotated[
        Literal["let_through"],
        "`let_through`: a would-be block that could be approved by a draw.",
    ]
    propensity: Annotated[Share, "Probability of the outcome, given the score."]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. The first decision for a ``transaction_id`` stands.

    ``vector`` may hold NaN for a missing value; JSON has no NaN, so it is null on the wire. A
    decision on the topic does not carry a vector that follows from its other fields.
    """

    transaction_id: Annotated[Id, "The transaction decided on."]
    user_id: Annotated[Id, "Its user; the key of the topic."]
    decision: Annotated[Outcome, "What to do with the transaction."]
    score: Annotated[Share, "Probability of fraud that the model gives."]
    model: Annotated[ModelRef, "The model that scored."]
    features: Annotated[
        dict[str, int | float | None],
        "Values of the features: those of the feature row, and the batch features of the model.",
    ]
    vector: Annotated[
        list[float] | None,
        "The exact input of the model; null if no model scored, or if it follows from `features` "
        "and `inputs` by `vector_spec`.",
        Keywords(items={"type": ["number", "null"]}),
    ]
    features_offset: Annotated[Offset, "The feature row that was scored."]
    definition_digest: Annotated[Text, "Digest of the definitions of the features."]
    approximate: Annotated[tuple[str, ...], "Names of the features that are not exact."]
    degraded: Annotated[
        tuple[str, ...], "Names of what was not available for the decision; empty if all was."
    ]
    reasons: Annotated[
        tuple[str, ...],
        "Sentences for display, not to be parsed: the threshold that gave the outcome, and the "
        "matched rules. The model's own reasons are not among them.",
    ]
    event_time_ms: Annotated[TimeMs, "When the transaction happened, ms since 1970 UTC."]
    timings: Annotated[dict[str, int], "Clock of each stage, by name, ms since 1970 UTC."]
    decided_at_ms: Annotated[int, "Clock of the scorer at the decision, ms since 1970 UTC."]
    batch_as_of_ms: Annotated[
        int | None,
        "Time of the snapshot that the batch features come from, ms since 1970 UTC; "
        "null if the model takes none, or they were not available.",
    ] = None
    merchant_id: Annotated[
        Id | None,
        "Merchant of the transaction; null in decisions made before the field existed.",
    ] = None
    matched_rules: Annotated[
        tuple[str, ...],
        "Rules of the heuristic that the transaction matches, the strongest first, at most 3. They "
        "are set by hand. They gave the score if the heuristic scored, and only then.",
    ] = ()
    inputs: Annotated[
        dict[str, int | str] | None,
        "The fields of the transaction that the vector contains, those that the transaction has; "
        "null if no model scored, or if the decision carries the vector.",
    ] = None
    vector_spec: Annotated[
        str | None,
        "Digest of the specification by which the vector follows from `features` and `inputs`, "
        "as in the signature of the model version; null as for `inputs`.",
    ] = None
    vector_digest: Annotated[
        str | None,
        "Digest of the vector that was scored, as little-endian doubles: BLAKE2b of 8 bytes, "
        "hexadecimal; null as for `inputs`.",
    ] = None
    rollout: Annotated[
        RolloutRef | None,
        "The rollout that split the traffic. Without one, a decision in the topic has neither this "
        "field nor those after it.",
    ] = None
    arm: Annotated[
        str | None,
        "The arm that the transaction was assigned to; null without a rollout. If its model was "
        "not available, another one scored and `degraded` has `arm_unavailable`.",
    ] = None
    propensity: Annotated[
        float | None,
        "Probability of the arm: its share at that revision; null without a rollout.",
        Keywords(minimum=0, maximum=1),
    ] = None
    policy: Annotated[
        PolicyRef | None, "What else could give the outcome; null if only the thresholds could."
    ] = None
    model_ms: Annotated[
        float | None,
        "Duration of the model call that scored the row with others of its arm, ms; null without "
        "a rollout and in a repeat.",
        Keywords(minimum=0),
    ] = None


def inputs_of(transaction: Transaction) -> dict[str, int | str]:
    """Give the fields of a transaction that a vector may contain, those that it has."""
    values = ((name, getattr(transaction, name)) for name in INPUT_FIELDS)
    return {name: value for name, value in values if value is not None}

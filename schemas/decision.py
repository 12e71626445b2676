"""A decision: the outcome for one transaction, with the model and the features behind it.

Holds everything that is needed to compute the same decision again: the exact vector, the digest of
the model, the place of the feature row in its log. Written by ``scoring``, read by subscribers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from schemas.fields import Id, Keywords, NotNegative, Share, Text, TimeMs

Outcome = Literal["APPROVE", "REVIEW", "BLOCK"]


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
class Decision:
    """One decision. The first decision for a ``transaction_id`` stands.

    ``vector`` may hold NaN for a missing value; JSON has no NaN, so it is null on the wire.
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
        "The exact input of the model; null if no model scored.",
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

"""A decision: what was decided about a transaction, by which model, from what.

Holds all it takes to decide the same again: the exact vector, the model's
digest, the row in the feature log. Written by ``scoring``, read by subscribers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from schemas.fields import Id, Keywords, NotNegative, Share, Text, TimeMs

Outcome = Literal["APPROVE", "REVIEW", "BLOCK"]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The model that scored."""

    name: Annotated[Text, "Registered name, or the name of the heuristic."]
    version: Annotated[Text, "Version in the registry."]
    digest: Annotated[str, "Digest of the compiled trees; empty for the heuristic."]


@dataclass(frozen=True, slots=True)
class Offset:
    """A place in the feature log."""

    partition: Annotated[NotNegative, "Partition of the topic `features`."]
    offset: Annotated[NotNegative, "Offset in that partition."]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. The first one for a ``transaction_id`` stands.

    ``vector`` may hold NaN for "no value"; JSON has none, so it is null on the wire.
    """

    transaction_id: Annotated[Id, "The transaction decided on."]
    user_id: Annotated[Id, "Its user; the key of the topic."]
    decision: Annotated[Outcome, "What to do."]
    score: Annotated[Share, "Probability of fraud, as the model sees it."]
    model: Annotated[ModelRef, "Who scored."]
    features: Annotated[
        dict[str, int | float | None],
        "The features: the row's, and the batch features that the model takes.",
    ]
    vector: Annotated[
        list[float] | None,
        "The exact input of the model; null where no model scored.",
        Keywords(items={"type": ["number", "null"]}),
    ]
    features_offset: Annotated[Offset, "The feature row that was scored."]
    definition_digest: Annotated[Text, "Digest of the definitions of the features."]
    approximate: Annotated[tuple[str, ...], "Names of the features that are not exact."]
    degraded: Annotated[tuple[str, ...], "What was missing when it was decided; empty: nothing."]
    reasons: Annotated[tuple[str, ...], "Why, for people."]
    event_time_ms: Annotated[TimeMs, "When the transaction happened, ms since 1970 UTC."]
    timings: Annotated[dict[str, int], "Name of a stage to its clock, ms since 1970 UTC."]
    decided_at_ms: Annotated[int, "Clock when it was decided, ms since 1970 UTC."]
    batch_as_of_ms: Annotated[
        int | None,
        "The snapshot that the batch features among the features are as of, ms since 1970 UTC; "
        "null where the model takes none, or they were not known.",
    ] = None

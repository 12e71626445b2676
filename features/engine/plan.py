"""The definitions as data for the native engine: its entities, their features and their limits.

Rust knows no entity and no feature; their names reach it in this JSON. Owns the order in which an
event meets the entities and what each of them keeps. Pure; ``job.py`` passes the plan on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from features.definitions import (
    CAPS,
    DEFINITION_DIGEST,
    IDENTITY_MS,
    LABEL_WAIT_MS,
    LATENESS_MS,
    MERCHANT_FEATURES,
    TILES_PER_WINDOW,
    USER_FEATURES,
    Caps,
    Entity,
    Velocity,
)


@dataclass(frozen=True, slots=True)
class PlannedEntity:
    """One entity of the plan.

    Attributes:
        entity: its name in the definitions.
        kind: one character; the bytes of its states contain it.
        features: its features, in the order of the wire.
        key_field: the field of an event that holds its key.
        sequence_field: the field of a feature row that holds the sequence of its state.
        distinct_field: the field whose distinct values are counted; None if none are.
        has_identity: whether its states remember transaction ids and so detect repeats.
        has_sums: whether its features need the sum of the amounts.
        has_labels: whether its features need the labels of its transactions.
    """

    entity: Entity
    kind: str
    features: tuple[Velocity, ...]
    key_field: str
    sequence_field: str
    distinct_field: str | None
    has_identity: bool
    has_sums: bool
    has_labels: bool

    @property
    def is_delayed(self) -> bool:
        """Whether no feature depends on the newest events, because every window ends earlier."""
        return all(feature.delay_ms > 0 for feature in self.features)


ENTITIES: Final = (
    PlannedEntity(
        "user",
        kind="u",
        features=USER_FEATURES,
        key_field="user_id",
        sequence_field="user_sequence",
        distinct_field="merchant_id",
        has_identity=True,
        has_sums=True,
        has_labels=False,
    ),
    PlannedEntity(
        "merchant",
        kind="m",
        features=MERCHANT_FEATURES,
        key_field="merchant_id",
        sequence_field="merchant_sequence",
        distinct_field=None,
        has_identity=False,
        has_sums=False,
        has_labels=True,
    ),
)
"""The entities in the order in which an event meets them. The first one detects repeats."""


def plan_json(*, caps: Caps = CAPS) -> str:
    """Give the plan; native/src/plan.rs reads it.

    Args:
        caps: the limits of one key's state; smaller ones are for tests.
    """
    return json.dumps(
        {
            "digest": DEFINITION_DIGEST,
            "limits": {
                "lateness_ms": LATENESS_MS,
                "identity_ms": IDENTITY_MS,
                "label_wait_ms": LABEL_WAIT_MS,
                "tiles_per_window": TILES_PER_WINDOW,
                "events_max": caps.events_max,
                "ids_max": caps.ids_max,
                "distinct_max": caps.merchants_max,
                "visits_max": caps.visits_max,
                "labelled_max": caps.labelled_max,
                "observations_max": caps.observations_max,
            },
            "entities": [_entity(planned) for planned in ENTITIES],
        }
    )


def _entity(planned: PlannedEntity) -> dict[str, object]:
    return {
        "kind": planned.kind,
        "has_identity": planned.has_identity,
        "has_sums": planned.has_sums,
        "has_labels": planned.has_labels,
        "features": [
            {
                "name": feature.name,
                "aggregate": feature.aggregate,
                "window_ms": feature.window_ms,
                "delay_ms": feature.delay_ms,
            }
            for feature in planned.features
        ],
    }

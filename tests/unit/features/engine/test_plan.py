"""The plan is complete, and the engine accepts it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import weir_engine

from features.definitions import (
    CAPS,
    DEFINITION_DIGEST,
    FEATURE_NAMES,
    ON_DEMAND_FEATURES,
    Caps,
    Entity,
)
from features.engine.plan import ENTITIES, plan_json
from schemas.feature_row import FeatureRow
from schemas.transaction import Transaction


def test_the_plan_has_every_entity_and_every_feature_in_the_order_of_the_wire() -> None:
    assert tuple(planned.entity for planned in ENTITIES) == get_args(Entity)
    plan = json.loads(plan_json())
    names = [feature["name"] for entity in plan["entities"] for feature in entity["features"]]
    assert names == list(FEATURE_NAMES[: -len(ON_DEMAND_FEATURES)])
    assert plan["digest"] == DEFINITION_DIGEST


def test_every_cap_reaches_the_engine() -> None:
    numbers = {field.name: 1_000 + at for at, field in enumerate(fields(Caps))}
    limits = json.loads(plan_json(caps=Caps(**numbers)))["limits"]
    assert set(numbers.values()) <= set(limits.values())


def test_the_fields_that_an_entity_names_exist() -> None:
    of_event = {field.name for field in fields(Transaction)}
    of_row = {field.name for field in fields(FeatureRow)}
    for planned in ENTITIES:
        assert planned.key_field in of_event
        assert planned.distinct_field is None or planned.distinct_field in of_event
        assert planned.sequence_field in of_row


def test_what_an_entity_keeps_is_what_its_features_need() -> None:
    for at, planned in enumerate(ENTITIES):
        aggregates = {feature.aggregate for feature in planned.features}
        assert planned.has_identity == (at == 0)
        assert planned.has_sums == bool(aggregates & {"sum", "mean"})
        assert planned.has_labels == ("rate" in aggregates)
        assert (planned.distinct_field is not None) == ("distinct" in aggregates)
        assert {feature.entity for feature in planned.features} == {planned.entity}


def test_only_merchants_are_delayed() -> None:
    assert [planned.is_delayed for planned in ENTITIES] == [False, True]


def test_the_engine_accepts_the_plan() -> None:
    state = weir_engine.Plan(plan_json(caps=CAPS)).new_state(0)
    features, approximate, sequence, is_repeat = state.read(as_of_ms=0)
    assert list(features) == [feature.name for feature in ENTITIES[0].features]
    assert (approximate, sequence, is_repeat) == ((), 0, False)

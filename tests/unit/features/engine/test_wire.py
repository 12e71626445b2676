"""The description of the records names all their fields, and nothing that the codec refuses."""

from __future__ import annotations

import json
from dataclasses import fields

from features.definitions import ON_DEMAND_FEATURES
from features.engine.wire import event_fields, label_fields, wire_json
from schemas.label import Label
from schemas.transaction import Limits, Transaction


def test_the_fields_are_those_of_the_types_in_their_order() -> None:
    assert [field["name"] for field in event_fields(Limits())] == [
        field.name for field in fields(Transaction)
    ]
    assert [field["name"] for field in label_fields()] == [field.name for field in fields(Label)]


def test_exactly_the_fields_with_a_default_are_optional() -> None:
    optional = [field["name"] for field in event_fields(Limits()) if field.get("is_optional")]
    assert optional == [field.name for field in fields(Transaction) if field.default is None]


def test_the_limits_of_the_deployment_are_those_of_the_engine() -> None:
    limits = Limits("CHF", 7, event_time_ms_min=8, event_ahead_ms_max=9, replay_ahead_ms_max=10)
    wire = json.loads(wire_json(limits))
    by_name = {field["name"]: field for field in wire["event"]["fields"]}
    assert by_name["currency"]["only"] == "CHF"
    assert by_name["amount_minor"]["max"] == 7
    assert wire["times"] == {"min_ms": 8, "ahead_max_ms": 9, "replay_ahead_max_ms": 10}


def test_every_feature_of_the_event_itself_is_in_a_row() -> None:
    rows = json.loads(wire_json(Limits()))["row"]
    names = [feature["name"] for feature in rows["on_demand"]]
    assert names == [feature.name for feature in ON_DEMAND_FEATURES]

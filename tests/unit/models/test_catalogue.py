"""Definitions of models: what is refused when they are declared and loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from features.batch import ACTIVITY, STATISTICS
from features.definitions import DAY_MS
from features.user_inputs import DAYS_IDLE, USER_INPUTS
from models.catalogue import find_model_definition, load_models, settings_of
from models.definition import Label, ModelDefinition
from models.errors import ModelDefinitionError, UnknownModelError
from models.policy import DecisionPolicy
from schemas.settings import Settings

POLICY = DecisionPolicy(("STAYS", "LEAVES"), (0.5,))
LEAVES = ModelDefinition(
    name="leaves",
    columns=(DAYS_IDLE, *ACTIVITY.names),
    policy=POLICY,
    label=Label("count(transaction_id) = 0", horizon_ms=30 * DAY_MS),
)
RANKS = ModelDefinition(
    name="ranks", columns=("product_price",), policy=POLICY, routes="examples.ranks:ROUTES"
)
SAME_NAME = replace(RANKS, name="leaves")
HERE = "tests.unit.models.test_catalogue"


def settings(models: str = f"{HERE}:LEAVES,{HERE}:RANKS") -> Settings:
    return Settings(models=models)


def test_the_model_of_transactions_is_one_of_the_definitions_and_the_first() -> None:
    assert list(load_models(settings())) == ["weir-fraud", "leaves", "ranks"]
    (only,) = load_models(Settings()).values()
    assert only.policy.outcome(0.95) == "BLOCK"
    types = only.column_types
    assert (types["amount_minor"], types["ip_country"], types["hour_of_day"]) == (
        "int64",
        "string",
        "int64",
    )
    assert types["merchant_fraud_rate_7d_delay_7d"] == "double"


def test_a_definition_says_what_the_platform_can_fill() -> None:
    assert LEAVES.batch_view is ACTIVITY
    assert LEAVES.is_read_from_the_store
    assert not RANKS.is_read_from_the_store
    assert LEAVES.column_types[ACTIVITY.names[2]] == "double"
    assert replace(LEAVES, active_ms=1).data_digest != LEAVES.data_digest
    assert replace(LEAVES, policy=DecisionPolicy(("A", "B"), (0.1,))).data_digest == (
        LEAVES.data_digest
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Leaves/1"}, "model name 'Leaves/1'"),
        ({"columns": ()}, "must be some"),
        ({"columns": (DAYS_IDLE, DAYS_IDLE)}, "each once"),
        ({"columns": ("amount_minor",)}, r"\['amount_minor'\] are no inputs of users; known are"),
        ({"columns": (ACTIVITY.names[0], STATISTICS.names[0])}, "several views"),
        ({"routes": "examples.ranks"}, "must be module:NAME"),
    ],
)
def test_a_definition_that_cannot_be_served_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelDefinitionError, match=message):
        replace(LEAVES, **changes)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("no_such_module:MODEL", "cannot be imported: No module named 'no_such_module'"),
        (f"{HERE}:NO_SUCH", "cannot be imported"),
        (f"{HERE}:POLICY", "is a DecisionPolicy, not a ModelDefinition"),
        (f"{HERE}:LEAVES,{HERE}:SAME_NAME", "two models 'leaves'"),
    ],
)
def test_a_setting_that_names_no_definition_is_refused(models: str, message: str) -> None:
    with pytest.raises(ModelDefinitionError, match=message):
        load_models(settings(models))


def test_a_setting_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="models"):
        settings("examples.churn.model")


def test_an_unknown_model_names_the_known_ones() -> None:
    assert find_model_definition(settings(), "leaves").name == "leaves"
    with pytest.raises(
        UnknownModelError, match=r"no model 'gone'; known are weir-fraud, leaves, ranks"
    ):
        find_model_definition(settings(), "gone")


def test_a_model_is_registered_under_its_name_with_its_thresholds() -> None:
    of_users = settings_of(settings(), LEAVES)
    assert (of_users.model_name, of_users.review_threshold, of_users.block_threshold) == (
        "leaves",
        0.5,
        0.5,
    )
    first = load_models(settings())["weir-fraud"]
    assert settings_of(settings(), first).model_name == "weir-fraud"


def test_every_input_of_users_has_a_type() -> None:
    assert set(USER_INPUTS.values()) == {"int64", "double"}


@pytest.mark.parametrize(
    ("outcomes", "thresholds", "message"),
    [
        (("A",), (0.5,), "one threshold is needed"),
        (("A", "A"), (0.5,), "must differ"),
        (("A", " "), (0.5,), "none be blank"),
        (("A", "B"), (1.5,), "within 0 to 1"),
        (("A", "B", "C"), (0.6, 0.5), "in order"),
    ],
)
def test_a_policy_that_does_not_fit_together_is_refused(
    outcomes: tuple[str, ...], thresholds: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DecisionPolicy(outcomes, thresholds)


def test_a_faulty_score_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="the model is faulty"):
        POLICY.outcome(float("nan"))

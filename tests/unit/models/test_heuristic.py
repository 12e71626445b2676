from hypothesis import given
from hypothesis import strategies as st

from features.definitions import FEATURE_NAMES
from models.heuristic import HEURISTIC, RULES, heuristic_score, matched_rule_texts
from tests.scoring_fakes import feature_row

VALUES = st.dictionaries(
    st.sampled_from([rule.feature for rule in RULES]),
    st.none() | st.integers(0, 10**13) | st.floats(0, 1),
)


def test_every_rule_reads_a_feature_that_exists() -> None:
    assert {rule.feature for rule in RULES} <= set(FEATURE_NAMES)


def test_every_rule_can_add_something_and_none_can_decide_alone() -> None:
    for rule in RULES:
        assert rule.low < rule.high
        assert 0 < rule.weight < 0.9


@given(VALUES)
def test_a_score_is_from_0_to_below_1(values: dict[str, int | float | None]) -> None:
    assert 0 <= heuristic_score(values) < 1


@given(VALUES, st.sampled_from(RULES), st.floats(0, 10**7))
def test_more_of_a_feature_never_lowers_the_score(
    values: dict[str, int | float | None], rule: object, more: float
) -> None:
    name = rule.feature  # type: ignore[attr-defined]
    higher = {**values, name: (values.get(name) or 0) + more}
    assert heuristic_score(higher) >= heuristic_score(values) - 1e-12


def test_a_rule_says_nothing_up_to_low_and_all_from_high_on() -> None:
    rule = RULES[0]
    just = 1e-9
    at = {edge: heuristic_score({rule.feature: edge}) for edge in (rule.low, rule.low + just)}
    assert at[rule.low] == 0 < at[rule.low + just] < 1e-6
    full = [heuristic_score({rule.feature: rule.high + more}) for more in (-1, 0, 1)]
    assert full[0] < full[1] == full[2]
    assert abs(full[1] - rule.weight) < 1e-12


def test_no_value_and_no_feature_say_nothing() -> None:
    assert heuristic_score({}) == heuristic_score({RULES[0].feature: None}) == 0


def test_matched_rules_are_the_strongest_first_and_bounded() -> None:
    everything = {rule.feature: rule.high for rule in RULES}
    texts = matched_rule_texts(everything, texts_max=2)
    assert len(texts) == 2
    assert texts[0] == "10 transactions in 5 minutes"


def test_the_model_scores_rows_of_any_definition_without_a_vector() -> None:
    rows = [feature_row("t-1"), feature_row("t-2", definition_digest="another")]
    scores, vectors = HEURISTIC.score(rows)
    assert scores == [0.0, 0.0]
    assert vectors is None
    assert HEURISTIC.definition_digest is None

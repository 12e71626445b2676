"""Which labels are wrong, and what is right, from the rows of the feature log."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from operations.labels.corrections import (
    Correction,
    KnownTransaction,
    ReportedLabel,
    correction_of,
    known_transactions,
    not_yet_reported,
)
from tests.builders import LABEL, NOW_MS

KNOWN = KnownTransaction("m-1", LABEL.event_time_ms, frozenset({"m-1"}))


def reported(**changes: object) -> ReportedLabel:
    return ReportedLabel(replace(LABEL, **changes), partition=0, offset=17)  # type: ignore[arg-type]


def rows(*given: tuple[str, str, int, bool, int, int, int]) -> pd.DataFrame:
    columns = (
        "transaction_id",
        "merchant_id",
        "event_time_ms",
        "repeat",
        "computed_at_ms",
        "log_partition",
        "log_offset",
    )
    return pd.DataFrame(list(given), columns=list(columns))


def test_a_label_of_the_transactions_merchant_is_right() -> None:
    assert correction_of(reported(merchant_id="m-1"), KNOWN) is None


def test_a_label_of_another_merchant_is_corrected() -> None:
    wrong = reported(merchant_id="m-2")
    assert correction_of(wrong, KNOWN) == Correction(wrong, replace(LABEL, merchant_id="m-1"))


def test_the_event_time_is_corrected_with_the_merchant() -> None:
    wrong = reported(merchant_id="m-2", event_time_ms=LABEL.event_time_ms - 5)
    correction = correction_of(wrong, KNOWN)
    assert correction is not None
    assert correction.label.event_time_ms == LABEL.event_time_ms


@pytest.mark.parametrize(("before_ms", "is_kept"), [(-1, False), (0, False), (1, True)])
def test_an_event_time_after_the_observation_would_be_refused_and_stays(
    before_ms: int, *, is_kept: bool
) -> None:
    early = KNOWN.event_time_ms - 100
    wrong = reported(
        merchant_id="m-2", event_time_ms=early, observed_time_ms=KNOWN.event_time_ms - before_ms
    )
    correction = correction_of(wrong, KNOWN)
    assert correction is not None
    assert (correction.label.event_time_ms == early) is is_kept


def test_an_id_that_two_merchants_have_is_right_for_both() -> None:
    known = known_transactions(
        rows(
            ("t-1", "m-2", NOW_MS + 1, False, 900, 1, 3),
            ("t-1", "m-1", NOW_MS, False, 500, 0, 7),
        )
    )["t-1"]
    assert known == KnownTransaction("m-1", NOW_MS, frozenset({"m-1", "m-2"}))
    assert correction_of(reported(merchant_id="m-2"), known) is None
    third = correction_of(reported(merchant_id="m-3"), known)
    assert third is not None
    assert third.label.merchant_id == "m-1"


def test_a_repeat_under_another_merchant_was_not_counted_there() -> None:
    known = known_transactions(
        rows(("t-1", "m-1", NOW_MS, False, 1, 0, 7), ("t-1", "m-2", NOW_MS, True, 2, 0, 8))
    )
    assert known == {"t-1": KnownTransaction("m-1", NOW_MS, frozenset({"m-1"}))}


def test_no_rows_know_nothing() -> None:
    assert known_transactions(rows().astype({"repeat": bool})) == {}


@pytest.mark.parametrize(
    ("observations", "is_left"),
    [
        ({}, True),
        ({("t-1", "m-1"): {LABEL.observed_time_ms}}, False),
        ({("t-1", "m-1"): {LABEL.observed_time_ms - 1}}, True),
        ({("t-1", "m-2"): {LABEL.observed_time_ms}}, True),
    ],
)
def test_a_correction_that_is_in_the_log_already_is_not_sent_again(
    observations: dict[tuple[str, str], set[int]], *, is_left: bool
) -> None:
    correction = correction_of(reported(merchant_id="m-2"), KNOWN)
    assert correction is not None
    known = {key: frozenset(times) for key, times in observations.items()}
    assert bool(not_yet_reported([correction], known)) is is_left

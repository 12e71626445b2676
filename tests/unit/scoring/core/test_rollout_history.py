"""Which changes of the log count, and where each rollout stands."""

from __future__ import annotations

import pytest

from schemas.errors import InvalidEventError
from scoring.core.rollout_changes import aborted, paused
from scoring.core.rollout_history import RolloutHistory
from tests.rollout_steps import author, start, step


def test_changes_are_applied_in_their_order() -> None:
    history = RolloutHistory(keeps_revisions=True)
    first = start("r-1")
    second = step(first.rollout, shares_bp={"control": 9_000, "challenger": 1_000})
    history.apply(first)
    history.apply(second)
    assert history.newest("r-1") == second
    assert history.active("weir-fraud") == second
    assert history.at("r-1", 1) == first.rollout
    assert history.at("r-1", 2) == second.rollout
    assert history.changes("r-1") == [first, second]
    assert list(history) == [second]


def test_the_first_writer_of_a_revision_wins() -> None:
    history = RolloutHistory()
    first = start("r-1")
    history.apply(first)
    winner, loser = paused(first.rollout, author()), aborted(first.rollout, author())
    history.apply(winner)
    with pytest.raises(InvalidEventError, match="revision is 2, must be 3: another change came"):
        history.apply(loser)
    assert history.newest("r-1") == winner


def test_a_second_rollout_of_the_same_model_is_ignored_and_so_is_what_follows_it() -> None:
    history = RolloutHistory()
    history.apply(start("r-1"))
    second = start("r-2")
    with pytest.raises(InvalidEventError, match="whose traffic the rollout r-1 splits"):
        history.apply(second)
    with pytest.raises(InvalidEventError, match="revision is 2, must be 1"):
        history.apply(paused(second.rollout, author()))
    assert history.newest("r-2") is None


def test_two_models_may_have_a_rollout_each() -> None:
    history = RolloutHistory()
    history.apply(start("r-1"))
    history.apply(start("r-2", model_name="other"))
    assert [change.rollout.rollout_id for change in history] == ["r-1", "r-2"]
    other = history.active("other")
    assert other is not None
    assert other.rollout.rollout_id == "r-2"
    assert history.active("third") is None


def test_after_the_end_of_a_rollout_another_one_may_start() -> None:
    history = RolloutHistory()
    first = start("r-1")
    history.apply(first)
    history.apply(aborted(first.rollout, author()))
    assert history.active("weir-fraud") is None
    history.apply(start("r-2"))
    assert history.active("weir-fraud") is not None


def test_an_id_is_used_once() -> None:
    history = RolloutHistory()
    first = start("r-1")
    history.apply(first)
    history.apply(aborted(first.rollout, author()))
    with pytest.raises(InvalidEventError, match="must be 3"):
        history.apply(start("r-1"))


@pytest.mark.parametrize("revision", [0, 2, -1])
def test_a_revision_that_there_is_not_is_none(revision: int) -> None:
    history = RolloutHistory(keeps_revisions=True)
    history.apply(start("r-1"))
    assert history.at("r-1", revision) is None
    assert history.at("r-2", 1) is None

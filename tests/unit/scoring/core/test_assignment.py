"""Arms are assigned uniformly, independently between rollouts, and stay while a share grows."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.core.assignment import BUCKETS, LetThrough, Split

USERS = [f"user-{number}" for number in range(40_000)]
CHI_SQUARE_99_9 = {1: 10.83, 3: 16.27, 9: 27.88}
"""The value that a chi-square of so many degrees of freedom exceeds once in 1,000 times."""


def split(*shares: int, salt: str = "salt") -> Split:
    """Control first, then challengers a, b, c with these shares."""
    named = [("control", BUCKETS - sum(shares)), *zip("abc", shares, strict=False)]
    return Split(named, control="control", salt=salt)


def arms(of: Split, ids: list[str] = USERS) -> list[str]:
    return [row.arm for row in of.assign(id_.encode() for id_ in ids)]


def chi_square(observed: Counter[str], shares: dict[str, float], n: int) -> float:
    return sum((observed[arm] - n * p) ** 2 / (n * p) for arm, p in shares.items())


@pytest.mark.parametrize("salt", ["a", "b", "rollout-7", ""])
def test_arms_get_their_shares(salt: str) -> None:
    ten = [("control", 1_000), *((f"arm-{number}", 1_000) for number in range(9))]
    found = Counter(arms(Split(ten, control="control", salt=salt)))
    shares = dict.fromkeys(found, 0.1)
    assert len(found) == 10
    assert chi_square(found, shares, len(USERS)) < CHI_SQUARE_99_9[9]


def test_a_small_share_is_neither_more_nor_less() -> None:
    found = Counter(arms(split(500)))
    assert chi_square(found, {"a": 0.05, "control": 0.95}, len(USERS)) < CHI_SQUARE_99_9[1]


def test_two_rollouts_are_independent() -> None:
    pairs = zip(arms(split(5_000, salt="1")), arms(split(5_000, salt="2")), strict=True)
    found = Counter("/".join(pair) for pair in pairs)
    quarters = dict.fromkeys(("a/a", "a/control", "control/a", "control/control"), 0.25)
    assert chi_square(found, quarters, len(USERS)) < CHI_SQUARE_99_9[3]


def test_a_user_stays_in_a_canary_that_grows() -> None:
    stages = [set[str]()]
    for share in (500, 1_500, 3_000, 5_000, 7_500, 10_000):
        found = arms(split(share))
        stages.append({user for user, arm in zip(USERS, found, strict=True) if arm == "a"})
    assert all(before <= after for before, after in pairwise(stages))
    assert stages[-1] == set(USERS)


@given(
    shares=st.lists(st.integers(0, 3_333), min_size=1, max_size=3),
    grown=st.integers(0, 2),
    more=st.integers(1, 3_333),
)
def test_nobody_leaves_an_arm_that_grows_while_the_others_keep_their_share(
    shares: list[int], grown: int, more: int
) -> None:
    grown %= len(shares)
    after = [*shares]
    after[grown] = min(after[grown] + more, BUCKETS - sum(shares) + shares[grown])
    name = "abc"[grown]
    pairs = zip(arms(split(*shares), USERS[:500]), arms(split(*after), USERS[:500]), strict=True)
    assert all(now in (before, name) for before, now in pairs)


@given(shares=st.lists(st.integers(0, 3_333), min_size=1, max_size=3), salt=st.text("xyz"))
def test_every_arm_owns_as_many_buckets_as_its_share(shares: list[int], salt: str) -> None:
    of = split(*shares, salt=salt)
    owned = Counter(row.arm for row in of._table)
    wanted = {"control": BUCKETS - sum(shares), **dict(zip("abc", shares, strict=False))}
    assert owned == Counter({name: share for name, share in wanted.items() if share})


def test_an_arm_beyond_its_slot_takes_what_is_free() -> None:
    owned = Counter(row.arm for row in split(8_000, 1_000)._table)
    assert owned == {"a": 8_000, "b": 1_000, "control": 1_000}


@given(ids=st.lists(st.text(min_size=1, max_size=20)), share=st.integers(0, BUCKETS))
def test_an_assignment_depends_on_the_id_alone(ids: list[str], share: int) -> None:
    encoded = [id_.encode("utf-8", "ignore") for id_ in ids]
    together = split(share).assign(encoded)
    assert together == [split(share).assign([id_])[0] for id_ in encoded]
    assert all(row.propensity > 0 for row in together)


def test_the_hash_never_changes() -> None:
    """Another hash would move every user, and a replay would no longer give the logged arms."""
    found = split(5_000, salt="weir").assign([b"u-1", b"u-2", b"u-4", "ü".encode()])
    assert [row.arm for row in found] == ["control", "a", "a", "control"]
    assert {row.propensity for row in found} == {0.5}


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([("control", 9_000), ("a", 999)], "add up to 10000: control=9000, a=999"),
        ([("control", 10_001), ("a", -1)], "must be 0 or more"),
        ([("control", 5_000), ("control", 5_000)], "named twice"),
        ([("a", 5_000), ("b", 5_000)], "no arm is named 'control'"),
    ],
)
def test_shares_that_make_no_sense_are_refused(shares: list[tuple[str, int]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Split(shares, control="control", salt="s")


# --- let-through -------------------------------------------------------------------------


def let_through(share_bp: int = 200) -> LetThrough:
    return LetThrough(share_bp=share_bp, amount_minor_max=5_000, salt="salt")


def test_a_share_of_the_blocks_is_let_through_with_its_probability() -> None:
    drawn = [let_through().draw(id_, amount_minor=5_000) for id_ in USERS]
    found = Counter(str(is_drawn) for is_drawn, _ in drawn)
    assert chi_square(found, {"True": 0.02, "False": 0.98}, len(USERS)) < CHI_SQUARE_99_9[1]
    assert set(drawn) == {(True, 0.02), (False, 0.98)}


def test_a_larger_amount_is_never_let_through() -> None:
    assert {let_through(BUCKETS).draw(id_, amount_minor=5_001) for id_ in USERS[:100]} == {
        (False, 1.0)
    }


def test_a_share_of_0_is_off() -> None:
    assert {let_through(0).draw(id_, amount_minor=0) for id_ in USERS[:100]} == {(False, 1.0)}


def test_letting_through_is_independent_of_the_arm() -> None:
    drawn = [let_through(5_000).draw(id_, amount_minor=1)[0] for id_ in USERS]
    pairs = zip(arms(split(5_000)), drawn, strict=True)
    found = Counter(f"{arm}/{is_drawn}" for arm, is_drawn in pairs)
    quarters = {f"{arm}/{is_drawn}": 0.25 for arm in ("a", "control") for is_drawn in (True, False)}
    assert chi_square(found, quarters, len(USERS)) < CHI_SQUARE_99_9[3]


@pytest.mark.parametrize("share_bp", [-1, BUCKETS + 1])
def test_a_let_through_share_out_of_range_is_refused(share_bp: int) -> None:
    with pytest.raises(ValueError, match="not within 0 to 10000"):
        let_through(share_bp)

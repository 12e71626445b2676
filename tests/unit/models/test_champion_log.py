"""The log of champions: what a rollback returns to, and what a crash or a hand leaves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.champion_log import (
    ENTRIES_MAX,
    MOVED_OUTSIDE,
    NO_CHAMPION,
    PROMOTED,
    REMOVED_OUTSIDE,
    ROLLED_BACK_TO,
    ChampionLog,
    Entry,
    tag_key,
)

ALIAS = "champion"
NOW_MS = 1_796_000_000_123


def promoted(log: ChampionLog, *versions: str) -> ChampionLog:
    for version in versions:
        before = log.newest.number if log.newest else None
        entry = log.following(version, how=PROMOTED, before=before, at_ms=NOW_MS)
        log = log.added(entry.completed())
    return log


def rolled_back(log: ChampionLog) -> ChampionLog:
    target = log.earlier()[0]
    entry = log.following(target.version, how=ROLLED_BACK_TO, before=target.before, at_ms=NOW_MS)
    return log.added(entry.completed())


def tags_of(log: ChampionLog) -> dict[str, str]:
    return {tag_key(ALIAS, entry.number): entry.tag_value() for entry in log.entries}


def champion_of(log: ChampionLog) -> str:
    return log.newest.version if log.newest else NO_CHAMPION


def test_rollbacks_go_back_one_champion_each_until_none_is_left() -> None:
    log = promoted(ChampionLog(), "1", "2", "3", "2")
    seen = []
    while log.earlier():
        log = rolled_back(log)
        seen.append(champion_of(log))
    assert seen == ["3", "2", "1"]


def test_a_promotion_after_a_rollback_does_not_bring_back_what_was_left() -> None:
    log = promoted(rolled_back(promoted(ChampionLog(), "1", "2", "3")), "4")
    assert [entry.version for entry in log.earlier()] == ["2", "1"]


@given(st.lists(st.sampled_from(["1", "2", "3", "back"]), max_size=30))
def test_the_log_is_a_stack_whatever_is_promoted_and_rolled_back(steps: list[str]) -> None:
    log, stack = ChampionLog(), list[str]()
    for step in steps:
        if step != "back":
            log = promoted(log, step)
            stack.append(step)
        elif len(stack) > 1:
            log = rolled_back(log)
            stack.pop()
        assert [entry.version for entry in log.earlier()] == stack[-2::-1]
    assert ChampionLog.from_tags(tags_of(log), alias=ALIAS) == log
    assert log.settled(champion_of(log), now_ms=NOW_MS) == log


def test_an_incomplete_entry_happened_if_the_alias_is_where_it_says() -> None:
    log = promoted(ChampionLog(), "1")
    begun = log.added(log.following("2", how=PROMOTED, before=1, at_ms=NOW_MS))
    assert begun.settled("2", now_ms=NOW_MS) == promoted(log, "2")
    assert begun.settled("1", now_ms=NOW_MS) == log


def test_an_incomplete_entry_never_happened_if_the_alias_was_then_moved_elsewhere() -> None:
    log = promoted(ChampionLog(), "1")
    begun = log.added(log.following("2", how=PROMOTED, before=1, at_ms=NOW_MS))
    settled = begun.settled("3", now_ms=NOW_MS)
    assert settled.entries == (*log.entries, Entry(2, "3", MOVED_OUTSIDE, NOW_MS, before=1))


def test_a_killed_rollback_is_a_rollback_and_not_a_move_outside() -> None:
    log = promoted(ChampionLog(), "1", "2", "3")
    killed = rolled_back(log)
    assert killed.newest is not None
    begun = log.added(replace(killed.newest, is_complete=False))
    assert begun.settled("2", now_ms=NOW_MS) == killed
    assert [entry.version for entry in killed.earlier()] == ["1"]


@pytest.mark.parametrize(
    ("champion", "how"), [("1", MOVED_OUTSIDE), (NO_CHAMPION, REMOVED_OUTSIDE)]
)
def test_what_happened_outside_enters_the_log_once(champion: str, how: str) -> None:
    log = promoted(ChampionLog(), "1", "2").settled(champion, now_ms=NOW_MS)
    assert log.newest == Entry(3, champion, how, NOW_MS, before=2)
    assert log.settled(champion, now_ms=NOW_MS + 1) == log
    assert [entry.version for entry in log.earlier()] == ["2", "1"]


def test_without_a_champion_and_a_log_there_is_nothing_to_note() -> None:
    assert ChampionLog().settled(NO_CHAMPION, now_ms=NOW_MS) == ChampionLog()
    assert ChampionLog().earlier() == []


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[]",
        "{}",
        "null",
        Entry(2, "2", PROMOTED, NOW_MS, before=2).tag_value(),
        json.dumps({**json.loads(Entry(2, "2", PROMOTED, 0, 1).tag_value()), "at": "yesterday"}),
        json.dumps({**json.loads(Entry(2, "2", PROMOTED, 0, 1).tag_value()), "before": "one"}),
    ],
)
def test_a_damaged_tag_is_as_if_it_were_deleted(damaged: str) -> None:
    log = promoted(ChampionLog(), "1", "2", "3")
    tags = {**tags_of(log), tag_key(ALIAS, 2): damaged, "champion.notes": "x", "other.00001": "y"}
    read = ChampionLog.from_tags(tags, alias=ALIAS)
    assert [entry.version for entry in read.entries] == ["1", "3"]
    assert read.earlier() == []


def test_the_log_is_bounded_and_keeps_what_rollbacks_return_to() -> None:
    log = promoted(ChampionLog(), "1", "2", "3")
    for _ in range(3 * ENTRIES_MAX):
        log = rolled_back(promoted(log, "4")).shortened()
        assert len(log.entries) <= ENTRIES_MAX
        assert [entry.version for entry in log.earlier()] == ["2", "1"]
    for number in range(3 * ENTRIES_MAX):
        log = promoted(log, str(number)).shortened()
        assert len(log.entries) <= ENTRIES_MAX
    assert len(log.earlier()) >= ENTRIES_MAX // 2


def test_a_tag_tells_people_what_happened() -> None:
    entry = Entry(7, "3", PROMOTED, NOW_MS, before=5, reason="better by 0.02")
    assert json.loads(entry.tag_value()) == {
        "version": "3",
        "how": "promoted",
        "at": "2026-11-30T00:53:20.123+00:00",
        "before": 5,
        "reason": "better by 0.02",
        "complete": True,
    }

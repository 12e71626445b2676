"""How the changes of a batch are written to the journals of Flink's state."""

from __future__ import annotations

from pathlib import Path

from tests.java_program import printed

PROGRAM = Path(__file__).with_name("WriteJournals.java")


def written(*changes: str) -> list[str]:
    """What is written for these changes: key, operation, entries."""
    return printed(PROGRAM, *changes)


def test_a_key_is_written_once_with_its_entries_in_their_order() -> None:
    lines = written("u-1+a", "u-2+b", "u-1+c", "u-1+d")
    assert sorted(lines) == ["u-1 addAll a,c,d", "u-2 addAll b"]


def test_a_snapshot_replaces_what_came_before_it_and_not_what_comes_after() -> None:
    assert written("u-1+a", "u-1=S", "u-1+b") == ["u-1 update S,b"]
    assert written("u-1=S", "u-1+a", "u-1=T") == ["u-1 update T"]


def test_keys_are_written_by_key_group_whatever_their_order_in_the_batch() -> None:
    changes = [f"u-{number}+x" for number in range(50)]
    assert written(*changes) == written(*reversed(changes))
    assert len(written(*changes)) == 50

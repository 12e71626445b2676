"""The log of champions: which version was champion when, and to which one a rollback returns.

Pure. The log is kept as tags of the registered model, one tag for each entry, where people see it
in MLflow. `training.registry.versions` reads and writes the tags and moves the alias; the scorer
reads them to find the champion before one that it refuses. An entry is written before the alias
moves and marked as complete afterwards, so `settled` can repair the log after a crash at any point.
The alias is authoritative: the log follows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

NO_CHAMPION: Final = ""
"""The version of an entry that says that no version has the alias: the heuristic decides."""

PROMOTED: Final = "promoted"
ROLLED_BACK_TO: Final = "rolled back to"
MOVED_OUTSIDE: Final = "moved outside Weir"
"""The alias points at a version that Weir did not move it to, for example by MLflow's page."""
REMOVED_OUTSIDE: Final = "removed outside Weir"
"""The alias, or the version that had it, was deleted."""

ENTRIES_MAX: Final = 100
"""Largest number of entries that are kept; MLflow's page shows them all."""
REASON_CHARS_MAX: Final = 300
"""Longest reason in an entry, in characters; the version's tag `reason` has all of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the champion.

    Attributes:
        number: its place in the log, from 1 up.
        version: the champion from then on, or `NO_CHAMPION`.
        how: `PROMOTED`, `ROLLED_BACK_TO`, `MOVED_OUTSIDE` or `REMOVED_OUTSIDE`.
        at_ms: when it happened, or was noticed if it happened outside Weir, ms since 1970 UTC.
        before: number of the entry that a rollback from here considers first; None if none.
        reason: why; "" if it was not said.
        is_complete: whether the alias is known to have moved.
    """

    number: int
    version: str
    how: str
    at_ms: int
    before: int | None
    reason: str = ""
    is_complete: bool = True

    def completed(self) -> Entry:
        """Give the entry once the alias is known to have moved."""
        return replace(self, is_complete=True)

    def tag_value(self) -> str:
        """Write it as the value of a tag."""
        at = datetime.fromtimestamp(self.at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        fields = {"version": self.version, "how": self.how, "at": at, "before": self.before}
        return json.dumps({**fields, "reason": self.reason, "complete": self.is_complete})


@dataclass(frozen=True, slots=True)
class ChampionLog:
    """The entries of one alias of a registered model, oldest first."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], *, alias: str) -> ChampionLog:
        """Read the log from the tags of a registered model.

        A tag that is damaged is ignored, as if it had been deleted.

        Examples:
            >>> entry = Entry(1, "7", PROMOTED, at_ms=0, before=None)
            >>> tags = {tag_key("champion", 1): entry.tag_value(), "team": "fraud"}
            >>> ChampionLog.from_tags(tags, alias="champion").entries == (entry,)
            True
        """
        found = []
        for key, value in tags.items():
            number = re.fullmatch(re.escape(alias) + r"\.(\d{5,9})", key)
            if number is not None and (entry := _parse_entry(int(number[1]), value)) is not None:
                found.append(entry)
        return cls(tuple(sorted(found, key=lambda entry: entry.number)))

    @property
    def newest(self) -> Entry | None:
        """The entry of the present champion; None if the log is empty."""
        return self.entries[-1] if self.entries else None

    def following(
        self, version: str, *, how: str, before: int | None, at_ms: int, reason: str = ""
    ) -> Entry:
        """Make the entry that comes next; it is not complete."""
        number = self.newest.number + 1 if self.newest else 1
        text = reason[:REASON_CHARS_MAX]
        return Entry(number, version, how, at_ms, before, reason=text, is_complete=False)

    def added(self, entry: Entry) -> ChampionLog:
        """Give the log with an entry in addition, or in place of the one with its number."""
        others = (other for other in self.entries if other.number != entry.number)
        return ChampionLog(tuple(sorted((*others, entry), key=lambda one: one.number)))

    def earlier(self) -> list[Entry]:
        """Give the entries that rollbacks return to one after the other, nearest first.

        An entry that a rollback left is not among them: promote 1, 2, 3, roll back to 2, and what
        is earlier is 1.
        """
        by_number = {entry.number: entry for entry in self.entries}
        found = []
        number = self.newest.before if self.newest else None
        while number is not None and (entry := by_number.get(number)) is not None:
            found.append(entry)
            number = entry.before
        return found

    def versions_before(self, champion: str) -> list[str]:
        """Give the versions that were champion before, nearest first, each once.

        The same for every reader, whatever it has seen: it depends on the log and the alias alone.

        Args:
            champion: the version that has the alias; the log may not know of it yet.

        Examples:
            >>> log = ChampionLog()
            >>> for version in ("1", "2", "1", "3"):
            ...     before = log.newest.number if log.newest else None
            ...     entry = log.following(version, how=PROMOTED, before=before, at_ms=0)
            ...     log = log.added(entry.completed())
            >>> log.versions_before("3"), log.versions_before("4")
            (['1', '2'], ['3', '1', '2'])
        """
        earlier = self.settled(champion, now_ms=0).earlier()
        versions = dict.fromkeys(entry.version for entry in earlier)
        return [version for version in versions if version not in (NO_CHAMPION, champion)]

    def settled(self, champion: str, *, now_ms: int) -> ChampionLog:
        """Give the log that agrees with the alias.

        An incomplete entry is complete if the alias is where it says, and never happened
        otherwise. If the newest entry still names another version than the alias does, the alias
        was moved or removed outside Weir, and an entry says so.

        Args:
            champion: the version that has the alias, or `NO_CHAMPION`.
            now_ms: the clock, ms since 1970 UTC.
        """
        log, newest = self, self.newest
        if newest is not None and not newest.is_complete:
            if newest.version == champion:
                log = log.added(newest.completed())
            else:
                log = ChampionLog(log.entries[:-1])
        newest = log.newest
        if champion == (newest.version if newest else NO_CHAMPION):
            return log
        how = REMOVED_OUTSIDE if champion == NO_CHAMPION else MOVED_OUTSIDE
        before = newest.number if newest else None
        noticed = log.following(champion, how=how, before=before, at_ms=now_ms)
        return log.added(noticed.completed())

    def shortened(self) -> ChampionLog:
        """Give the log with `ENTRIES_MAX` entries at most.

        Keeps the newest ones, and those that the next rollbacks return to, half of each.
        """
        if len(self.entries) <= ENTRIES_MAX:
            return self
        half = ENTRIES_MAX // 2
        kept = {entry.number for entry in (*self.entries[-half:], *self.earlier()[:half])}
        return ChampionLog(tuple(entry for entry in self.entries if entry.number in kept))


def tag_key(alias: str, number: int) -> str:
    """Give the key of an entry's tag.

    Examples:
        >>> tag_key("champion", 17)
        'champion.00017'
    """
    return f"{alias}.{number:05}"


def _parse_entry(number: int, value: str) -> Entry | None:
    try:
        fields = json.loads(value)
        before = fields["before"]
        at_ms = round(datetime.fromisoformat(fields["at"]).timestamp() * 1_000)
        entry = Entry(
            number,
            str(fields["version"]),
            str(fields["how"]),
            at_ms,
            None if before is None else int(before),
            reason=str(fields["reason"]),
            is_complete=bool(fields["complete"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    # A rollback follows `before`; it must end.
    return entry if entry.before is None or entry.before < number else None

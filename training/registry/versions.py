"""The rules for promotion and rollback of the versions of one registered model.

The alias moves in one request, and all tags are set before or after it, so there is exactly one
champion at every moment. `models.champion_log` remembers who was champion.
`clients.mlflow_rest` sends the requests, in milliseconds where importing mlflow takes seconds.
`training.registry.register` creates versions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from clients.mlflow_rest import MlflowRest, ModelVersion
from features.definitions import DEFINITION_DIGEST
from models.artifact.files import SIGNATURE_PATH
from models.artifact.signature import Signature
from models.champion_log import (
    NO_CHAMPION,
    PROMOTED,
    ROLLED_BACK_TO,
    ChampionLog,
    Entry,
)
from models.encoding.vector import VectorSpec
from models.errors import SignatureMismatchError
from schemas.settings import Settings
from training.errors import (
    NoEarlierChampionError,
    NoSuchVersionError,
    OtherDefinitionsVersionError,
)
from training.registry.champion_log_tags import ChampionLogTags
from training.registry.gate import PassedGate

TAG_STATUS: Final = "status"
"""registered, champion, challenger, archived or rolled back. Informational only: the alias is
authoritative."""
TAG_REASON: Final = "reason"
"""Why it was promoted, or not."""
TAG_PARITY: Final = "parity_values_checked"
"""How many values the parity gate had compared when the version was promoted; none differed.
A rollback returns only to versions that have it."""

REGISTERED = "registered"
"""Complete, and no alias points at it yet."""
CHAMPION, CHALLENGER, ARCHIVED, ROLLED_BACK = "champion", "challenger", "archived", "rolled back"


def wall_clock_ms() -> int:
    """Give the time, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class RolledBack:
    """An earlier champion is the champion again.

    Attributes:
        left: number of the champion until now; None if there was none.
        now: the champion from now on.
        skipped: earlier champions that could not return, each with the reason, nearest first.
    """

    left: str | None
    now: ModelVersion
    skipped: tuple[str, ...] = ()


class ModelVersions:
    """The versions of one registered model.

    Every method raises ModelRegistryUnreachableError when MLflow does not answer; `champion` then
    tells which version decides.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        model_name: str,
        champion_alias: str,
        challenger_alias: str,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """Point at a server; nothing is sent before the first call.

        Args:
            tracking_uri: ``http://host:port``.
            model_name: the registered model.
            champion_alias: the alias of the version that decides.
            challenger_alias: the alias of the newest version that was not promoted.
            now_ms: the clock, ms since 1970 UTC; for the times in the log of champions.
        """
        self._registry = MlflowRest(tracking_uri)
        self._name = model_name
        self._champion_alias = champion_alias
        self._challenger_alias = challenger_alias
        self._now_ms = now_ms
        self._log = ChampionLogTags(self._registry, model_name=model_name, alias=champion_alias)

    @classmethod
    def from_settings(cls, settings: Settings) -> ModelVersions:
        """Point at the server and the model of a deployment."""
        return cls(
            settings.mlflow_tracking_uri,
            model_name=settings.model_name,
            champion_alias=settings.champion_alias,
            challenger_alias=settings.challenger_alias,
        )

    def champion(self) -> ModelVersion | None:
        """The version that decides; None if there is none yet."""
        return self._registry.get_alias(model=self._name, alias=self._champion_alias)

    def all(self) -> list[ModelVersion]:
        """All versions, newest first."""
        return self._registry.search_versions(model=self._name)

    def get(self, version: str) -> ModelVersion:
        """One version.

        Raises:
            NoSuchVersionError: there is none of this number.
        """
        found = self._registry.get_version(model=self._name, version=version)
        if found is None:
            raise NoSuchVersionError(
                f"model {self._name} has no version {version!r:.40}; `weir models list` names them"
            )
        return found

    def history(self) -> ChampionLog:
        """The log of champions, after it was brought into agreement with the alias.

        Writes to the log if the alias was moved outside Weir, or if a promotion or rollback was
        killed half-way.
        """
        log, has_changed = self._log.settle(now_ms=self._now_ms())
        if has_changed:
            self._tag_statuses(log)
        return log

    def artifact(self, version: ModelVersion, path: str) -> bytes | None:
        """The bytes of a file of a version; None if it has no such file."""
        return self._registry.artifact(run_id=version.run_id, path=path)

    def promote(self, version: str, *, gate: PassedGate, reason: str) -> ModelVersion | None:
        """Make a version the champion; the champion until then is archived, not deleted.

        Called by `operations.promotion` alone, which asks the parity gate first.

        Delivery: the alias moves in one request. A failure before it leaves the champion as it
        was; a failure after it leaves tags that are out of date, never two champions. The next
        promotion, rollback or `history` repairs the log.
        Blocks: a handful of requests of at most 10 s each.

        Args:
            version: its number.
            gate: evidence that parity was 0, kept as a tag.
            reason: why, kept as a tag.

        Returns:
            The champion until then; None if there was none, or it was this version.

        Raises:
            NoSuchVersionError: there is none of this number.
            OtherDefinitionsVersionError: the scorer would refuse it.
        """
        wanted = self.get(version)
        self._check_definitions(wanted)
        log = self.history()
        before = self.champion()
        if before is not None and before.version == wanted.version:
            if TAG_PARITY not in before.tags:  # It was moved there outside Weir, without the gate.
                self.tag(version, {TAG_REASON: reason, TAG_PARITY: str(gate.values_checked)})
            return None
        self.tag(version, {TAG_REASON: reason, TAG_PARITY: str(gate.values_checked)})
        entry = log.following(
            version,
            how=PROMOTED,
            before=log.newest.number if log.newest else None,
            at_ms=self._now_ms(),
            reason=reason,
        )
        self._log.write(entry)
        self._point(self._champion_alias, version)
        self._complete(entry, after=log)
        challenger = self._registry.get_alias(model=self._name, alias=self._challenger_alias)
        if challenger is not None and challenger.version == version:
            self._registry.delete_alias(model=self._name, alias=self._challenger_alias)
        return before

    def roll_back(self) -> RolledBack:
        """Make the version champion again that was champion before the present one.

        Follows the log of champions, so repeated rollbacks go back one champion each. Skips a
        version that was deleted or has lost its files, one that has other feature definitions,
        and one that never passed the parity gate (the alias was moved to it outside Weir).

        Does not ask the parity gate: that version passed it when it became champion, and a
        rollback must be fast, above all while something is wrong.

        Delivery and blocking: as `promote`.

        Raises:
            NoEarlierChampionError: no earlier champion is left.
        """
        log = self.history()
        left = log.newest.version if log.newest else NO_CHAMPION
        skipped: dict[str, str] = {}
        for earlier in log.earlier():
            if earlier.version in (NO_CHAMPION, left) or earlier.version in skipped:
                continue
            found = self._registry.get_version(model=self._name, version=earlier.version)
            obstacle = self._obstacle_to_return(found)
            if found is None or obstacle is not None:
                skipped[earlier.version] = f"version {earlier.version} {obstacle}"
                continue
            entry = log.following(
                found.version, how=ROLLED_BACK_TO, before=earlier.before, at_ms=self._now_ms()
            )
            self._log.write(entry)
            self._point(self._champion_alias, found.version)
            self._complete(entry, after=log)
            return RolledBack(left or None, found, tuple(skipped.values()))
        raise NoEarlierChampionError(self._why_no_earlier(log, left, tuple(skipped.values())))

    def _obstacle_to_return(self, version: ModelVersion | None) -> str | None:
        if version is None:
            return "was deleted"
        if version.definition_digest != DEFINITION_DIGEST:
            return "was fitted on other feature definitions"
        if TAG_PARITY not in version.tags:
            return "never passed the parity gate"
        if self.artifact(version, SIGNATURE_PATH) is None:
            return f"has lost its files ({SIGNATURE_PATH} is missing in MLflow)"
        return None

    def _why_no_earlier(self, log: ChampionLog, left: str, skipped: tuple[str, ...]) -> str:
        what = f"before version {left}" if left else "in its history"
        why = f" that could return ({'; '.join(skipped)})" if skipped else ""
        number = log.earlier()[-1].before if log.earlier() else None
        cut = "; older entries of its log are gone" if number is not None else ""
        return (
            f"model {self._name} has no champion {what}{why}{cut}, so there is nothing to roll "
            "back to; `weir models history` shows its log, `weir models promote VERSION` names a "
            "version"
        )

    def _complete(self, entry: Entry, *, after: ChampionLog) -> None:
        log = after.added(entry.completed()).shortened()
        self._log.store(log, instead_of=after)
        self._tag_statuses(log)

    def _tag_statuses(self, log: ChampionLog) -> None:
        """Set the status of the champion, and of the one before it."""
        newest = log.newest
        if newest is None:
            return
        if newest.version != NO_CHAMPION:
            self.tag(newest.version, {TAG_STATUS: CHAMPION})
        left = log.entries[-2].version if len(log.entries) > 1 else NO_CHAMPION
        if left in (NO_CHAMPION, newest.version):
            return
        if self._registry.get_version(model=self._name, version=left) is not None:
            self.tag(left, {TAG_STATUS: ROLLED_BACK if newest.how == ROLLED_BACK_TO else ARCHIVED})

    def name_challenger(self, version: str, *, reason: str) -> None:
        """Keep a version that was not promoted under the challenger's alias, with the reason."""
        self.tag(version, {TAG_STATUS: CHALLENGER, TAG_REASON: reason})
        self._point(self._challenger_alias, version)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._registry.set_tag(model=self._name, version=version, key=key, value=value)

    def _point(self, alias: str, version: str) -> None:
        self._registry.set_alias(model=self._name, alias=alias, version=version)

    def _check_definitions(self, version: ModelVersion) -> None:
        if version.definition_digest != DEFINITION_DIGEST:
            raise OtherDefinitionsVersionError(
                f"model {self._name} version {version.version} was fitted on feature definitions "
                f"{version.definition_digest or 'unknown'}, this code computes "
                f"{DEFINITION_DIGEST}: the scorer would refuse it; train again"
            )


def vector_spec_of(versions: ModelVersions, version: str) -> VectorSpec | None:
    """Give the specification that a version's vectors are made by; None if it is not known.

    Raises:
        ModelRegistryUnreachableError: no answer.
    """
    try:
        content = versions.artifact(versions.get(version), SIGNATURE_PATH)
        if content is None:
            return None
        return Signature.read(content, of=f"model version {version}").vector_spec()
    except (NoSuchVersionError, SignatureMismatchError):
        return None

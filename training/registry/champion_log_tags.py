"""Keeps the log of champions as tags of the registered model in MLflow.

One tag for each entry, so that a change writes one tag and people see the log in MLflow's page.
Does not move the alias and knows no rules: `training.registry.versions` calls it.
"""

from __future__ import annotations

from clients.mlflow_rest import MlflowRest
from models.champion_log import NO_CHAMPION, ChampionLog, Entry, tag_key


class ChampionLogTags:
    """The stored log of one alias; raises ModelRegistryUnreachableError like `MlflowRest`."""

    def __init__(self, registry: MlflowRest, *, model_name: str, alias: str) -> None:
        """Point at a registered model and the alias of its champion."""
        self._registry = registry
        self._name = model_name
        self._alias = alias

    def settle(self, *, now_ms: int) -> tuple[ChampionLog, bool]:
        """Read the log, bring it into agreement with the alias, and store what that changed.

        Args:
            now_ms: the clock, ms since 1970 UTC.

        Returns:
            The log, and whether it had to be changed.
        """
        model = self._registry.get_model(model=self._name)
        if model is None:
            return ChampionLog(), False
        stored = ChampionLog.from_tags(model.tags, alias=self._alias)
        log = stored.settled(model.aliases.get(self._alias, NO_CHAMPION), now_ms=now_ms)
        self.store(log, instead_of=stored)
        return log, log != stored

    def write(self, entry: Entry) -> None:
        """Write one entry, in place of the one with its number if there is one."""
        key = tag_key(self._alias, entry.number)
        self._registry.set_model_tag(model=self._name, key=key, value=entry.tag_value())

    def store(self, log: ChampionLog, *, instead_of: ChampionLog) -> None:
        """Write the entries that differ from the stored ones, then delete the other stored ones."""
        stored = {entry.number: entry for entry in instead_of.entries}
        for entry in log.entries:
            if stored.pop(entry.number, None) != entry:
                self.write(entry)
        for number in stored:
            self._registry.delete_model_tag(model=self._name, key=tag_key(self._alias, number))

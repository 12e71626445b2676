"""Follows the champion: polls its alias in MLflow, fetches a new version, checks it, swaps.

`ChampionWatcher` is the `ModelSource` of the scorer and of the API. It polls in a thread of its
own, so neither a slow registry nor a broken version ever delays a decision. A registry that does
not answer changes nothing; one that says that there is no champion ends the use of the model.
Knows nothing of HTTP (`clients.mlflow_rest`) nor of what makes a version good (`models.artifact`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from prometheus_client import Gauge

from clients.errors import ModelRegistryUnreachableError, ResponseTooLargeError
from clients.mlflow_rest import MlflowRest, ModelVersion
from models.artifact.files import ModelFiles, read_files
from models.artifact.load import load_model
from models.champion_log import ChampionLog
from models.encoding.vector import COLUMNS
from models.errors import ModelRefusedError, SignatureMismatchError
from models.heuristic import HEURISTIC
from models.model import Model
from scoring.core.last_good import LastGoodModel, without_remarks
from scoring.metrics import Metrics
from scoring.stores.kept_models import KeptModels, KeptVersion

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
"""Longest wait, s, for one step of a request to the registry. For the client that is handed in."""
REFUSED_VERSIONS_MAX: Final = 1_000
"""How many refused versions are remembered, so that each is fetched and logged only once."""
EARLIER_MAX: Final = 10
"""How many earlier champions are tried in place of a refused one."""
UNKNOWN_MS_MAX: Final = 60_000
"""How long the registry may be silent until decisions say that the champion is not known, ms."""


class _Identity(NamedTuple):
    """What makes a version another one: its trees may be replaced under the same number."""

    version: str
    run_id: str
    trees_digest: str


class ChampionWatcher:
    """The `ModelSource` of scorer and API: the champion, or the one before it, or the heuristic.

    Of models of users there is no heuristic; `models.no_champion.NoChampion` takes its place.

    - The alias points at a version that passes its checks: that version.
    - The version is refused: the nearest one before it in the log of champions that passes, in
      every process alike, also in one that has just started.
    - The registry does not answer, or the log names no such version: the model in use stays. A
      process that has none yet takes the last good one from its disk (`KeptModels`).
    - The registry says that no version has the alias, or that the version in use was deleted: the
      heuristic, from the end of that poll on.

    While the model in use is not known to be the champion, because that is refused, or because the
    registry has not answered since the start or for `UNKNOWN_MS_MAX`, its decisions say so in
    ``degraded``.

    One thread polls every ``poll_ms``; `current` reads one reference, which Python swaps
    atomically. A refused version is reported once (warning and metric) and remembered, so the
    alias may stay on it for days without another download or another line in the log.
    """

    def __init__(
        self,
        registry: MlflowRest,
        *,
        model_name: str,
        alias: str,
        poll_ms: int,
        metrics: Metrics,
        columns: Collection[str] = COLUMNS,
        without: Model = HEURISTIC,
        kept: KeptModels | None = None,
        clock_ms: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Start with no champion; nothing is polled before `start` or `poll`.

        Args:
            registry: where versions come from; with a time limit of `TIMEOUT_S`.
            model_name: the registered model.
            alias: the alias to follow.
            poll_ms: time between two polls of the alias, ms.
            metrics: where swaps and refusals are counted.
            columns: those that can be filled; a version that takes others is refused.
            without: scores while there is no champion.
            kept: the files of versions on the disk; None to keep none.
            clock_ms: a clock that never goes back, ms.
        """
        self._registry = registry
        self._columns = columns
        self._without = without
        self._model_name = model_name
        self._alias = alias
        self._poll_s = poll_ms / 1000
        self._metrics = metrics
        self._model: Model = without
        self._in_use: _Identity | None = None
        self._refused: dict[_Identity, str] = {}
        self._trouble: str | None = None
        self._kept = kept
        self._clock_ms = clock_ms
        self._is_champion = False
        self._answered_ms = clock_ms()
        self._current: Model = self._model
        self._polling = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown: Gauge | None = None
        self._show_model()

    def current(self) -> Model:
        """Give the model in use; see `scoring.core.ports.ModelSource`."""
        return self._current

    def refused(self) -> dict[str, str]:
        """Give the refused versions with the reason of each, oldest first."""
        return {identity.version: reason for identity, reason in self._refused.items()}

    def start(self) -> None:
        """Poll once, then go on polling in the background.

        Blocks: for the first poll, so that a worker that comes back decides with the champion
        from its first row on; at most about 20 s when the registry hangs, not at all when it is
        down. Raises nothing: without a registry the heuristic decides.
        """
        self.poll()
        self._thread = threading.Thread(target=self._run, name="champion-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling. Waits for a poll in progress at most as long as a request may take."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=TIMEOUT_S)

    def poll(self) -> None:
        """Read the alias once and swap if it has moved to a version that passes the checks.

        Blocks: some multiples of `TIMEOUT_S` at worst, and while another thread polls. Raises
        nothing the outside world can cause.
        """
        with self._polling:
            self._poll()
            self._present()

    def _present(self) -> None:
        """Show the model in use to those who decide, with a word if it may not be the champion."""
        is_last_good = self._in_use is not None and not self._is_champion
        if is_last_good == isinstance(self._current, LastGoodModel) and (
            without_remarks(self._current) is self._model
        ):
            return
        self._current = LastGoodModel(self._model) if is_last_good else self._model

    def _poll(self) -> None:
        try:
            version = self._registry.get_alias(model=self._model_name, alias=self._alias)
            self._answered_ms = self._clock_ms()
            self._is_champion = False
            if version is None:
                self._note(f"no version of {self._model_name} has the alias {self._alias}")
                self._stop_using("there is no champion any more")
                return
            if not self._is_used(version):
                self._check_that_the_model_in_use_exists()
                self._use_the_champion_before(version)
            else:
                self._is_champion = True
                self._note(None)
        except ModelRegistryUnreachableError as error:
            self._metrics.registry_failures.inc()
            self._note(f"{error}; the model in use stays")
            if self._in_use is None:
                self._use_the_kept_one()
            elif self._clock_ms() - self._answered_ms >= UNKNOWN_MS_MAX:
                self._is_champion = False

    def _use_the_kept_one(self) -> None:
        kept = None if self._kept is None else self._kept.in_use()
        if kept is None:
            return
        identity = _Identity(kept.version, kept.run_id, kept.trees_digest)
        if identity not in self._refused:
            self._use(identity, kept.files)

    def _check_that_the_model_in_use_exists(self) -> None:
        in_use = self._in_use
        if in_use is None:
            return
        found = self._registry.get_version(model=self._model_name, version=in_use.version)
        if found is None:
            self._stop_using("the version in use was deleted, and the champion is refused")

    def _use_the_champion_before(self, refused: ModelVersion) -> None:
        try:
            model = self._registry.get_model(model=self._model_name)
            tags = {} if model is None else model.tags
            log = ChampionLog.from_tags(tags, alias=self._alias)
            for number in log.versions_before(refused.version)[:EARLIER_MAX]:
                version = self._registry.get_version(model=self._model_name, version=number)
                if version is not None and self._is_used(version):
                    return
        except ModelRegistryUnreachableError:
            # The alias was read a moment ago; what is to be told, the next poll tells.
            self._metrics.registry_failures.inc()

    def _is_used(self, version: ModelVersion) -> bool:
        """Use a version if it passes its checks, which were done before if they are known."""
        identity = _identity_of(version)
        if identity != self._in_use and identity not in self._refused:
            self._swap_to(version)
        return identity == self._in_use

    def _stop_using(self, why: str) -> None:
        if self._kept is not None:
            self._kept.forget_in_use()
        if self._in_use is None:
            return
        before, self._model, self._in_use = self._model.ref, self._without, None
        logger.warning("scoring with %s, before with %s: %s", self._without.ref, before, why)
        self._metrics.model_swaps.inc()
        self._show_model()

    def _swap_to(self, version: ModelVersion) -> None:
        identity = _identity_of(version)
        try:
            files = fetch_files(self._registry, version)
        except ModelRefusedError as error:
            self._refuse(identity, error)
            return
        if self._use(identity, files) and self._kept is not None:
            self._kept.keep(KeptVersion(*identity, files), is_in_use=True)

    def _use(self, identity: _Identity, files: ModelFiles) -> bool:
        try:
            model = load_model(
                files,
                name=self._model_name,
                version=identity.version,
                trees_digest=identity.trees_digest,
                columns=self._columns,
            )
        except ModelRefusedError as error:
            self._refuse(identity, error)
            return False
        before, self._model, self._in_use = self._model.ref, model, identity
        logger.info("scoring with %s, before with %s", model.ref, before)
        self._metrics.model_swaps.inc()
        self._show_model()
        return True

    def _refuse(self, identity: _Identity, error: ModelRefusedError) -> None:
        if len(self._refused) >= REFUSED_VERSIONS_MAX:
            self._refused.pop(next(iter(self._refused)))
        self._refused[identity] = f"{type(error).__name__}: {error}"
        self._metrics.models_refused.labels(reason=type(error).__name__).inc()
        logger.warning("refused %s; scoring goes on with %s", error, self._model.ref)

    def _note(self, trouble: str | None) -> None:
        # One line when trouble begins or changes, one when it is over: a registry that is down
        # for a night must not fill the log.
        if trouble != self._trouble:
            if trouble is not None:
                logger.warning("model registry: %s", trouble)
            else:
                logger.info("model registry: works again")
        self._trouble = trouble

    def _show_model(self) -> None:
        ref = self._model.ref
        shown = self._metrics.model_info.labels(
            name=ref.name, version=ref.version, digest=ref.digest
        )
        if self._shown is not None:
            self._shown.set(0)
        shown.set(1)
        self._shown = shown

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_s):
            self.poll()


def fetch_files(registry: MlflowRest, version: ModelVersion) -> ModelFiles:
    """Fetch the files of a version that the scorer loads.

    Blocks: as long as bytes keep coming within the client's time limit of each other.

    Raises:
        ModelRegistryUnreachableError: no complete answer; try again later.
        SignatureMismatchError: the version lacks a file, or one is too large.
    """
    of = f"model {version.name} version {version.version}"
    try:
        return read_files(lambda path: registry.artifact(run_id=version.run_id, path=path), of=of)
    except ResponseTooLargeError as error:
        raise SignatureMismatchError(f"{of}: {error}") from error


def _identity_of(version: ModelVersion) -> _Identity:
    return _Identity(version.version, version.run_id, version.trees_digest)

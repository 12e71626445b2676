"""Opens Feast on the archive and Redis, with the views of `features.feast_repo` applied.

Knows no batch table. Called by `training.datasets.materialization`, which fills Redis through it.
"""

from __future__ import annotations

import os
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from urllib.parse import urlsplit

# Feast sends no usage statistics by itself, but its libraries may.
os.environ.setdefault("FEAST_USAGE", "False")
from feast import FeatureStore, RepoConfig

from features.feast_repo.offline_store import TYPE as OFFLINE_STORE
from features.feast_repo.views import feature_objects
from schemas.settings import Settings


def open_store(settings: Settings, *, archive_url: str, registry: Path) -> FeatureStore:
    """Open Feast on a registry file and apply the views; sends no request.

    Args:
        settings: project and Redis.
        archive_url: where the batch tables are: an absolute path or an object store's address.
        registry: the file; created if it does not exist.
    """
    store = feast_on(settings, registry=registry)
    with warnings.catch_warnings(), redirect_stdout(None):
        # Feast warns that on-demand views are experimental; a contract test covers ours.
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply(feature_objects(archive_url))
    return store


def feast_on(settings: Settings, *, registry: Path) -> FeatureStore:
    """Open Feast on a registry file and Redis, with the views that the file has.

    For views of other sources than the archive, which their owner applies.

    Args:
        settings: project and Redis.
        registry: the file; created if it does not exist.
    """
    registry.parent.mkdir(parents=True, exist_ok=True)
    address = urlsplit(settings.redis_url)
    database = address.path.strip("/") or "0"
    config = RepoConfig(
        project=settings.feast_project,
        provider="local",
        registry=str(registry),
        online_store={
            "type": "redis",
            "connection_string": f"{address.hostname}:{address.port},db={database}",
        },
        offline_store={"type": OFFLINE_STORE},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)

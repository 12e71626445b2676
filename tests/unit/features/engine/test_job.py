"""The engine that is opened is the one that this code was written for."""

from __future__ import annotations

import tomllib

import pytest
import weir_engine

from features.engine.job import ENGINE_VERSION, EngineVersionError, open_job
from infra.local.layout import REPO
from schemas.transaction import Limits


def opened() -> weir_engine.Job:
    return open_job(
        Limits(), first=0, end=2, live_keys_max=1, changed_keys_max=1, layouts=[None, None]
    )


def test_the_version_is_that_of_the_crate() -> None:
    crate = tomllib.loads((REPO / "native" / "Cargo.toml").read_text())
    wheel = tomllib.loads((REPO / "native" / "pyproject.toml").read_text())
    assert crate["package"]["version"] == wheel["project"]["version"] == ENGINE_VERSION
    assert opened().live_len(0) == 0


def test_an_engine_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weir_engine, "__version__", "0.0.9")
    with pytest.raises(EngineVersionError, match=r"0\.0\.9.*make setup"):
        opened()

"""The engine that is used is the one that this code was written for; another one is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest
import weir_engine

from features.definitions import Caps
from features.engine.job import KeptStates, open_job
from features.engine.state import MerchantState, UserState
from features.engine.version import ENGINE_VERSION, EngineVersionError, check_engine_version
from infra.local.layout import REPO
from schemas.transaction import Limits

# The plan of these caps has been compiled by no other test, so the version is checked again.
UNUSED_CAPS = Caps(ids_max=123_456)


def open_a_job() -> object:
    return open_job(
        Limits(), first=0, end=2, changed_keys_max=1, layouts=[None, None], kept=KeptStates()
    )


def test_the_version_is_that_of_the_crate() -> None:
    crate = tomllib.loads((REPO / "native" / "Cargo.toml").read_text(encoding="utf-8"))
    assert crate["package"]["version"] == ENGINE_VERSION
    check_engine_version()


@pytest.mark.parametrize(
    "use",
    [
        open_a_job,
        lambda: UserState(caps=UNUSED_CAPS),
        lambda: MerchantState.decode(b"", caps=UNUSED_CAPS),
    ],
    ids=["job", "state", "bytes"],
)
def test_an_engine_of_another_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, use: Callable[[], object]
) -> None:
    monkeypatch.setattr(weir_engine, "__version__", "0.0.9")
    with pytest.raises(EngineVersionError, match=r"0\.0\.9.*make setup"):
        use()

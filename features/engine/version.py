"""The version of the native engine that this code needs.

Plan, wire and the formats of states and journals are agreed between ``features/engine/`` and
``native/``. An engine of another version could compute other values or write other bytes, so it is
refused before it is used.
"""

from __future__ import annotations

from typing import Final

import weir_engine

from schemas.errors import WeirError

ENGINE_VERSION: Final = "0.4.0"
"""The version in native/Cargo.toml. Change both when plan, wire or a format changes."""


class EngineVersionError(WeirError):
    """The installed engine has another version than this code needs."""


def check_engine_version() -> None:
    """Refuse an engine of another version.

    Raises:
        EngineVersionError: the installed engine has another version.
    """
    if weir_engine.__version__ != ENGINE_VERSION:
        raise EngineVersionError(
            f"the installed engine weir_engine has version {weir_engine.__version__}, this code "
            f"needs {ENGINE_VERSION}; run `make setup`, then restart the stack with `weir down` "
            "and `weir up`"
        )

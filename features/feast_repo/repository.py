"""The objects that ``feast apply`` finds in this directory: those of `views`, by name.

An entry point: Feast's command line imports it, so it reads the settings itself.
"""

from __future__ import annotations

from pathlib import Path

from features.feast_repo.views import feature_objects
from schemas.settings import Settings

_url = Settings().archive_url

# Feast looks for objects in the names of a module, not in lists.
(
    user,
    merchant,
    transaction,
    user_velocity,
    merchant_risk,
    user_statistics,
    user_activity,
    transaction_labels,
    event_calendar,
) = feature_objects(_url if "://" in _url else str(Path(_url).absolute()))

"""Feast's entities, sources and views, made from `features.definitions` and `features.batch`.

The velocity job writes the online values of the stream views to Redis, in Feast's layout; their
batch source is the archive. They are not materialised, because that would replace newer values by
older ones. Called by `training.datasets.feature_store` and by Feast's command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pandas as pd
from feast import (
    Entity,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RequestSource,
    ValueType,
)
from feast.data_format import DeltaFormat
from feast.types import Bool, Float64, Int64

from features.batch import BATCH_AGE_MS_MAX, BATCH_VIEWS, LABEL_VIEW
from features.definitions import MERCHANT_FEATURES, ON_DEMAND_FEATURES, USER_FEATURES
from features.on_demand import on_demand_features
from features.online import layout as online_store
from schemas.topics import FEATURES

_TYPES: Final[dict[str, Any]] = {"int64": Int64, "double": Float64}

ON_DEMAND_VIEW: Final = "event_calendar"


def feature_objects(archive_url: str) -> list[Any]:
    """Give all objects to apply, with the archive at this address as their source.

    Args:
        archive_url: an absolute path or an object store's address.
    """
    user, merchant, transaction = entities()
    logged = _source(archive_url, FEATURES, "event_time")
    return [
        user,
        merchant,
        transaction,
        FeatureView(
            name=online_store.VIEWS["user"],
            entities=[user],
            schema=_schema(USER_FEATURES),
            source=logged,
            online=False,
            description="Velocity of a user as of an event; online as of the newest event.",
        ),
        FeatureView(
            name=online_store.VIEWS["merchant"],
            entities=[merchant],
            schema=_schema(MERCHANT_FEATURES),
            source=logged,
            online=False,
            description="Transactions and fraud at a merchant, delayed, as of an event.",
        ),
        *(
            FeatureView(
                name=view.name,
                entities=[user],
                schema=_schema(view.features),
                source=_source(archive_url, view.name, "event_time"),
                ttl=timedelta(milliseconds=BATCH_AGE_MS_MAX),
                online=True,
                description=view.description,
            )
            for view in BATCH_VIEWS
        ),
        FeatureView(
            name=LABEL_VIEW,
            entities=[transaction],
            schema=[Field(name="is_fraud", dtype=Bool)],
            source=_source(archive_url, LABEL_VIEW, "observed_time"),
            online=False,
            description="Labels of a transaction, each from its observation on.",
        ),
        on_demand_view(),
    ]


def entities() -> tuple[Entity, Entity, Entity]:
    """Give the entities user, merchant and transaction."""
    user, merchant, transaction = (
        Entity(name=name, join_keys=[key], value_type=ValueType.STRING)
        for name, key in (*online_store.JOIN_KEYS.items(), ("transaction", "transaction_id"))
    )
    return user, merchant, transaction


def on_demand_view() -> OnDemandFeatureView:
    """Give the view of the features that are computed from the event's time on request."""
    request = RequestSource(name="event", schema=[Field(name="event_time_ms", dtype=Int64)])
    return OnDemandFeatureView(
        name=ON_DEMAND_VIEW,
        sources=[request],
        schema=_schema(ON_DEMAND_FEATURES),
        mode="pandas",
        feature_transformation=_calendar_transformation(),
    )


def calendar(events: pd.DataFrame) -> pd.DataFrame:
    """Compute the on-demand features of a table with ``event_time_ms``, row by row."""
    rows = [on_demand_features(int(time_ms)) for time_ms in events["event_time_ms"]]
    return pd.DataFrame(rows, columns=[feature.name for feature in ON_DEMAND_FEATURES])


def _calendar_transformation() -> Any:
    from feast.transformation.pandas_transformation import PandasTransformation  # noqa: PLC0415

    return PandasTransformation(
        udf=calendar, udf_string="from features.feast_repo.views import calendar"
    )


def _schema(features: Sequence[Any]) -> list[Field]:
    return [Field(name=feature.name, dtype=_TYPES[feature.value_type]) for feature in features]


def _source(archive_url: str, table: str, timestamp_field: str) -> FileSource:
    return FileSource(
        name=f"archive_{table}",
        path=f"{archive_url.rstrip('/')}/{table}",
        file_format=DeltaFormat(),
        timestamp_field=timestamp_field,
    )

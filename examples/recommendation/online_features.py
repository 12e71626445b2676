"""Writes the profiles of shoppers and products into Feast's online store, through Feast.

The tables are Parquet files, which are also the views' sources for point-in-time joins. Called by
the nightly job; `examples.recommendation.reader` reads the values.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examples.recommendation.features import (
    PRODUCT_FEATURES,
    PRODUCT_VIEW,
    SHOPPER_FEATURES,
    SHOPPER_VIEW,
    Matrix,
)
from features.feast_repo.views import entities
from schemas.settings import Settings
from training.datasets.feature_store import feast_on

# After the module above, which first turns off Feast's statistics.
from feast import Entity, FeatureView, Field, FileSource, ValueType  # isort: skip
from feast.types import Float64, Int64  # isort: skip

_TYPES: Final[Mapping[str, Any]] = {"int64": Int64, "double": Float64}
_MOMENT: Final = timedelta(seconds=1)


def feature_objects(directory: Path) -> list[Any]:
    """Give the objects to apply, with the files of a directory as their sources."""
    user = entities()[0]
    product = Entity(name="product", join_keys=["product_id"], value_type=ValueType.INT64)
    return [
        user,
        product,
        _view(SHOPPER_VIEW, user, SHOPPER_FEATURES, directory),
        _view(PRODUCT_VIEW, product, PRODUCT_FEATURES, directory),
    ]


def write_online_features(
    settings: Settings,
    directory: Path,
    *,
    users: list[str],
    shoppers: Matrix,
    product_ids: np.ndarray[Any, Any],
    products: Matrix,
    now_ms: int,
) -> None:
    """Write both views: the files first, then Redis.

    Delivery: values are absolute, so a repeat is harmless.

    Args:
        settings: project and Redis.
        directory: for the files and Feast's registry.
        users: ids of the shoppers, in the order of ``shoppers``.
        shoppers: shape (users, `SHOPPER_FEATURES`).
        product_ids: in the order of ``products``.
        products: shape (products, `PRODUCT_FEATURES`).
        now_ms: as of when, ms since 1970 UTC.
    """
    now = datetime.fromtimestamp(now_ms // 1_000, UTC)
    shopper_ids, ids = pa.array(users), pa.array(product_ids, pa.int64())
    tables = {
        SHOPPER_VIEW: _table({"user_id": shopper_ids}, SHOPPER_FEATURES, shoppers, now),
        PRODUCT_VIEW: _table({"product_id": ids}, PRODUCT_FEATURES, products, now),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for view, table in tables.items():
        pq.write_table(table, _file(directory, view))
    store = feast_on(settings, registry=settings.data_dir / "feast" / "registry.db")
    with redirect_stdout(None), warnings.catch_warnings():
        # Of what Feast's own dependencies want to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        store.apply(feature_objects(directory))
        store.materialize(now - _MOMENT, now, feature_views=[SHOPPER_VIEW, PRODUCT_VIEW])


def _view(name: str, entity: Entity, features: Mapping[str, str], directory: Path) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[entity],
        schema=[Field(name=feature, dtype=_TYPES[kind]) for feature, kind in features.items()],
        source=FileSource(
            name=f"recommendation_{name}",
            path=str(_file(directory, name).absolute()),
            timestamp_field="event_time",
        ),
        ttl=timedelta(days=2),
        online=True,
    )


def _table(
    ids: dict[str, pa.Array], features: Mapping[str, str], values: Matrix, now: datetime
) -> pa.Table:
    arrow = {"int64": pa.int64(), "double": pa.float64()}
    columns = {
        name: pa.array(values[:, at]).cast(arrow[kind])
        for at, (name, kind) in enumerate(features.items())
    }
    moment = pa.array([now] * len(values), pa.timestamp("us", tz="UTC"))
    return pa.table({**ids, **columns, "event_time": moment})


def _file(directory: Path, view: str) -> Path:
    return directory / f"{view}.parquet"

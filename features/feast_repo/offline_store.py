"""Feast's DuckDB offline store, with Delta tables read by delta-rs.

DuckDB reads Delta by an extension that it downloads when it is first asked; a machine without a
way out cannot. Everything else is Feast's own.
"""

from __future__ import annotations

from typing import Any

import ibis
from deltalake import DeltaTable
from feast.data_format import DeltaFormat
from feast.infra.offline_stores import duckdb as feast_duckdb
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import (
    get_historical_features_ibis,
    pull_all_from_table_or_query_ibis,
    pull_latest_from_table_or_query_ibis,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from pydantic import StrictStr

TYPE = "features.feast_repo.offline_store.ArchiveOfflineStore"


class ArchiveOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """What ``offline_store`` of a Feast configuration may say."""

    type: StrictStr = TYPE


class ArchiveOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins and materialisation over the archive."""

    @staticmethod
    def get_historical_features(*args: Any, **kwargs: Any) -> RetrievalJob:
        """See Feast's own."""
        names = ("config", "feature_views", "feature_refs", "entity_df", "registry", "project")
        given = {**dict(zip((*names, "full_feature_names"), args, strict=False)), **kwargs}
        return get_historical_features_ibis(**given, **_WAYS)

    @staticmethod
    def pull_latest_from_table_or_query(**kwargs: Any) -> RetrievalJob:  # type: ignore[override]
        """See Feast's own."""
        return pull_latest_from_table_or_query_ibis(**kwargs, **_WAYS)

    @staticmethod
    def pull_all_from_table_or_query(**kwargs: Any) -> RetrievalJob:  # type: ignore[override]
        """See Feast's own."""
        return pull_all_from_table_or_query_ibis(**kwargs, **_WAYS)


def _read(source: Any, repo_path: str) -> Any:
    if isinstance(source.file_format, DeltaFormat):
        return ibis.memtable(DeltaTable(source.path).to_pyarrow_dataset())
    return feast_duckdb._read_data_source(source, repo_path)


_WAYS: Any = {
    "data_source_reader": _read,
    "data_source_writer": feast_duckdb._write_data_source,
}

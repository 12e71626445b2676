"""Feast's DuckDB offline store, except that delta-rs reads the Delta tables.

DuckDB downloads its Delta extension at the first use, which fails on a machine without access to
the internet. Everything else is Feast's implementation.
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
    """The options of ``offline_store`` in a Feast configuration."""

    type: StrictStr = TYPE


class ArchiveOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins and materialisation from the tables of the archive."""

    @staticmethod
    def get_historical_features(*args: Any, **kwargs: Any) -> RetrievalJob:
        """See `DuckDBOfflineStore`."""
        names = ("config", "feature_views", "feature_refs", "entity_df", "registry", "project")
        given = {**dict(zip((*names, "full_feature_names"), args, strict=False)), **kwargs}
        return get_historical_features_ibis(**given, **_ACCESS)

    @staticmethod
    def pull_latest_from_table_or_query(**kwargs: Any) -> RetrievalJob:  # type: ignore[override]
        """See `DuckDBOfflineStore`."""
        return pull_latest_from_table_or_query_ibis(**kwargs, **_ACCESS)

    @staticmethod
    def pull_all_from_table_or_query(**kwargs: Any) -> RetrievalJob:  # type: ignore[override]
        """See `DuckDBOfflineStore`."""
        return pull_all_from_table_or_query_ibis(**kwargs, **_ACCESS)


def _read(source: Any, repo_path: str) -> Any:
    if isinstance(source.file_format, DeltaFormat):
        return ibis.memtable(DeltaTable(source.path).to_pyarrow_dataset())
    return feast_duckdb._read_data_source(source, repo_path)


_ACCESS: Any = {
    "data_source_reader": _read,
    "data_source_writer": feast_duckdb._write_data_source,
}

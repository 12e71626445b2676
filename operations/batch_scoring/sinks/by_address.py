"""Chooses the sink of an address."""

from pathlib import Path

from operations.batch_scoring.errors import SinkAddressError
from operations.batch_scoring.sinks.delta import DeltaSink
from operations.batch_scoring.sinks.duckdb_file import DuckDbSink
from operations.batch_scoring.sinks.postgres import PostgresSink
from operations.batch_scoring.sinks.sink import Sink


def open_sink(address: str, table: str) -> Sink:
    """Give the sink of an address; nothing is opened.

    Args:
        address: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, ``delta:DIRECTORY`` or
            ``duckdb:FILE``.
        table: name of the table of predictions.

    Raises:
        SinkAddressError: the address is none of these.
    """
    scheme, _, rest = address.partition(":")
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        return PostgresSink(address, table)
    if scheme == "delta" and rest:
        return DeltaSink(Path(rest), table)
    if scheme == "duckdb" and rest:
        return DuckDbSink(Path(rest), table)
    raise SinkAddressError(
        f"{scheme!r:.40} is no address for predictions; give "
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, delta:DIRECTORY or duckdb:FILE"
    )

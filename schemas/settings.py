"""Every setting of Weir, with its unit, its limits and its purpose.

Read from the environment (``WEIR_`` + the name in capitals), immutable once built.
Only entry points build it and pass values on, so nothing below an entry point
depends on the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS

JSON_INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

Port = Annotated[int, Field(ge=1, le=65_535)]
PositiveInt = Annotated[int, Field(ge=1, le=JSON_INTEGER_MAX)]
RetentionMib = Annotated[int, Field(ge=0, le=1 << 40)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]
Address = Annotated[str, StringConstraints(min_length=1)]


class Settings(BaseSettings):
    """The settings of one deployment.

    Addresses that are not set follow the ports, so a second stack on the same
    machine needs other ports and another ``data_dir``, nothing else.

    Raises:
        pydantic.ValidationError: a value outside its limits; it names the setting.

    Examples:
        >>> Settings(kafka_port=19092).kafka_bootstrap
        '127.0.0.1:19092'
    """

    model_config = SettingsConfigDict(env_prefix="WEIR_", frozen=True, protected_namespaces=())

    data_dir: Path = Field(
        default=Path(".weir"),
        description="Directory of all data of a stack: logs, broker data, checkpoints, models.",
    )

    archive_url: Address = Field(
        default_factory=lambda data: str(data["data_dir"] / "archive"),
        description="Where the archive's tables are: a directory, or an object store's address.",
    )
    archive_commit_ms: PositiveInt = Field(
        default=10_000, description="Longest time, in ms, until a record read is in the archive."
    )
    archive_rows_max: PositiveInt = Field(
        default=200_000, description="Most records the archiver holds before it commits them."
    )
    archive_compact_s: PositiveInt = Field(
        default=3_600, description="Time, in seconds, between two compactions of the archive."
    )
    archive_keep_h: PositiveInt = Field(
        default=168,
        description="How long, in hours, files of the archive that a compaction replaced, or that "
        "no commit names yet, are kept.",
    )

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(
        default="EUR",
        description="The one settlement currency (ISO 4217); a transaction in another is refused.",
    )
    amount_minor_max: PositiveInt = Field(
        default=10**12,
        description="Largest amount of one transaction, in minor units (cents), that is accepted.",
    )
    event_time_ms_min: Annotated[int, Field(ge=0, le=JSON_INTEGER_MAX)] = Field(
        default=946_684_800_000,
        description="Earliest event time accepted, in ms since 1970 UTC; by default 2000-01-01.",
    )
    event_ahead_ms_max: Annotated[int, Field(ge=0, le=JSON_INTEGER_MAX)] = Field(
        default=300_000,
        description="How far, in ms, an event time may lie ahead of the clock; not for a replay.",
    )
    replay_ahead_ms_max: Annotated[int, Field(ge=0, le=JSON_INTEGER_MAX)] = Field(
        default=86_400_000,
        description="How far, in ms, the event time of a replayed transaction may lie ahead of "
        "Kafka's timestamp of its record; by default a day, within which later events stay exact.",
    )

    kafka_port: Port = Field(default=9092, description="Port of the local Kafka broker.")
    redis_port: Port = Field(default=6379, description="Port of the local Redis.")
    mlflow_port: Port = Field(default=5000, description="Port of the local MLflow server.")
    flink_rest_port: Port = Field(
        default=8081, description="Port of Flink's REST interface and web pages."
    )
    flink_rpc_port: Port = Field(
        default=6123, description="Port on which Flink's JobManager talks to its TaskManagers."
    )
    api_host: Address = Field(
        default="127.0.0.1",
        description="Address the API listens on; the default is this machine only.",
    )
    api_port: Port = Field(default=8000, description="Port the API listens on.")
    api_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Processes that serve the API, on one port."
    )
    api_keys_required: bool = Field(
        default=False,
        description="Whether requests need an API key (`weir api-key`). Must be true for an "
        "api_host that other machines can reach.",
    )
    api_rate_per_s: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=100,
        description="Most requests a second with one API key, of all workers together; what is "
        "not used within two seconds is lost; 0 for no limit.",
    )
    api_deadline_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(
        default=50,
        description="Time for a request, in ms, within which the API leaves out what is slow: "
        "first batch features, then histories.",
    )

    postgres_port: Port = Field(
        default=5432, description="Port of the local PostgreSQL, which `weir up --with` starts."
    )

    kafka_bootstrap: Address = Field(
        default_factory=lambda data: f"127.0.0.1:{data['kafka_port']}",
        description="Bootstrap servers of Kafka, host:port[,…]; if not set, kafka_port here.",
    )
    redis_url: Address = Field(
        default_factory=lambda data: f"redis://127.0.0.1:{data['redis_port']}/0",
        description="Address of Redis; if not set, redis_port here.",
    )
    mlflow_tracking_uri: Address = Field(
        default_factory=lambda data: f"http://127.0.0.1:{data['mlflow_port']}",
        description="Address of the MLflow server; if not set, mlflow_port here.",
    )
    flink_rest_url: Address = Field(
        default_factory=lambda data: f"http://127.0.0.1:{data['flink_rest_port']}",
        description="Address of Flink's REST interface; if not set, flink_rest_port here.",
    )

    topic_partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=4, description="Partitions of every topic that Weir creates."
    )
    topic_compression: Literal["none", "lz4", "zstd"] = Field(
        default="zstd",
        description="How the velocity job and the scorer compress what they send: none, lz4 or "
        "zstd. lz4 takes up to twice the bytes of zstd; it is for subscribers without zstd.",
    )
    transactions_retention_mib: RetentionMib = Field(
        default=0,
        description="How much of the topic `transactions` is kept, MiB over all partitions; 0 "
        "keeps everything and leaves an existing topic as it is.",
    )
    labels_retention_mib: RetentionMib = Field(default=0, description="The same for `labels`, MiB.")
    features_retention_mib: RetentionMib = Field(
        default=0, description="The same for `features`, MiB."
    )
    decisions_retention_mib: RetentionMib = Field(
        default=0, description="The same for `decisions`, MiB."
    )
    flink_parallelism: Annotated[int, Field(ge=1, le=128)] = Field(
        default=1,
        description="How many copies of each Flink operator run side by side. After a change from "
        "1 to more, or back, the velocity job needs empty state.",
    )
    states_mib_max: Annotated[int, Field(ge=1, le=1_048_576)] = Field(
        default=2_048,
        description="Memory for the states of users and merchants in the velocity job, in MiB, "
        "shared evenly by its tasks. A state takes 2 kB and 200 bytes for each event, a tenth "
        "of that if it was not used for a while. Further states are read from RocksDB.",
    )
    checkpoint_interval_ms: PositiveInt = Field(
        default=10_000,
        description="Time between Flink checkpoints, in ms; a failure repeats up to this much. "
        "Each checkpoint delays decisions by 30 to 120 ms.",
    )

    predictions_url: str = Field(
        default="",
        description="Where `weir batch score` puts predictions: postgresql://…, delta:DIRECTORY or "
        "duckdb:FILE; if not set, the PostgreSQL of the local stack.",
    )
    batch_slots: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=2,
        description="Task slots of the local TaskManager for batch jobs: parts scored at once.",
    )

    model_name: Name = Field(
        default="weir-fraud", description="Name of the registered model in MLflow."
    )
    models: Annotated[
        str,
        StringConstraints(
            pattern=r"^([A-Za-z0-9_.]+:[A-Za-z0-9_]+(,[A-Za-z0-9_.]+:[A-Za-z0-9_]+)*)?$"
        ),
    ] = Field(
        default="",
        description="Further models that are served: module:NAME[,…] of their definitions, such as "
        "examples.churn.model:CHURN.",
    )
    champion_alias: Name = Field(
        default="champion", description="Alias of the model version that decides."
    )
    challenger_alias: Name = Field(
        default="challenger",
        description="Alias of the newest model version that was not better than the champion.",
    )
    model_poll_ms: PositiveInt = Field(
        default=2_000,
        description="How often, in ms, the scorer checks whether the alias has moved.",
    )
    review_threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="A score above this is REVIEW; not above block_threshold."
    )
    block_threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.9, description="A score above this is BLOCK."
    )

    decision_ttl_s: PositiveInt = Field(
        default=604_800,
        description="How long, in seconds, a first decision is kept; later repeats count as new.",
    )
    redis_timeout_ms: PositiveInt = Field(
        default=50,
        description="Timeout of one Redis call, in ms; scoring then continues without the answer.",
    )
    batching_delay_ms: Annotated[int, Field(ge=0, le=1_000)] = Field(
        default=5,
        description="Longest time, in ms, that an event waits for its batch in the velocity job: "
        "all of it in batches of 32, 1.5 ms in small ones, nothing where events come one by one. "
        "Less lowers the latency, more lowers CPU use; 0 turns batching off.",
    )
    online_flush_ms: PositiveInt = Field(
        default=200,
        description="Time, in ms, between two writes of changed user states to Redis; ten times as "
        "long for merchants.",
    )
    online_buffer_keys_max: PositiveInt = Field(
        default=50_000,
        description="Most keys waiting for Redis; beyond it the key that waits longest is dropped.",
    )
    staleness_ms_max: PositiveInt = Field(
        default=86_400_000,
        description="Age of online state, in ms, above which the reasons of the API mention it.",
    )
    feast_project: Name = Field(
        default="weir", description="Feast project; part of every online store key."
    )

    label_check_s: PositiveInt = Field(
        default=30,
        description="How often, in seconds, the label checker looks for new labels.",
    )

    rollout_labels_max: PositiveInt = Field(
        default=2_000_000,
        description="Most labels that the rollout controller keeps in memory, about 250 bytes "
        "each; it needs those of the time to maturity. Beyond it the rollout is paused.",
    )
    rollout_metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=0,
        description="Port of the rollout controller's metrics page on this machine; 0 turns it "
        "off.",
    )

    materialize_poll_s: PositiveInt = Field(
        default=600,
        description="How often, in seconds, the materializer checks whether a snapshot is due.",
    )
    materialize_delay_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=600,
        description="How long, in seconds, a snapshot waits after its midnight for late events.",
    )

    scorer_batch_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=500, description="Most feature rows the scorer decides on in one batch."
    )
    worker_metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=0, description="Port of the scorer's metrics page on this machine; 0 turns it off."
    )

    def retention_mib(self) -> dict[str, int]:
        """Give what is kept of each topic whose size is limited, MiB."""
        chosen = {
            TRANSACTIONS: self.transactions_retention_mib,
            LABELS: self.labels_retention_mib,
            FEATURES: self.features_retention_mib,
            DECISIONS: self.decisions_retention_mib,
        }
        return {topic: mib for topic, mib in chosen.items() if mib}

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> Self:
        if self.review_threshold > self.block_threshold:
            raise ValueError(
                f"review_threshold={self.review_threshold} is above "
                f"block_threshold={self.block_threshold}; lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _aliases_differ(self) -> Self:
        # A version that the parity gate refused gets the challenger's alias.
        if self.champion_alias.lower() == self.challenger_alias.lower():
            raise ValueError(
                f"champion_alias={self.champion_alias} and challenger_alias="
                f"{self.challenger_alias} are the same; a refused version would become champion"
            )
        return self


def environment_of(settings: Settings) -> dict[str, str]:
    """Give the environment variables that build equal settings in a child process.

    Examples:
        >>> environment_of(Settings(api_port=8100))["WEIR_API_PORT"]
        '8100'
    """
    values: dict[str, Any] = settings.model_dump()
    return {f"WEIR_{name.upper()}": str(value) for name, value in values.items()}

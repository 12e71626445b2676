"""Every metric of scoring: its name, unit, meaning, and what to do about unusual values.

`METRICS` is the single list: the Prometheus objects and the table in docs/reference.md come from
it. The worker updates metrics once for each batch. Called by the parts of worker and HTTP service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The description of one metric.

    Attributes:
        name: Prometheus name, base unit last; counters get ``_total`` on the page.
        kind: counter, gauge or histogram.
        meaning: what it counts or measures, with the unit.
        action: what to do about unusual values.
        labels: label names; each has few values.
        buckets: upper bounds of a histogram, in its unit.
        of_workers: how the values of a gauge in several living processes become one.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    action: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    of_workers: Literal["livesum", "livemax"] = "livesum"


SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

METRICS = {
    "decisions": MetricSpec(
        "scoring_decisions",
        "counter",
        "Decisions that the broker has acknowledged, by outcome; repeats are counted again.",
        "If it does not grow while the feature log grows, read the worker's log; the watchdog "
        "restarts a worker that hangs.",
        labels=("decision",),
    ),
    "dead_letters": MetricSpec(
        "scoring_dead_letters",
        "counter",
        "Records of the feature log that could not be decoded; they are in dead-letters.",
        "Read the headers of the dead letters; another program than the velocity job writes there.",
    ),
    "degraded": MetricSpec(
        "scoring_degraded",
        "counter",
        "Decisions made without an input, by what was missing.",
        "no_model: register a champion. champion_unavailable: look at MLflow, or train again if "
        "the log says that the champion is refused. decision_store_unavailable: look at Redis. "
        "definition_digest_mismatch: train on the present definitions. batch_features_missing, "
        "batch_features_stale: look at the materializer. batch_features_unavailable, "
        "batch_features_unreadable: look at Redis. arm_unavailable: `weir rollout status`.",
        labels=("missing",),
    ),
    "repeats": MetricSpec(
        "scoring_repeats",
        "counter",
        "Decisions that repeat an earlier first decision for the same transaction.",
        "Expected after a restart of the velocity job or of a worker; otherwise a producer sends "
        "transactions twice.",
    ),
    "conflicting_ids": MetricSpec(
        "scoring_conflicting_ids",
        "counter",
        "Transactions whose id another user had used; they got the decision about that one.",
        "A producer uses ids twice; `weir parity --json` names them in conflicting_ids.",
    ),
    "batch_rows": MetricSpec(
        "scoring_batch_rows",
        "histogram",
        "Records in one batch.",
        "Always at scorer_batch_max: the worker has a backlog; start another one.",
        buckets=ROWS,
    ),
    "batch_seconds": MetricSpec(
        "scoring_batch_seconds",
        "histogram",
        "Time from the start of a batch to the broker's acknowledgement, in seconds.",
        "Long with few rows: the broker or Redis is slow.",
        buckets=SECONDS,
    ),
    "decide_seconds": MetricSpec(
        "scoring_decide_seconds",
        "histogram",
        "Time to decode and decide one batch, in seconds, including the read of batch features if "
        "the model uses some.",
        "Long: the model has more or deeper trees, the machine is busy, or Redis is slow.",
        buckets=SECONDS,
    ),
    "store_failures": MetricSpec(
        "scoring_decision_store_failures",
        "counter",
        "Calls to the store of first decisions that failed or timed out.",
        "Look at Redis; raise redis_timeout_ms if it is only slow.",
    ),
    "store_unsaved": MetricSpec(
        "scoring_decision_store_unsaved",
        "gauge",
        "Decisions made while the store was down that are not yet written to it.",
        "Falls when Redis is back; at its limit the oldest decisions are dropped.",
    ),
    "store_incomplete": MetricSpec(
        "scoring_decision_store_incomplete",
        "gauge",
        "1 while Redis may lack first decisions that are still in their time to live, else 0.",
        "The worker writes them again from the log; its own log says when it is done.",
    ),
    "batch_failures": MetricSpec(
        "scoring_batch_feature_failures",
        "counter",
        "Reads of batch features that failed or timed out.",
        "Look at Redis; raise redis_timeout_ms if it is only slow.",
    ),
    "registry_failures": MetricSpec(
        "scoring_registry_failures",
        "counter",
        "Polls of the model registry that failed.",
        "Look at MLflow. Scoring continues with the model in use.",
    ),
    "models_refused": MetricSpec(
        "scoring_models_refused",
        "counter",
        "Model versions that were refused, by kind of error.",
        "The log has the version and the reason; move the alias back or train again.",
        labels=("reason",),
    ),
    "model_swaps": MetricSpec(
        "scoring_model_swaps",
        "counter",
        "Changes to another model version.",
        "None; the scorer follows the alias.",
    ),
    "model_info": MetricSpec(
        "scoring_model_info",
        "gauge",
        "1 for the model in use, 0 for models used before.",
        "If the name is heuristic, there is no champion, or it failed its checks.",
        labels=("name", "version", "digest"),
        of_workers="livemax",
    ),
    "rollout_share": MetricSpec(
        "scoring_rollout_share",
        "gauge",
        "Share of the traffic that an arm of the active rollout decides on, 0 to 1; 0 once the "
        "rollout has ended.",
        "`weir rollout status` says why a rollout stands where it stands.",
        labels=("rollout", "arm", "version"),
    ),
    "rollout_arm_loaded": MetricSpec(
        "scoring_rollout_arm_loaded",
        "gauge",
        "1 if the version of an arm of the newest rollout is loaded, else 0.",
        "0 for more than seconds: look at MLflow; `GET /ready` and the log say whether the version "
        "is refused.",
        labels=("rollout", "arm", "version"),
        of_workers="livemax",
    ),
    "rollout_records_ignored": MetricSpec(
        "scoring_rollout_records_ignored",
        "counter",
        "Records of `rollouts` that changed nothing: unreadable, or another change came first.",
        "The log has the offset and the reason; something else than Weir writes there, or two "
        "people changed the same rollout.",
    ),
    "rollout_log_failures": MetricSpec(
        "scoring_rollout_log_failures",
        "counter",
        "Attempts to follow `rollouts` that failed.",
        "Look at Kafka. Scoring continues with the rollout in use.",
    ),
    "arm_decisions": MetricSpec(
        "scoring_arm_decisions",
        "counter",
        "Decisions of the arms of a rollout, by outcome; repeats are counted again.",
        "None; `weir rollout status` compares the arms with the right statistics.",
        labels=("rollout", "arm", "decision"),
    ),
    "shadow_decisions": MetricSpec(
        "scoring_shadow_decisions",
        "counter",
        "Rows that the challenger of a shadow rollout has scored, by the outcome of the control "
        "and by the one that the challenger would have given.",
        "Equal outcomes are agreement; the sums by challenger are its mix of outcomes.",
        labels=("control", "challenger"),
    ),
    "shadow_score_difference": MetricSpec(
        "scoring_shadow_score_difference",
        "histogram",
        "Absolute difference between the scores of control and challenger, 0 to 1.",
        "Large for many rows: the versions judge differently; compare their figures.",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    ),
    "shadow_seconds": MetricSpec(
        "scoring_shadow_seconds",
        "histogram",
        "Time for the challenger to decide on up to 16 rows, in seconds.",
        "Long: the challenger has more or deeper trees than the champion.",
        buckets=SECONDS,
    ),
    "shadow_dropped": MetricSpec(
        "scoring_shadow_dropped",
        "counter",
        "Rows that the challenger of a shadow rollout did not score, or whose shadow decision was "
        "lost.",
        "queue_full: the scorer has no time for both; start another worker. arm_unavailable, "
        "failed: the log has the error. not_delivered: look at Kafka.",
        labels=("reason",),
    ),
}
"""Description of each field of `Metrics`."""


class Metrics(NamedTuple):
    """The Prometheus objects, one for each entry of `METRICS`."""

    decisions: Counter
    dead_letters: Counter
    degraded: Counter
    repeats: Counter
    conflicting_ids: Counter
    batch_rows: Histogram
    batch_seconds: Histogram
    decide_seconds: Histogram
    store_failures: Counter
    store_unsaved: Gauge
    store_incomplete: Gauge
    batch_failures: Counter
    registry_failures: Counter
    models_refused: Counter
    model_swaps: Counter
    model_info: Gauge
    rollout_share: Gauge
    rollout_arm_loaded: Gauge
    rollout_records_ignored: Counter
    rollout_log_failures: Counter
    arm_decisions: Counter
    shadow_decisions: Counter
    shadow_score_difference: Histogram
    shadow_seconds: Histogram
    shadow_dropped: Counter


def build_metrics(registry: CollectorRegistry) -> Metrics:
    """Make the metrics in a registry, one registry for each process and each test.

    Examples:
        >>> registry = CollectorRegistry()
        >>> build_metrics(registry).dead_letters.inc(2)
        >>> registry.get_sample_value("scoring_dead_letters_total")
        2.0
    """
    return Metrics(**{field: build_metric(spec, registry) for field, spec in METRICS.items()})


def build_metric(spec: MetricSpec, registry: CollectorRegistry) -> Any:
    """Make the Prometheus object of one metric: a Counter, a Gauge or a Histogram."""
    if spec.kind == "histogram":
        return Histogram(
            spec.name, spec.meaning, spec.labels, buckets=spec.buckets, registry=registry
        )
    if spec.kind == "counter":
        return Counter(spec.name, spec.meaning, spec.labels, registry=registry)
    return Gauge(
        spec.name,
        spec.meaning,
        spec.labels,
        registry=registry,
        multiprocess_mode=spec.of_workers,
    )

"""Every metric of scoring: name, unit, meaning, and what to do when it looks wrong.

`METRICS` is the one list: the objects that count are made from it, and so is the page in the
docs. Counting costs about a microsecond; the worker counts once a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What one metric is.

    Attributes:
        name: Prometheus name, base unit last; counters get ``_total`` on the page.
        kind: counter, gauge or histogram.
        meaning: what one step of it means, with the unit.
        action: what the one on call does about it.
        labels: label names; values are few and known.
        buckets: upper bounds of a histogram, in its unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    action: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

METRICS = {
    "decisions": MetricSpec(
        "scoring_decisions",
        "counter",
        "Decisions the broker has acknowledged, by outcome; repeats count again.",
        "If it stands still while the feature log grows, look at the worker's log: the watchdog "
        "restarts a worker that hangs.",
        labels=("decision",),
    ),
    "dead_letters": MetricSpec(
        "scoring_dead_letters",
        "counter",
        "Records of the feature log that could not be decoded and went to dead-letters.",
        "Read the headers of the dead letters; somebody else than the velocity job writes there.",
    ),
    "degraded": MetricSpec(
        "scoring_degraded",
        "counter",
        "Decisions made without something, by what was missing.",
        "no_model: register a champion. decision_store_unavailable: look at Redis. "
        "definition_digest_mismatch: train on the present definitions. batch_features_missing, "
        "batch_features_stale: look at the materializer. batch_features_unavailable, "
        "batch_features_unreadable: look at Redis.",
        labels=("missing",),
    ),
    "repeats": MetricSpec(
        "scoring_repeats",
        "counter",
        "Decisions that repeat an earlier first decision for the same transaction.",
        "Expected after a restart of the velocity job or of a worker; otherwise a producer "
        "sends transactions twice.",
    ),
    "batch_rows": MetricSpec(
        "scoring_batch_rows",
        "histogram",
        "Records taken in one batch.",
        "Always at scorer_batch_max: the worker is behind; start another one.",
        buckets=ROWS,
    ),
    "batch_seconds": MetricSpec(
        "scoring_batch_seconds",
        "histogram",
        "Time from taking a batch to the broker's acknowledgement, in seconds.",
        "Long with few rows: the broker or Redis is slow.",
        buckets=SECONDS,
    ),
    "decide_seconds": MetricSpec(
        "scoring_decide_seconds",
        "histogram",
        "Time to decode and decide one batch, in seconds: computation, and reading batch features "
        "if the model takes some.",
        "Long: the model has grown (trees, depth), the machine is busy, or Redis is slow.",
        buckets=SECONDS,
    ),
    "store_failures": MetricSpec(
        "scoring_decision_store_failures",
        "counter",
        "Calls to the store of first decisions without a complete answer in time.",
        "Look at Redis; raise redis_timeout_ms if it is only slow.",
    ),
    "store_unsaved": MetricSpec(
        "scoring_decision_store_unsaved",
        "gauge",
        "Decisions made while the store was away that are not written to it yet.",
        "Falls by itself when Redis is back; at its limit the oldest are forgotten.",
    ),
    "batch_failures": MetricSpec(
        "scoring_batch_feature_failures",
        "counter",
        "Reads of batch features without a complete answer in time.",
        "Look at Redis; raise redis_timeout_ms if it is only slow.",
    ),
    "registry_failures": MetricSpec(
        "scoring_registry_failures",
        "counter",
        "Looks at the model registry that got no complete answer.",
        "Look at MLflow. Scoring goes on with the model in use.",
    ),
    "models_refused": MetricSpec(
        "scoring_models_refused",
        "counter",
        "Model versions that were refused, by kind of error.",
        "The log names the version and the reason; move the alias back or train again.",
        labels=("reason",),
    ),
    "model_swaps": MetricSpec(
        "scoring_model_swaps",
        "counter",
        "Times another model version was put to use.",
        "Nothing: it follows the alias.",
    ),
    "model_info": MetricSpec(
        "scoring_model_info",
        "gauge",
        "1 for the model in use, 0 for one used before.",
        "name heuristic: there is no champion, or none that passes its checks.",
        labels=("name", "version", "digest"),
    ),
}
"""Field of `Metrics` to what it is."""


class Metrics(NamedTuple):
    """The objects that count, one for each of `METRICS`."""

    decisions: Counter
    dead_letters: Counter
    degraded: Counter
    repeats: Counter
    batch_rows: Histogram
    batch_seconds: Histogram
    decide_seconds: Histogram
    store_failures: Counter
    store_unsaved: Gauge
    batch_failures: Counter
    registry_failures: Counter
    models_refused: Counter
    model_swaps: Counter
    model_info: Gauge


def build_metrics(registry: CollectorRegistry) -> Metrics:
    """Make the metrics in a registry of the caller's: one a process, one a test.

    Examples:
        >>> registry = CollectorRegistry()
        >>> build_metrics(registry).dead_letters.inc(2)
        >>> registry.get_sample_value("scoring_dead_letters_total")
        2.0
    """
    return Metrics(**{field: build_metric(spec, registry) for field, spec in METRICS.items()})


def build_metric(spec: MetricSpec, registry: CollectorRegistry) -> Any:
    """Make the object that counts one metric: a Counter, Gauge or Histogram, as its kind says."""
    if spec.kind == "histogram":
        return Histogram(
            spec.name, spec.meaning, spec.labels, buckets=spec.buckets, registry=registry
        )
    kind = Counter if spec.kind == "counter" else Gauge
    return kind(spec.name, spec.meaning, spec.labels, registry=registry)

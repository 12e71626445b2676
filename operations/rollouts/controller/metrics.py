"""The metrics of the controller: one list, from which the objects and the table on the page come.

The scorer's metrics of rollouts are in ``scoring.metrics``.
"""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from scoring.metrics import MetricSpec, build_metric

CONTROLLER_METRICS = {
    "decisions": MetricSpec(
        "rollout_decisions",
        "gauge",
        "Decisions of the active rollout that were counted, by arm, without repeats.",
        "If it does not grow while decisions are made, look at `weir rollout status`.",
        labels=("rollout", "arm"),
    ),
    "mature_decisions": MetricSpec(
        "rollout_mature_decisions",
        "gauge",
        "Decisions of the active rollout whose labels are mature and were counted, by arm.",
        "0 until plan.label_maturity_ms has passed since the start.",
        labels=("rollout", "arm"),
    ),
    "labels_kept": MetricSpec(
        "rollout_labels_kept",
        "gauge",
        "Labels in memory for decisions that are not mature yet.",
        "At WEIR_ROLLOUT_LABELS_MAX the rollout is paused.",
    ),
    "changes": MetricSpec(
        "rollout_changes",
        "counter",
        "Changes of rollouts that the controller has written, by what they do.",
        "`weir rollout status` gives the reason of each.",
        labels=("action",),
    ),
    "uncounted": MetricSpec(
        "rollout_records_uncounted",
        "gauge",
        "Records of the active rollout that could not be counted: deleted too early, or not "
        "readable.",
        "`weir rollout status` says which.",
    ),
    "failures": MetricSpec(
        "rollout_controller_failures",
        "counter",
        "Times that the controller lost Kafka and began again from its newest snapshot.",
        "Look at Kafka. Nothing is counted twice.",
    ),
}
"""Description of each field of `ControllerMetrics`."""


class ControllerMetrics(NamedTuple):
    """The Prometheus objects, one for each entry of `CONTROLLER_METRICS`."""

    decisions: Gauge
    mature_decisions: Gauge
    labels_kept: Gauge
    changes: Counter
    uncounted: Gauge
    failures: Counter


def build_controller_metrics(registry: CollectorRegistry) -> ControllerMetrics:
    """Make the metrics in a registry."""
    return ControllerMetrics(
        **{field: build_metric(spec, registry) for field, spec in CONTROLLER_METRICS.items()}
    )

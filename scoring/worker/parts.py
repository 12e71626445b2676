"""The parts of a worker: what `scoring.wiring` builds from settings, and the producer.

Owns which parts there are and how they are closed. Called by ``app.py`` inside the event loop.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from schemas.settings import Settings
from scoring import wiring
from scoring.metrics import build_metrics
from scoring.worker.batch import BatchScorer, Channels
from scoring.worker.fitting_sink import FittingSink
from scoring.worker.producer import KafkaProducer, topic_bytes_max
from scoring.worker.shadow import ShadowScorer
from scoring.worker.shadow_producer import KafkaShadowProducer


class WorkerParts:
    """The parts of one worker, for the lifetime of one event loop."""

    def __init__(
        self, settings: Settings, *, registry: CollectorRegistry, channels: Channels
    ) -> None:
        """Build the parts; they connect later, so building does not wait for a service."""
        metrics = build_metrics(registry)
        versions = wiring.build_registry(settings)
        self.models = wiring.build_models(settings, registry=versions, metrics=metrics)
        self.producer = KafkaProducer(
            bootstrap=settings.kafka_bootstrap, compression=settings.topic_compression
        )
        sink = FittingSink(
            self.producer,
            dead_letters=channels.dead_letters,
            bytes_max=lambda topic: topic_bytes_max(settings.kafka_bootstrap, topic),
            on_too_large=metrics.dead_letters.inc,
        )
        self.store = wiring.build_decision_store(settings, metrics=metrics)
        self.lost_decisions = wiring.build_lost_decisions(
            settings, topic=channels.decisions, store=self.store, metrics=metrics
        )
        self.log = wiring.build_feature_log(settings, topic=channels.features)
        self.batch_reader = wiring.build_batch_reader(settings, metrics=metrics)
        self.rollouts = wiring.build_rollouts(
            settings,
            registry=versions,
            champion=self.models,
            metrics=metrics,
            topic=channels.rollouts,
        )
        self.shadow = ShadowScorer(
            policy=wiring.build_policy(settings),
            producer=KafkaShadowProducer(
                settings.kafka_bootstrap,
                on_lost=metrics.shadow_dropped.labels(reason="not_delivered").inc,
                topic=channels.shadow_decisions,
            ),
            metrics=metrics,
            now_ms=wiring.wall_clock_ms,
            clock_ms=wiring.steady_clock_ms,
        )
        self.scorer = BatchScorer(
            models=self.models,
            policy=wiring.build_policy(settings),
            store=self.store,
            log=self.log,
            batch_reader=self.batch_reader,
            sink=sink,
            clock_ms=wiring.wall_clock_ms,
            metrics=metrics,
            channels=channels,
            rollouts=self.rollouts,
            steady_ms=wiring.steady_clock_ms,
            shadow=self.shadow,
        )

    def start(self) -> None:
        """Look up the champion, then the rollouts, and go on following both.

        Blocks: as `ChampionWatcher.start` and `RolloutFollower.start`.
        """
        self.models.start()
        self.rollouts.start()
        self.shadow.start()

    async def close(self) -> None:
        """Stop threads and close connections; does not wait for unacknowledged decisions."""
        self.shadow.stop()
        self.rollouts.stop()
        self.models.stop()
        self.producer.close()
        self.lost_decisions.stop()
        await self.store.close()
        self.log.close()
        await self.batch_reader.close()

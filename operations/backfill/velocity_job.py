"""What a backfill needs of the velocity job: that it is stopped, and how far it had read.

Asks Flink for the one and Kafka for the other. Called by `run`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from clients.kafka import with_retries
from clients.kafka_log import end_offsets
from schemas.errors import RetryableError, WeirError
from schemas.settings import Settings
from schemas.topics import LABELS, TRANSACTIONS
from streams.velocity.cluster import GROUP_ID, checkpoints_dir, job_state

ANSWER_S_MAX: Final = 10.0


class FlinkUnreachableError(RetryableError):
    """Flink's JobManager does not answer."""


class VelocityJobRunningError(WeirError):
    """The velocity job runs; a backfill needs its task slots, and its state must not change."""


class NoCommittedOffsetsError(WeirError):
    """Kafka does not know up to which offsets the velocity job had read."""


def check_stopped(settings: Settings) -> None:
    """Return if Flink answers and the velocity job does not run on it.

    Raises:
        FlinkUnreachableError: Flink does not answer.
        VelocityJobRunningError: the velocity job runs.
    """
    try:
        state = job_state(settings.flink_rest_url)
    except OSError as error:
        raise FlinkUnreachableError(
            f"Flink at {settings.flink_rest_url} does not answer: {error}; start the stack with "
            "`weir up`, whose velocity job will refuse to start until the backfill is done"
        ) from error
    if state is not None:
        raise VelocityJobRunningError(
            f"the velocity job is {state} on {settings.flink_rest_url}; stop the stack with "
            "`weir down`, start it with the new definitions and run the backfill then"
        )


def committed_offsets(settings: Settings) -> Mapping[str, Mapping[int, int]]:
    """Give the offsets up to which the newest checkpoint of the old job has read, by topic.

    The new job computes everything from there on.

    Raises:
        KafkaUnreachableError: Kafka does not answer.
        NoCommittedOffsetsError: Kafka does not know the offsets.
    """
    ends = {topic: end_offsets(settings.kafka_bootstrap, topic) for topic in (TRANSACTIONS, LABELS)}
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": GROUP_ID, "log_level": 0}
    )
    places = [
        TopicPartition(topic, number) for topic, of_topic in ends.items() for number in of_topic
    ]
    try:
        found = with_retries(
            settings.kafka_bootstrap, partial(consumer.committed, places, timeout=ANSWER_S_MAX)
        )
    finally:
        consumer.close()
    if all(place.offset < 0 for place in found):
        raise NoCommittedOffsetsError(
            f"the consumer group {GROUP_ID} at {settings.kafka_bootstrap} has committed nothing, "
            "or so long ago that Kafka has forgotten it; move "
            f"{checkpoints_dir(settings).parent} to another place to compute every row again from "
            "the topics, and keep it until that is done"
        )
    committed: dict[str, dict[int, int]] = {topic: {} for topic in ends}
    for place in found:
        committed[place.topic][place.partition] = max(place.offset, 0)
    return committed

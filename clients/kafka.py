"""Asks a broker about its topics, and says in one line why it does not answer.

confluent-kafka. The first call of every command is `topic_partitions`, which fails at once where
no broker is; `asked` repeats a question that the broker is about to be able to answer.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from clients.probes import kafka_answers
from schemas.errors import RetryableError

ANSWER_S_MAX: Final = 10.0
FIRST_ANSWER_S_MAX: Final = 5.0
_ASK_AGAIN_S: Final = 0.1

T = TypeVar("T")


class KafkaUnreachableError(RetryableError):
    """Kafka does not answer, or a topic of ours is not there."""


def unreachable(bootstrap: str, error: KafkaException | KafkaError | str) -> KafkaUnreachableError:
    """The one line a person gets: what, where, which setting, what to do."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    why = cause.str() if isinstance(cause, KafkaError) else cause
    return KafkaUnreachableError(
        f"Kafka does not answer at {bootstrap} (setting WEIR_KAFKA_BOOTSTRAP): {why}; "
        "start the stack with `weir up`"
    )


def asked(bootstrap: str, question: Callable[[], T]) -> T:
    """Ask the broker, again if it says that it is about to know: a topic just made has no leader.

    Raises:
        KafkaUnreachableError: an error that will not pass, or one that has not passed within
            `ANSWER_S_MAX`.
    """
    until_s = time.monotonic() + ANSWER_S_MAX
    while True:
        try:
            return question()
        except KafkaException as error:
            cause = error.args[0]
            may_pass = isinstance(cause, KafkaError) and cause.retriable()
            if not may_pass or time.monotonic() >= until_s:
                raise unreachable(bootstrap, error) from error
            time.sleep(_ASK_AGAIN_S)


def topic_partitions(bootstrap: str, topics: tuple[str, ...]) -> dict[str, list[int]]:
    """Ask the broker for the partitions of topics: the first call of every command.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
    """
    _refuse_silence(bootstrap)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        known = admin.list_topics(timeout=FIRST_ANSWER_S_MAX).topics
    except KafkaException as error:
        raise unreachable(bootstrap, error) from error
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise KafkaUnreachableError(
            f"Kafka at {bootstrap} has no topic {', '.join(missing)}; `weir up` creates them"
        )
    return {topic: sorted(known[topic].partitions) for topic in topics}


def _refuse_silence(bootstrap: str) -> None:
    """Fail at once when no server answers: librdkafka would go on trying until its time is up."""
    try:
        if any(kafka_answers(address.strip()) for address in bootstrap.split(",")):
            return
    except ValueError as error:
        raise unreachable(bootstrap, f"{error}; write host:port[,host:port]") from error
    raise unreachable(bootstrap, "connection refused, or no Kafka broker behind it")

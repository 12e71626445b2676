"""The service fixtures give real services that behave as the rest of the tests assume."""

import urllib.error
import urllib.request

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError
from redis import Redis

from tests.services import Services, unique_name


def test_what_is_produced_to_a_new_topic_is_consumed(kafka: Services) -> None:
    topic = kafka.new_topic()
    producer = KafkaProducer(bootstrap_servers=kafka.kafka_bootstrap)
    producer.send(topic, value=b"event", key=b"u-1").get(timeout=30)
    producer.close()

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=kafka.kafka_bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
    )
    record = next(consumer)
    consumer.close()

    assert (record.key, record.value) == (b"u-1", b"event")


@pytest.mark.expects_error_log("misspelt-.* not found in cluster metadata")
def test_a_misspelt_topic_fails_instead_of_appearing(kafka: Services) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.kafka_bootstrap, max_block_ms=2_000)
    with pytest.raises(KafkaTimeoutError):
        producer.send(unique_name("misspelt"), value=b"")
    producer.close()


def test_redis_keeps_what_is_written(redis_server: Services) -> None:
    key = unique_name("key")
    with Redis.from_url(redis_server.redis_url) as client:
        client.set(key, b"value", ex=60)
        assert client.get(key) == b"value"


def test_mlflow_answers_under_its_own_name_only(mlflow_server: Services) -> None:
    request = urllib.request.Request(
        f"{mlflow_server.mlflow_uri}/api/2.0/mlflow/experiments/search?max_results=1",
        headers={"Host": "somewhere-else.example"},
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=30)
    refusal.value.close()
    assert refusal.value.code == 403

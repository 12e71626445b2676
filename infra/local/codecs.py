"""Whether every Kafka client can read every codec in which Kafka stores records.

A producer, or a setting of a topic or of the broker, chooses the codec. A client that lacks one
stops at the first such record and at every start after that. Called by `doctor.py`; starts no
process.
"""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

CODECS: Final = ("gzip", "snappy", "lz4", "zstd")

_JAVA_CLASSES: Final = {
    # gzip is part of Java.
    "snappy": "org/xerial/snappy/SnappyInputStream.class",
    "lz4": "net/jpountz/lz4/LZ4Factory.class",
    "zstd": "com/github/luben/zstd/ZstdInputStreamNoFinalizer.class",
}
"""A class of the library that Kafka's Java client calls for each codec."""


def codecs_of_python_clients() -> str:
    """Check librdkafka, aiokafka (which Faust uses) and kafka-python; give what they read.

    Raises:
        LookupError: a client lacks a codec.
        ImportError: a client is not installed.
    """
    # Imported here, because the doctor must run where one of them is missing.
    from aiokafka import codec as aiokafka_codec  # noqa: PLC0415
    from kafka import codec as kafka_python_codec  # noqa: PLC0415

    clients: Mapping[str, Callable[[str], bool]] = {
        "confluent-kafka": _librdkafka_has,
        "aiokafka": lambda name: getattr(aiokafka_codec, f"has_{name}")(),
        "kafka-python": lambda name: getattr(kafka_python_codec, f"has_{name}")(),
    }
    for client, has in clients.items():
        if missing := [name for name in CODECS if not has(name)]:
            raise LookupError(f"{client} cannot read {', '.join(missing)}")
    return f"{', '.join(clients)} read {', '.join(CODECS)}"


def codecs_of_jars(directory: Path) -> str:
    """Check that the jars in a directory have the classes of every codec; give where they are.

    Raises:
        LookupError: a class is in none of them.
        zipfile.BadZipFile: a jar is damaged.
    """
    found: dict[str, str] = {}
    for jar in sorted(directory.glob("*.jar")):
        with zipfile.ZipFile(jar) as entries:
            names = set(entries.namelist())
        found |= {codec: jar.name for codec, name in _JAVA_CLASSES.items() if name in names}
    if missing := [codec for codec in _JAVA_CLASSES if codec not in found]:
        raise LookupError(f"no jar in {directory} can read {', '.join(missing)}")
    return ", ".join(f"{codec} in {jar}" for codec, jar in found.items())


def _librdkafka_has(name: str) -> bool:
    from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415

    # Setting this property asks whether the library was built with a feature.
    settings = {"bootstrap.servers": "", "group.id": "doctor", "builtin.features": name}
    try:
        Consumer({**settings, "log_level": 0}).close()
    except KafkaException:
        return False
    return True

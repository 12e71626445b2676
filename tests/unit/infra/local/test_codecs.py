"""What the doctor says of Kafka's codecs: which client lacks which."""

import zipfile
from pathlib import Path

import pytest
from aiokafka import codec as aiokafka_codec
from kafka import codec as kafka_python_codec

from infra.local import codecs
from infra.local.codecs import codecs_of_jars, codecs_of_python_clients


def jar(path: Path, *classes: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in classes:
            file.writestr(name, b"")


def test_every_python_client_reads_every_codec() -> None:
    assert codecs_of_python_clients() == (
        "confluent-kafka, aiokafka, kafka-python read gzip, snappy, lz4, zstd"
    )


@pytest.mark.parametrize(
    ("module", "client"), [(aiokafka_codec, "aiokafka"), (kafka_python_codec, "kafka-python")]
)
def test_a_client_without_a_codec_is_named(
    monkeypatch: pytest.MonkeyPatch, module: object, client: str
) -> None:
    monkeypatch.setattr(module, "has_lz4", lambda: False)
    monkeypatch.setattr(module, "has_zstd", lambda: False)
    with pytest.raises(LookupError, match=f"{client} cannot read lz4, zstd"):
        codecs_of_python_clients()


def test_librdkafka_is_asked_for_what_it_was_built_with() -> None:
    assert codecs._librdkafka_has("zstd")
    assert not codecs._librdkafka_has("brotli")


def test_the_jars_must_have_the_classes_of_every_codec(tmp_path: Path) -> None:
    jar(tmp_path / "dist.jar", codecs._JAVA_CLASSES["lz4"], codecs._JAVA_CLASSES["snappy"])
    jar(tmp_path / "other.jar", "META-INF/MANIFEST.MF")
    with pytest.raises(LookupError, match=r"no jar in .* can read zstd"):
        codecs_of_jars(tmp_path)
    jar(tmp_path / "zstd-jni.jar", codecs._JAVA_CLASSES["zstd"])
    assert codecs_of_jars(tmp_path) == ("snappy in dist.jar, lz4 in dist.jar, zstd in zstd-jni.jar")

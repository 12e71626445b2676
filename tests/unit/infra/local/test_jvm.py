"""The parts of a JVM's command: class path, module openings, environment, the Java itself."""

from pathlib import Path

import pytest

from infra.local import jvm
from infra.local.layout import Layout


def test_flink_itself_comes_last_on_the_class_path(layout: Layout) -> None:
    assert [Path(jar).name for jar in jvm.flink_class_path(layout).split(":")] == [
        "flink-python-2.3.0.jar",
        "weir-kafka-glue.jar",
        "flink-dist-2.3.0.jar",
    ]


def test_a_flink_without_module_openings_is_refused(layout: Layout) -> None:
    (layout.flink_home / "conf" / "config.yaml").write_text("env: {}\n")
    with pytest.raises(ValueError, match=r"env\.java\.opts\.all"):
        jvm.shipped_java_options(layout)


def test_the_jvm_finds_the_python_of_the_flink_environment_first(layout: Layout) -> None:
    environment = jvm.flink_environment(layout)
    assert environment["PATH"].split(":")[0] == str(layout.streams_python.parent)
    assert environment["PYTHONPATH"].split(":") == [
        str(layout.streams_site_packages),
        str(layout.repo),
    ]


def test_java_home_goes_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert jvm.java() == str(tmp_path / "bin" / "java")

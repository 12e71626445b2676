"""A checkout for the tests of the local stack."""

from pathlib import Path

import pytest

from infra.local.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A checkout with an (empty) Flink distribution and jars."""
    layout = Layout(repo=tmp_path / "repo", data_dir=tmp_path / "data")
    (layout.flink_home / "conf").mkdir(parents=True)
    (layout.flink_home / "conf" / "config.yaml").write_text(
        "env:\n  java:\n    opts:\n      all: --add-exports=a/b=ALL-UNNAMED --add-opens=c/d=e\n"
    )
    layout.flink_lib.mkdir(parents=True)
    for name in ("weir-kafka-glue.jar", "flink-dist-2.3.0.jar", "flink-python-2.3.0.jar"):
        (layout.flink_lib / name).touch()
    return layout

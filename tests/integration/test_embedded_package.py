"""What `make embedded` builds: small, whole, and able to score without this environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.output_codec import encode_feature_row
from scoring.embedded.model_directory import write_directory
from tests.model_files import trained
from tests.scoring_fakes import feature_row

REPO = Path(__file__).parents[2]
PACKAGE = REPO / ".cache" / "embedded"
SIZE_MB_MAX = 60

PROGRAM = """
import json, sys
from scoring import Scorer
from scoring.embedded.aws_handler import make_handler
decision = Scorer.load(sys.argv[1]).score(sys.stdin.buffer.read())
names = ("scoring", "weir_engine", "orjson")
paths = {name: sys.modules[name].__file__ for name in names}
print(json.dumps({"score": decision.score, "version": decision.model.version, "paths": paths}))
"""


@pytest.fixture(scope="module")
def package() -> Path:
    subprocess.run(["make", "embedded"], cwd=REPO, check=True, capture_output=True)
    return PACKAGE


def test_it_is_small(package: Path) -> None:
    size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    assert size < SIZE_MB_MAX * 1_000_000


def test_it_scores_without_any_other_package(package: Path, tmp_path: Path) -> None:
    write_directory(tmp_path, trained().files, name="weir-fraud", version="7")
    done = subprocess.run(
        # -S: without site-packages.
        [sys.executable, "-S", "-P", "-c", PROGRAM, str(tmp_path)],
        input=encode_feature_row(feature_row("t-1")),
        env={**os.environ, "PYTHONPATH": str(package)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    found = json.loads(done.stdout)
    assert found["version"] == "7"
    assert 0 <= found["score"] <= 1
    assert all(path.startswith(str(package)) for path in found["paths"].values())

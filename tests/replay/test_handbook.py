"""A month of the Fraud Detection Handbook through the running system, against its features."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.layout import REPO
from schemas.settings import environment_of
from tests.services import Services

HANDBOOK = REPO.parent / "shared" / "handbook"
FROM, TO = "2018-04-01", "2018-05-01"
COMMAND_S_MAX = 900

pytestmark = pytest.mark.skipif(
    not HANDBOOK.exists(), reason="the Fraud Detection Handbook's tables are not on this machine"
)


def weir(services: Services, *arguments: str) -> str:
    """Run the command line as a user would, against the stack of the tests."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        cwd=REPO,
        env={**os.environ, **environment_of(services.settings), "COLUMNS": "120"},
    )
    assert done.returncode == 0, f"weir {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(2 * COMMAND_S_MAX)
def test_every_published_feature_of_a_month_comes_back_equal(
    weir_stack: Services, tmp_path: Path
) -> None:
    exported = tmp_path / "features.parquet"
    transactions = str(HANDBOOK / "transactions.parquet")
    said = weir(
        weir_stack, "replay", transactions, "--columns", "handbook", "--from", FROM, "--to", TO
    )
    print(said.splitlines()[-1])
    print(weir(weir_stack, "export", "features", str(exported)))
    oracle = str(HANDBOOK / "velocity_oracle.parquet")
    said = weir(weir_stack, "compare", str(exported), oracle, "--columns", "handbook")
    print(said)
    compared = re.search(r"(\d[\d,]*) rows", said)
    assert compared, said
    assert int(compared[1].replace(",", "")) > 280_000

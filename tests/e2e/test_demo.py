"""`weir demo`, twice on one system: the first run trains the champion, the second reuses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from infra.local.layout import REPO
from schemas.settings import environment_of
from tests.services import Services

DEMO_S_MAX = 600
SMALL = ("--history-days", "15", "--per-day", "400", "--rate", "50")


def demo(services: Services, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run it as a user without a terminal; its last line and all it said."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "infra.cli.main",
            "demo",
            *("--duration", "5", "--warm-up", "5"),
            *arguments,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEMO_S_MAX,
        cwd=REPO,
        env={**os.environ, **environment_of(services.settings)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary, said


@pytest.mark.timeout(2 * DEMO_S_MAX)
def test_the_demo_loses_nothing_and_a_second_run_reuses_history_and_model(
    weir_stack: Services,
) -> None:
    first, _ = demo(weir_stack, *SMALL, "--seed", "1")
    second, said = demo(weir_stack, *SMALL, "--seed", "2")
    assert "of an earlier run" in said
    assert "days of history" not in said
    assert second["model_version"] == first["model_version"]
    for summary in (first, second):
        assert summary["produced"] >= 50 * 5
        assert summary["features"] == summary["decisions"] == summary["produced"]
        wrong = ("lost", "dead_letters", "feature_mismatches")
        assert [summary[name] for name in wrong] == [0, 0, 0]
    assert weir_stack.stack is not None
    assert all(program.ready for program in weir_stack.stack.status())

"""The memory that the engine counts for its states is what they take, within a factor."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from features.engine.job import UNLIMITED, KeptStates
from infra.local.layout import REPO

FACTOR = 1.6


@pytest.mark.parametrize(
    ("users", "events", "kept"),
    [
        (20_000, 1, KeptStates()),
        (2_000, 40, KeptStates()),
        (50_000, 2, KeptStates(live_bytes_max=20_000_000, packed_bytes_max=UNLIMITED)),
    ],
    ids=["few events", "many events", "packed"],
)
def test_what_is_counted_is_what_states_take(users: int, events: int, kept: KeptStates) -> None:
    module = "tests.component.features.state_memory"
    limits = [kept.live_keys_max, kept.live_bytes_max, kept.packed_bytes_max]
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, [users, events, *limits])],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["grown"] / FACTOR < found["counted"] < found["grown"] * FACTOR

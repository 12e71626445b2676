"""A model of users in a part of a batch: the score and decision that the API gives, to the bit."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.batch import ACTIVITY
from features.definitions import DAY_MS
from features.engine.values import FeatureValue
from features.online.user_inputs import UserInputLayout
from models.policy import DecisionPolicy
from scoring.core.served_model import ServedModel
from scoring.core.user_scores import UserScore, score_users
from streams.batch_scoring.plan import MODEL_DIRECTORY, Part, RowGroups, ScoringPlan
from streams.batch_scoring.stage import ScoringStage
from tests.api_service import FixedModels
from tests.builders import NOW_MS
from tests.stored_users import StoredUsers
from tests.user_model import LEAVES, leaves_files, leaves_model

MIDNIGHT_MS = NOW_MS // DAY_MS * DAY_MS
USERS = 40
DEFINITION = replace(LEAVES, policy=DecisionPolicy(("A", "B", "C", "D"), (0.1, 0.2, 0.6)))
SERVED = ServedModel(
    DEFINITION,
    UserInputLayout(DEFINITION.columns, DEFINITION.batch_view, "weir"),
    FixedModels(leaves_model()),
    dict,
)


def write_plan(directory: Path, batch_features: Path) -> None:
    for path, content in leaves_files().by_path().items():
        file = directory / MODEL_DIRECTORY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    ScoringPlan(
        run_id="0" * 16,
        model_name=DEFINITION.name,
        model_version="4",
        trees_digest=leaves_files().trees_digest,
        data_version="d",
        entity_column="user_id",
        lookup_ms=MIDNIGHT_MS,
        definition_digest="",
        left_out="",
        batch_features=str(batch_features),
        outcomes=DEFINITION.policy.outcomes,
        thresholds=DEFINITION.policy.thresholds,
        rows_at_once=7,
        sink="",
    ).write(directory)


def test_each_user_has_the_score_and_decision_of_the_api(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    rng = random.Random(pytestconfig.option.hypothesis_seed)
    stored, rows, snapshots = StoredUsers(), [], []
    stored.complete_ms = MIDNIGHT_MS
    for number in range(USERS):
        event_ms = MIDNIGHT_MS - 1 - rng.randrange(30 * DAY_MS)
        velocity: dict[str, FeatureValue] = {
            "user_transaction_count_7d": rng.randrange(9),
            "user_amount_mean_7d": rng.choice([None, rng.random() * 1e5]),
        }
        stored.remember(f"u{number}", velocity, event_time_ms=event_ms)
        rows.append({"user_id": f"u{number}", "event_time_ms": event_ms, **velocity})
        if number % 4:
            count, amount = rng.randrange(1, 9), rng.randrange(10**6)
            values = (count, amount, amount / count)
            batch: dict[str, FeatureValue] = dict(zip(ACTIVITY.names, values, strict=True))
            stored.materialize(f"u{number}", batch, snapshot_ms=MIDNIGHT_MS)
            snapshots.append({"user_id": f"u{number}", "snapshot_ms": MIDNIGHT_MS, **batch})
    numbers = [(name, pa.float64()) for name in ACTIVITY.names]
    schema = pa.schema([("user_id", pa.string()), ("snapshot_ms", pa.int64()), *numbers])
    pq.write_table(pa.Table.from_pylist(snapshots, schema), tmp_path / "batch.parquet")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    write_plan(tmp_path, tmp_path / "batch.parquet")
    place = RowGroups(str(tmp_path / "rows.parquet"), 0, 1)
    part = Part(0, "2026-11-24", USERS, (place,), str(tmp_path / "scores.parquet"))
    ScoringStage(tmp_path).process(part.encode())
    found = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    users = asyncio.run(stored.read(SERVED.layout, [f"u{number}" for number in range(USERS)]))
    online = score_users(users, leaves_model(), SERVED, as_of_ms=NOW_MS)
    assert [(one["entity"], one["score"], one["decision"]) for one in found] == [
        (one.user_id, one.score, one.decision) for one in online if isinstance(one, UserScore)
    ]
    assert len(found) == USERS
    assert len({one["decision"] for one in found}) > 1

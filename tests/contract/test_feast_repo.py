"""Our Feast repository against Feast itself, on a real Redis: what streams, what is stored."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis

from clients.log_record import Record
from features.batch import BATCH_NAMES, BATCH_VIEW, LABEL_VIEW
from features.definitions import DAY_MS, ON_DEMAND_FEATURES, Entity
from features.engine.state import MerchantState, UserState
from features.feast_repo.views import ON_DEMAND_VIEW
from features.on_demand import on_demand_features
from features.online import layout as online_store
from schemas.codec import encode_label
from schemas.label import Label
from schemas.output_codec import encode_feature_row
from schemas.settings import Settings
from schemas.topics import FEATURES, LABELS
from tests.builders import LIMITS, NOW_MS, transaction
from tests.scoring_fakes import feature_row
from tests.services import Services
from training.archive.columns import to_batches
from training.archive.store import ArchiveTable
from training.datasets.feature_store import (
    feature_refs,
    join_in_time,
    materialize,
    online_values,
    open_store,
)
from training.errors import OnlineStoreUnreachableError

YESTERDAY_MS = NOW_MS - DAY_MS
ROWS = (("t-1", "u-1", 100), ("t-2", "u-1", 300), ("t-3", "é-2", 50))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def settings(redis_server: Services, tmp_path: Path) -> Settings:
    """An archive with three transactions of yesterday, one of them known as fraud."""
    url = str(tmp_path / "archive")
    rows = [
        replace(
            feature_row(),
            transaction=transaction(
                transaction_id=one, user_id=user, amount_minor=amount, event_time_ms=YESTERDAY_MS
            ),
        )
        for one, user, amount in ROWS
    ]
    label = Label("t-1", "m-1", YESTERDAY_MS, NOW_MS - 1, is_fraud=True)
    values = {FEATURES: [encode_feature_row(row) for row in rows], LABELS: [encode_label(label)]}
    for topic, records in values.items():
        table = ArchiveTable(url, topic)
        table.open_or_create()
        table.append(
            to_batches(
                topic, [Record(0, at, NOW_MS, v) for at, v in enumerate(records)], limits=LIMITS
            ),
            next_offsets={0: len(records)},
        )
    return redis_server.settings.model_copy(
        update={
            "data_dir": tmp_path,
            "archive_url": url,
            "feast_project": f"repo{uuid.uuid4().hex}",
            "redis_url": redis_server.redis_url,
        }
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[Any]:
    with redis.Redis.from_url(settings.redis_url) as client:
        yield client


def opened(settings: Settings) -> Any:
    registry = settings.data_dir / "feast" / "registry.db"
    return open_store(settings, archive_url=settings.archive_url, registry=registry)


def test_batch_features_are_online_after_a_materialisation(settings: Settings) -> None:
    done = materialize(settings, now_ms=NOW_MS)
    assert (done.snapshot_ms, done.users, done.snapshots) == (NOW_MS, 2, 1)
    answer = online_values(opened(settings), feature_refs(BATCH_NAMES), ["u-1", "é-2", "never"])
    assert [answer[name] for name in BATCH_NAMES] == [
        [2, 1, None],
        [200.0, 50.0, None],
        [1, 0, None],
        [0.5, 0.0, None],
    ]
    assert answer[f"{BATCH_NAMES[0]}__ts"][:2] == [NOW_MS // 1_000] * 2


def test_a_second_materialisation_changes_nothing(settings: Settings, client: Any) -> None:
    materialize(settings, now_ms=NOW_MS)
    key = online_store.entity_key("user", "u-1", settings.feast_project)
    before = client.hgetall(key)
    assert materialize(settings, now_ms=NOW_MS + 1).snapshots == 0
    assert client.hgetall(key) == before


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_what_the_stream_wrote_reads_beside_it_and_stays(
    settings: Settings, client: Any, entity: Entity
) -> None:
    state = UserState() if entity == "user" else MerchantState()
    if isinstance(state, UserState):
        state.fold(transaction_id="t", merchant_id="m", amount_minor=7, event_time_ms=NOW_MS)
    else:
        state.fold_transaction(transaction_id="t", event_time_ms=NOW_MS, is_repeat=False)
    values = state.read(as_of_ms=NOW_MS)
    key = online_store.entity_key(entity, "u-1", settings.feast_project)
    fields = online_store.hash_fields(
        entity, values, state=state.encode_online(), sequence=1, event_time_ms=NOW_MS
    )
    client.eval(online_store.WRITE_SCRIPT, 1, *online_store.write_arguments(key, fields))
    materialize(settings, now_ms=NOW_MS)
    answer = (
        opened(settings)
        .get_online_features(
            features=[f"{online_store.VIEWS[entity]}:{name}" for name in values.features],
            entity_rows=[{online_store.JOIN_KEYS[entity]: "u-1"}],
        )
        .to_dict()
    )
    assert {name: answer[name][0] for name in values.features} == values.features
    stored = client.hgetall(key)
    assert {name: stored[name] for name in fields} == fields


def test_on_demand_features_are_those_of_the_stream(settings: Settings) -> None:
    names = [feature.name for feature in ON_DEMAND_FEATURES]
    answer = (
        opened(settings)
        .get_online_features(
            features=[f"{ON_DEMAND_VIEW}:{name}" for name in names],
            entity_rows=[{"event_time_ms": YESTERDAY_MS + 5}],
        )
        .to_dict()
    )
    assert {name: answer[name][0] for name in names} == on_demand_features(YESTERDAY_MS + 5)


def test_a_join_in_time_sees_what_was_known_then(settings: Settings) -> None:
    materialize(settings, now_ms=NOW_MS + DAY_MS)
    times_ms = [NOW_MS - 1, NOW_MS, NOW_MS + DAY_MS, NOW_MS + 4 * DAY_MS]
    asked = pd.DataFrame(
        {"user_id": "u-1", "at": [datetime.fromtimestamp(ms / 1_000, UTC) for ms in times_ms]}
    )
    found = join_in_time(opened(settings), asked, features=feature_refs(BATCH_NAMES), time="at")
    counts = found[BATCH_NAMES[0]]
    # Before the first snapshot nothing; two days after the last one it is too old.
    assert counts.isna().tolist() == [True, False, False, True]
    assert counts[1] == counts[2] == 2


def test_a_label_is_joined_from_the_time_of_its_observation(settings: Settings) -> None:
    materialize(settings, now_ms=NOW_MS)
    asked = pd.DataFrame(
        {
            "transaction_id": ["t-1", "t-1", "t-2"],
            "at": [
                datetime.fromtimestamp(ms / 1_000, UTC) for ms in (NOW_MS - 2, NOW_MS - 1, NOW_MS)
            ],
        }
    )
    refs = feature_refs(["is_fraud"], view=LABEL_VIEW)
    found = join_in_time(opened(settings), asked, features=refs, time="at")
    assert found["is_fraud"].isna().tolist() == [True, False, True]
    assert bool(found["is_fraud"][1])


def test_without_redis_a_materialisation_says_so(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with pytest.raises(OnlineStoreUnreachableError, match=r"127\.0\.0\.1:1"):
        materialize(away, now_ms=NOW_MS)


def test_feasts_own_command_line_finds_the_same_objects(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.repo_config import load_repo_config
    from feast.repo_operations import parse_repo

    repository = Path(__file__).parents[2] / "features" / "feast_repo"
    monkeypatch.setenv("WEIR_ARCHIVE_URL", settings.archive_url)
    monkeypatch.setenv("WEIR_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("WEIR_FEAST_PROJECT", settings.feast_project)
    monkeypatch.setenv("WEIR_REDIS_PORT", str(settings.redis_port))
    config = load_repo_config(repository, repository / "feature_store.yaml")
    assert config.project == settings.feast_project
    assert config.offline_store.type == opened(settings).config.offline_store.type
    found = parse_repo(repository)
    assert {view.name for view in found.feature_views} == {
        *online_store.VIEWS.values(),
        BATCH_VIEW,
        LABEL_VIEW,
    }
    assert [view.name for view in found.on_demand_feature_views] == [ON_DEMAND_VIEW]

"""Our Feast repository compared with Feast itself, online and in point-in-time joins."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import redis
from deltalake import write_deltalake

from features.batch import BATCH_NAMES, BATCH_VIEW, BATCH_VIEWS, LABEL_VIEW, NO_HISTORY, STATISTICS
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
from tests.archives import append_values
from tests.builders import NOW_MS, transaction
from tests.scoring_fakes import feature_row
from tests.services import Services
from training.archive.labels import latest_as_of, with_intervals
from training.datasets.batch_join import join_batch_features
from training.datasets.batch_tables import snapshot_schema, transaction_labels
from training.datasets.feature_store import open_store
from training.datasets.materialization import materialize
from training.errors import OnlineStoreUnreachableError

YESTERDAY_MS = NOW_MS - DAY_MS
ROWS = (("t-1", "u-1", 100), ("t-2", "u-1", 300), ("t-3", "é-2", 50))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def settings(redis_server: Services, tmp_path: Path) -> Settings:
    """An archive with three transactions of yesterday, one of them labelled as fraud."""
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
        append_values(url, topic, records)
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


def refs(names: Sequence[str]) -> list[str]:
    """Name batch features as Feast does."""
    return [f"{BATCH_VIEW}:{name}" for name in names]


def moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1_000, UTC) + timedelta(milliseconds=time_ms % 1_000)


def moments(times_ms: Sequence[int]) -> list[datetime]:
    return [moment(time_ms) for time_ms in times_ms]


def random_source() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def joined(settings: Settings, asked: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Join by Feast, point in time; keep the order of the rows."""
    numbered = asked.assign(_row=range(len(asked)))
    job = opened(settings).get_historical_features(entity_df=numbered, features=features)
    found: pd.DataFrame = job.to_df().sort_values("_row").reset_index(drop=True)
    assert len(found) == len(asked)
    return found


def test_batch_features_are_online_after_a_materialisation(settings: Settings) -> None:
    done = materialize(settings, now_ms=NOW_MS)
    assert (done.snapshot_ms, done.users, done.snapshots) == (NOW_MS, 2, 1)
    users = [{"user_id": user_id} for user_id in ("u-1", "é-2", "never")]
    answer = (
        opened(settings)
        .get_online_features(features=refs(BATCH_NAMES), entity_rows=users)
        .to_dict(include_event_timestamps=True)
    )
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
def test_materialisation_leaves_the_values_of_the_stream(
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
    arguments = online_store.write_arguments(entity, [key], [*fields.values()])
    client.eval(online_store.WRITE_SCRIPT, *arguments)
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


def test_a_point_in_time_join_uses_the_snapshot_known_then(settings: Settings) -> None:
    materialize(settings, now_ms=NOW_MS + DAY_MS)
    times_ms = [NOW_MS - 1, NOW_MS, NOW_MS + DAY_MS, NOW_MS + 4 * DAY_MS]
    asked = pd.DataFrame({"user_id": "u-1", "event_timestamp": moments(times_ms)})
    counts = joined(settings, asked, refs(BATCH_NAMES))[BATCH_NAMES[0]]
    # Before the first snapshot nothing; two days after the last one it is too old.
    assert counts.isna().tolist() == [True, False, False, True]
    assert counts[1] == counts[2] == 2


def test_a_label_is_joined_from_the_time_of_its_observation(settings: Settings) -> None:
    materialize(settings, now_ms=NOW_MS)
    times = moments([NOW_MS - 2, NOW_MS - 1, NOW_MS])
    asked = pd.DataFrame({"transaction_id": ["t-1", "t-1", "t-2"], "event_timestamp": times})
    found = joined(settings, asked, [f"{LABEL_VIEW}:is_fraud"])["is_fraud"]
    assert found.isna().tolist() == [True, False, True]
    assert bool(found[1])


def test_a_data_set_joins_the_batch_features_that_feast_joins(settings: Settings) -> None:
    rng = random_source()
    first = NOW_MS // DAY_MS
    # Users pause for days, so the snapshots of one day and of several days in a row are missing.
    keys = sorted({(rng.randrange(first, first + 12), f"u{rng.randrange(6)}") for _ in range(40)})
    snapshots = pa.Table.from_pylist(
        [
            {
                "user_id": user_id,
                "event_time": moment(day * DAY_MS),
                **dict(zip(BATCH_NAMES, (at + 1, at / 3, at % 4, at / 100), strict=True)),
            }
            for at, (day, user_id) in enumerate(keys)
        ],
        schema=snapshot_schema(STATISTICS),
    )
    write_deltalake(f"{settings.archive_url}/{BATCH_VIEW}", snapshots)
    times_ms = sorted(
        (first + rng.randrange(-1, 16)) * DAY_MS + rng.choice([-1, 0, 1, DAY_MS // 3])
        for _ in range(400)
    )
    rows = pd.DataFrame(
        {"user_id": [f"u{rng.randrange(7)}" for _ in times_ms], "event_time_ms": times_ms}
    )
    asked = rows.assign(event_timestamp=moments(times_ms))
    wanted = joined(settings, asked, refs(BATCH_NAMES))[list(BATCH_NAMES)].astype("float64")
    assert 0 < wanted[BATCH_NAMES[0]].isna().sum() < len(rows)
    numbers = {name: value for name, value in NO_HISTORY.items() if value is not None}
    found = join_batch_features(rows, snapshots)[list(BATCH_NAMES)]
    pd.testing.assert_frame_equal(found, wanted.fillna(numbers), check_exact=True)


def test_a_data_set_joins_the_labels_that_feast_joins(settings: Settings) -> None:
    rng = random_source()
    # So few times that some observations of a transaction have equal ones.
    rows = [
        (f"t{rng.randrange(9)}", NOW_MS + rng.randrange(8), rng.random() < 0.5) for _ in range(60)
    ]
    names = ["transaction_id", "observed_time_ms", "is_fraud"]
    observations = with_intervals(pd.DataFrame(rows, columns=names))
    write_deltalake(f"{settings.archive_url}/{LABEL_VIEW}", transaction_labels(observations))
    ids = [f"t{n}" for n in range(10)]
    for time_ms in (NOW_MS - 1, NOW_MS, NOW_MS + 4, NOW_MS + 9):
        asked = pd.DataFrame({"transaction_id": ids, "event_timestamp": moment(time_ms)})
        answer = joined(settings, asked, [f"{LABEL_VIEW}:is_fraud"]).dropna(subset="is_fraud")
        wanted = dict(zip(answer["transaction_id"], answer["is_fraud"].astype(bool), strict=True))
        found = latest_as_of(observations, time_ms).set_index("transaction_id")["is_fraud"]
        assert found.to_dict() == wanted


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
        *(view.name for view in BATCH_VIEWS),
        LABEL_VIEW,
    }
    assert [view.name for view in found.on_demand_feature_views] == [ON_DEMAND_VIEW]

import itertools
from collections import defaultdict
from statistics import mean

import orjson
import pytest

from features.definitions import DAY_MS
from infra.simulation.event import Event
from infra.simulation.fraud_reports import LABEL_DELAY_MS_MAX
from infra.simulation.population import Population
from infra.simulation.world import World
from schemas.codec import decode_label, decode_transaction
from schemas.label import Label
from schemas.topics import LABELS, TRANSACTIONS
from schemas.transaction import Limits, Transaction
from tests.builders import NOW_MS
from tests.velocity_twin import VelocityTwin

START_MS = NOW_MS - 20 * DAY_MS


def history(seed: int = 5, days: int = 20, per_day: int = 400) -> list[Event]:
    world = World(seed=seed, run="h")
    return list(
        world.history(
            start_ms=START_MS, end_ms=START_MS + days * DAY_MS, transactions_per_day=per_day
        )
    )


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return history()


def transactions_of(events: list[Event]) -> list[Transaction]:
    return [
        decode_transaction(event.value, limits=Limits(), now_ms=NOW_MS, is_replay=event.is_replay)
        for event in events
        if event.topic == TRANSACTIONS
    ]


def labels_of(events: list[Event]) -> list[Label]:
    return [
        decode_label(event.value, limits=Limits(), now_ms=NOW_MS, is_replay=event.is_replay)
        for event in events
        if event.topic == LABELS
    ]


def fraud_ids(events: list[Event]) -> set[str]:
    """Transactions whose latest label says fraud."""
    latest = {label.transaction_id: label.is_fraud for label in labels_of(events)}
    return {transaction_id for transaction_id, is_fraud in latest.items() if is_fraud}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, second, other = history(days=2), history(days=2), history(seed=6, days=2)
    assert first == second
    assert [event.value for event in first] != [event.value for event in other]


def test_history_is_in_order_of_due_time_and_inside_its_bounds(events: list[Event]) -> None:
    due_ms = [event.due_ms for event in events]
    assert due_ms == sorted(due_ms)
    assert due_ms[0] >= START_MS
    assert due_ms[-1] < START_MS + 20 * DAY_MS
    assert all(event.is_replay for event in events)


def test_a_day_has_about_as_many_transactions_as_asked_for(events: list[Event]) -> None:
    assert len(transactions_of(events)) == pytest.approx(20 * 400, rel=0.05)


def test_transactions_are_due_at_their_event_time_and_keyed_by_user(events: list[Event]) -> None:
    sent = [event for event in events if event.topic == TRANSACTIONS]
    for event, transaction in zip(sent, transactions_of(events), strict=True):
        assert event.due_ms == transaction.event_time_ms
        assert event.key == transaction.user_id.encode()
        assert event.event_id == transaction.transaction_id
    assert len({event.event_id for event in sent}) == len(sent)


def test_labels_come_after_their_transaction_and_within_a_week_less_half_a_day(
    events: list[Event],
) -> None:
    transactions = {t.transaction_id: t for t in transactions_of(events)}
    labels = labels_of(events)
    assert labels
    for label in labels:
        transaction = transactions[label.transaction_id]
        assert label.merchant_id == transaction.merchant_id
        assert label.event_time_ms == transaction.event_time_ms
        assert 0 < label.observed_time_ms - label.event_time_ms <= LABEL_DELAY_MS_MAX < 7 * DAY_MS


def test_some_labels_clear_a_transaction_and_some_revise_an_earlier_one(
    events: list[Event],
) -> None:
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for label in labels_of(events):
        verdicts[label.transaction_id].append(label.is_fraud)
    assert [True, False] in verdicts.values()
    assert [False] in verdicts.values()


def test_nights_are_quiet(events: list[Event]) -> None:
    hours = [t.event_time_ms % DAY_MS // 3_600_000 for t in transactions_of(events)]
    at_night = sum(2 <= hour < 6 for hour in hours)
    in_the_afternoon = sum(14 <= hour < 18 for hour in hours)
    assert at_night * 3 < in_the_afternoon


def test_fraud_is_rare_and_velocity_and_merchant_risk_can_find_it(events: list[Event]) -> None:
    twin = VelocityTwin()
    rows = [row for event in events for row in twin.take(event)]
    frauds = fraud_ids(events)
    warm = [row for row in rows if row.transaction.event_time_ms >= START_MS + 9 * DAY_MS]
    fraud_rows = [row for row in warm if row.transaction.transaction_id in frauds]
    honest_rows = [row for row in warm if row.transaction.transaction_id not in frauds]
    assert 0.005 < len(fraud_rows) / len(warm) < 0.06
    for name, ratio in (
        ("user_transaction_count_5m", 2.0),
        ("user_merchant_distinct_1d", 1.5),
        ("merchant_fraud_rate_30d_delay_7d", 1.5),
    ):
        among_frauds = mean(row.features[name] or 0 for row in fraud_rows)
        among_honest = mean(row.features[name] or 0 for row in honest_rows)
        assert among_frauds > ratio * among_honest, name


def test_a_merchant_stays_compromised_for_days_and_few_are() -> None:
    import numpy as np

    population = Population(seed=3, merchants=2_000, compromised_share=0.02)
    merchants = np.arange(2_000)
    days = [
        population.is_compromised(merchants, np.full(2_000, START_MS + day * DAY_MS))
        for day in range(60)
    ]
    assert 0.01 < mean(float(day.mean()) for day in days) < 0.03
    changes = sum(int((a != b).sum()) for a, b in itertools.pairwise(days))
    # Each of the compromises lasts 28 days: in 60 days it begins once and ends once.
    assert changes < sum(int(day.sum()) for day in days) / 10


def test_live_traffic_has_exactly_its_rate_and_continues_the_history() -> None:
    world = World(seed=5, run="r")
    end_ms = START_MS + 8 * DAY_MS
    past = list(world.history(start_ms=START_MS, end_ms=end_ms, transactions_per_day=1_000))
    live_ms = end_ms + 90_000
    live = list(world.live(start_ms=live_ms, rate_per_s=250.0, duration_ms=3_000))
    transactions = [event for event in live if event.topic == TRANSACTIONS]
    assert [event.due_ms for event in transactions] == [live_ms + 4 * step for step in range(750)]
    assert not any(event.is_replay for event in live)
    assert not {event.event_id for event in past} & {event.event_id for event in live}


def test_labels_that_fell_due_before_the_live_traffic_are_sent_when_it_starts() -> None:
    world = World(seed=5, run="r")
    end_ms = START_MS + 3 * DAY_MS
    list(world.history(start_ms=START_MS, end_ms=end_ms, transactions_per_day=2_000))
    live_ms = end_ms + 6 * 3_600_000
    live = list(world.live(start_ms=live_ms, rate_per_s=10.0, duration_ms=1_000))
    due_ms = [event.due_ms for event in live]
    assert due_ms == sorted(due_ms)
    waited = [event for event in live if event.topic == LABELS and event.due_ms == live_ms]
    assert waited
    assert all(end_ms <= orjson.loads(event.value)["observed_time_ms"] for event in waited)
    assert live.index(waited[-1]) < len(waited)


def test_a_live_world_without_an_end_goes_on() -> None:
    live = World(seed=1, run="r").live(start_ms=NOW_MS, rate_per_s=1_000.0)
    assert sum(event.topic == TRANSACTIONS for event in itertools.islice(live, 5_000)) > 4_500

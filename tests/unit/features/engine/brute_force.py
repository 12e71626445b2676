"""The contract of the velocity features, recomputed by brute force from plain lists.

Independent of `features/`: shares no code and no constant with it. Every answer goes through all
events that arrived. Slow on purpose; each sentence of the contract is one line of code.
"""

from __future__ import annotations

from dataclasses import dataclass, field

M, H, D = 60_000, 3_600_000, 86_400_000
USER_WINDOWS = {"5m": 5 * M, "1h": H, "1d": D, "7d": 7 * D, "30d": 30 * D}
DISTINCT_WINDOWS = {"5m": 5 * M, "1d": D}
MERCHANT_WINDOWS = {"1d": D, "7d": 7 * D, "30d": 30 * D}
DELAY = 7 * D


@dataclass
class Payment:
    """One transaction, as a producer sent it."""

    transaction_id: str
    merchant_id: str
    amount_minor: int
    event_time_ms: int


@dataclass
class Report:
    """One label."""

    transaction_id: str
    event_time_ms: int
    observed_time_ms: int
    is_fraud: bool
    merchant_id: str = "m"


@dataclass
class Answer:
    """What must come out of one fold."""

    features: dict[str, int | float | None]
    is_late: bool
    repeat: bool


@dataclass
class UserOracle:
    """All payments of one user, in order of arrival."""

    counted: list[Payment] = field(default_factory=list)
    remembered: dict[str, tuple[int, int]] = field(default_factory=dict)
    newest: int | None = None

    def fold(self, payment: Payment) -> Answer:
        known = self.remembered.get(payment.transaction_id)
        # Remembered from the first delivery to a day of event time of the newest event later.
        if known is not None and self.newest is not None and self.newest - known[1] <= D:
            return Answer(self.features_as_of(known[0]), self.is_late(known[0]), repeat=True)
        self.counted.append(payment)
        time = payment.event_time_ms
        self.newest = time if self.newest is None else max(self.newest, time)
        self.remembered[payment.transaction_id] = (time, self.newest)
        return Answer(self.features_as_of(time), self.is_late(time), repeat=False)

    def is_late(self, time: int) -> bool:
        return self.newest is not None and self.newest - time > D

    def within(self, time: int, window: int) -> list[Payment]:
        return [p for p in self.counted if time - window < p.event_time_ms <= time]

    def features_as_of(self, time: int) -> dict[str, int | float | None]:
        features: dict[str, int | float | None] = {}
        for name, window in USER_WINDOWS.items():
            amounts = [p.amount_minor for p in self.within(time, window)]
            features[f"user_transaction_count_{name}"] = len(amounts)
            features[f"user_amount_sum_{name}"] = sum(amounts)
            features[f"user_amount_mean_{name}"] = sum(amounts) / len(amounts) if amounts else None
        for name, window in DISTINCT_WINDOWS.items():
            merchants = {p.merchant_id for p in self.within(time, window)}
            features[f"user_merchant_distinct_{name}"] = len(merchants)
        return features


@dataclass
class MerchantOracle:
    """All transactions and labels of one merchant, in order of arrival."""

    counted: list[tuple[str, int]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    newest: int | None = None

    def fold(self, transaction_id: str, time: int) -> Answer:
        self.counted.append((transaction_id, time))
        self.newest = time if self.newest is None else max(self.newest, time)
        return Answer(self.features_as_of(time), self.is_late(time), repeat=False)

    def fold_label(self, report: Report) -> None:
        same = (report.transaction_id, report.observed_time_ms, report.is_fraud)
        if same not in [(r.transaction_id, r.observed_time_ms, r.is_fraud) for r in self.reports]:
            self.reports.append(report)

    def is_late(self, time: int) -> bool:
        return self.newest is not None and self.newest - time > D

    def is_fraud(self, transaction_id: str, time: int) -> bool:
        seen = [
            report
            for report in self.reports
            if report.transaction_id == transaction_id and report.observed_time_ms <= time
        ]
        # `sorted` keeps the order of arrival among equal observed times.
        return bool(seen) and sorted(seen, key=lambda report: report.observed_time_ms)[-1].is_fraud

    def within(self, time: int, window: int) -> list[str]:
        return [key for key, t in self.counted if time - DELAY - window < t <= time - DELAY]

    def features_as_of(self, time: int) -> dict[str, int | float | None]:
        features: dict[str, int | float | None] = {}
        for name, window in MERCHANT_WINDOWS.items():
            ids = self.within(time, window)
            frauds = [key for key in ids if self.is_fraud(key, time)]
            features[f"merchant_transaction_count_{name}_delay_7d"] = len(ids)
            features[f"merchant_fraud_rate_{name}_delay_7d"] = (
                len(frauds) / len(ids) if ids else 0.0
            )
        return features

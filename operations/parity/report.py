"""What parity found: counts and the first differences, for the feature log and each other surface.

Data and words only; knows nothing of how values are read or compared. Filled by `recomputation`
and `surfaces`, read by the command line and by the promotion gate.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Final, TypeAlias

Value: TypeAlias = int | float | None
"""The value of a feature."""

DIFFERENCES_KEPT: Final = 10
COUNTS: Final = ("checked", "mismatched", "missing", "extra")
FEATURE_LOG: Final = "feature_log"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what the recomputation gives.

    Attributes:
        transaction_id: of the row or the decision; for Redis the id of the user or merchant.
        feature: its name, or what else differs.
        logged: the value that was found, or its absence in words.
        recomputed: the value that was recomputed.
    """

    transaction_id: str
    feature: str
    logged: Value | str
    recomputed: Value | str


@dataclass(slots=True)
class FeatureLogReport:
    """What the comparison of the feature log found.

    Attributes:
        rows: rows compared.
        checked: values compared.
        mismatched: values, or marks of approximation, that differ.
        late_labels: values that differ because of a label that reached Kafka only after the row
            was computed: the reporter was late, the system was not. Not in `mismatched`.
        missing: valid transactions without a feature row.
        extra: feature rows without a transaction.
        gaps: rows whose user had earlier events that are not in the log.
        repeats: rows of a transaction that had one before; not compared.
        conflicting_ids: transaction ids that two users have used. Their features are compared as
            all others; this is the mistake of a producer and no mismatch.
        differences: the first few.
    """

    rows: int = 0
    checked: int = 0
    mismatched: int = 0
    late_labels: int = 0
    missing: int = 0
    extra: int = 0
    gaps: int = 0
    repeats: int = 0
    conflicting_ids: set[str] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the feature log is what the recomputation gives, apart from late labels."""
        return not (self.mismatched or self.missing or self.extra or self.gaps)

    def keep(self, difference: Difference) -> None:
        """Keep a difference if it is one of the first; counting it is the caller's part."""
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append(difference)


@dataclass(slots=True)
class SurfaceReport:
    """What the comparison of one surface with the recomputation found.

    Attributes:
        checked: values compared.
        mismatched: of them, those that differ.
        missing: transactions or entities that should be on the surface and are not.
        extra: what is on the surface and comes from nothing in the logs.
        repeats: further records of a transaction; only the first one is compared.
        newer: records that came after the feature log was read; not compared.
        conflicting: decisions on the row of another user than the first one, for ids that two
            users have used; compared with the row that they name. Not in `mismatched`.
        differences: the first few.
    """

    checked: int = 0
    mismatched: int = 0
    missing: int = 0
    extra: int = 0
    repeats: int = 0
    newer: int = 0
    conflicting: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the surface is what the recomputation gives, and nothing else is on it."""
        return not (self.mismatched or self.missing or self.extra)

    def differs(
        self, identity: str, name: str, *, found: Value | str, recomputed: Value | str
    ) -> None:
        """Count a value that differs, and keep it if it is one of the first."""
        self.mismatched += 1
        self.keep(Difference(identity, name, found, recomputed))

    def keep(self, difference: Difference) -> None:
        """Keep a difference if it is one of the first; counting it is the caller's part."""
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append(difference)


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The feature log and every other surface that was asked for.

    Attributes:
        feature_log: of the feature log itself.
        surfaces: the others, by name.
    """

    feature_log: FeatureLogReport
    surfaces: dict[str, SurfaceReport]

    @property
    def is_clean(self) -> bool:
        """Whether every surface is what the recomputation gives."""
        surfaces = self.surfaces.values()
        return self.feature_log.is_clean and all(surface.is_clean for surface in surfaces)

    @property
    def checked(self) -> int:
        """Values compared on all surfaces together."""
        return sum(counts["checked"] for counts in self.counts().values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Give checked, mismatched, missing and extra of each surface, the feature log first."""
        everything: dict[str, FeatureLogReport | SurfaceReport] = {
            FEATURE_LOG: self.feature_log,
            **self.surfaces,
        }
        return {
            name: {count: getattr(report, count) for count in COUNTS}
            for name, report in everything.items()
        }

    def to_json(self) -> str:
        """Give one line of JSON: the sums, the counts of the feature log alone, each surface."""
        counts = self.counts()
        sums = {name: sum(of_surface[name] for of_surface in counts.values()) for name in COUNTS}
        log = self.feature_log
        return json.dumps(
            {
                **sums,
                "rows": log.rows,
                "late_labels": log.late_labels,
                "gaps": log.gaps,
                "repeats": log.repeats,
                "conflicting": len(log.conflicting_ids),
                "conflicting_ids": sorted(log.conflicting_ids)[:DIFFERENCES_KEPT],
                "surfaces": {
                    FEATURE_LOG: {
                        **counts[FEATURE_LOG],
                        "differences": [asdict(each) for each in log.differences],
                    },
                    **{name: asdict(surface) for name, surface in self.surfaces.items()},
                },
            }
        )


def describe_parity_failure(report: ParityReport) -> str | None:
    """Say in one line which counts are not 0, and for which ids; None if parity is 0.

    Examples:
        >>> log = FeatureLogReport(rows=3, checked=78, mismatched=1, gaps=1)
        >>> log.keep(Difference("t-7", "user_amount_sum_1h", 1, 2))
        >>> describe_parity_failure(ParityReport(log, {"decisions": SurfaceReport(missing=4)}))
        'feature_log has 1 mismatched, decisions has 4 missing, feature_log has 1 gaps; first: t-7'
    """
    if report.is_clean:
        return None
    wrong = [
        f"{surface} has {number} {count}"
        for surface, counts in report.counts().items()
        for count, number in counts.items()
        if number and count != "checked"
    ]
    if report.feature_log.gaps:
        wrong.append(f"{FEATURE_LOG} has {report.feature_log.gaps} gaps")
    differences = list(report.feature_log.differences)
    for surface_report in report.surfaces.values():
        differences += surface_report.differences
    ids = list(dict.fromkeys(difference.transaction_id for difference in differences))
    named = f"; first: {', '.join(ids[:DIFFERENCES_KEPT])}" if ids else ""
    return ", ".join(wrong) + named

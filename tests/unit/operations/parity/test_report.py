import orjson

from operations.parity.report import (
    Difference,
    FeatureLogReport,
    ParityReport,
    SurfaceReport,
    describe_parity_failure,
)


def test_the_sums_are_those_of_all_surfaces_and_each_is_told() -> None:
    log = FeatureLogReport(rows=1, checked=7, late_labels=2, repeats=3)
    report = ParityReport(log, {"decisions": SurfaceReport(checked=5, newer=4)})
    assert report.is_clean
    assert report.checked == 12
    line = orjson.loads(report.to_json())
    counted = {name: line[name] for name in ("checked", "rows", "late_labels", "repeats", "gaps")}
    assert counted == {"checked": 12, "rows": 1, "late_labels": 2, "repeats": 3, "gaps": 0}
    assert line["surfaces"]["decisions"]["newer"] == 4
    assert line["surfaces"]["feature_log"]["checked"] == 7


def test_a_failure_names_every_count_that_is_not_0() -> None:
    clean = FeatureLogReport(rows=1, checked=26, late_labels=1, repeats=1)
    assert describe_parity_failure(ParityReport(clean, {"decisions": SurfaceReport()})) is None
    wrong = FeatureLogReport(checked=26, mismatched=2, missing=1, extra=3, gaps=4)
    redis = SurfaceReport(checked=9, mismatched=5)
    assert describe_parity_failure(ParityReport(wrong, {"online_users": redis})) == (
        "feature_log has 2 mismatched, feature_log has 1 missing, feature_log has 3 extra, "
        "online_users has 5 mismatched, feature_log has 4 gaps"
    )


def test_only_the_first_differences_are_kept_but_all_are_counted() -> None:
    log, surface = FeatureLogReport(), SurfaceReport()
    for number in range(12):
        log.keep(Difference(f"t{number}", "f", 1, 2))
        surface.differs(f"t{number}", "f", found=1, recomputed=2)
    assert len(log.differences) == len(surface.differences) == 10
    assert surface.mismatched == 12

"""The section of the benchmark page about rollouts, and its picture, for `report` and `plots`."""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]

DESCRIPTIONS = {
    "null_canary": "canary, nothing wrong",
    "null_canary_few_users": "the same with 500 very different users",
    "harm_canary": "canary, loss 20 % larger",
    "null_ab": "A/B test, no difference",
    "null_ab_few_users": "the same with 500 very different users",
    "better_ab": "A/B test, loss 20 % smaller",
}


def parts(entry: Entry) -> dict[str, dict[str, Any]]:
    """What was measured, by part."""
    return {row["part"]: row["median"] for row in entry["rows"]}


def simulated(entry: Entry) -> list[list[str]]:
    """One line for each kind of rollout: how many, what became of them, and their sample."""
    lines = []
    for name, found in parts(entry).items():
        if name in DESCRIPTIONS:
            count = found["rollouts"]
            actions = ", ".join(
                f"{action} {number} ({number / count:.1%})"
                for action, number in found["actions"].items()
            )
            lines.append(
                [
                    DESCRIPTIONS[name],
                    f"{count:,}",
                    actions.replace("_", " "),
                    *(_ratio(found, each) for each in ("ratio_median", "ratio_mean", "ratio_p90")),
                ]
            )
    return lines


def costs(entry: Entry) -> list[list[str]]:
    """CPU of a decision and its mature label by strategy, us, in batches of three sizes."""
    found = parts(entry).get("cost", {})
    return [
        [strategy, *(f"{found[f'{strategy}_{batch}']:.2f}" for batch in (500, 2_000, 10_000))]
        for strategy in ("canary", "ab", "bandit")
        if f"{strategy}_500" in found
    ]


def regret_sentence(entry: Entry) -> str:
    """The bandit's regret relative to equal shares."""
    found = parts(entry).get("bandit")
    if found is None:
        return ""
    return (
        f"A bandit of {len(found['relative_losses'])} arms, {found['days']} days of "
        f"{found['events_per_day']:,} decisions, labels after 30 days: its regret is "
        f"{found['regret_share']:.0%} of that of equal shares, in the mean of "
        f"{found['rollouts']} runs."
    )


def draw_regret(entry: Entry, axes: Any) -> None:
    """Regret by day, of the bandit and of equal shares."""
    found = parts(entry).get("bandit")
    if found is None:
        axes[0].set_visible(False)
        return
    days = range(len(found["regret"]))
    axes[0].plot(days, found["regret_equal"], color="#8c8c8c", label="equal shares")
    axes[0].plot(days, found["regret"], color="#3b6ea8", label="bandit, mean")
    axes[0].fill_between(
        days, found["regret"], found["regret_p90"], color="#9dbbdd", label="to its 90th percentile"
    )
    axes[0].set(xlabel="day", ylabel="loss above that of the best arm", title="regret")
    axes[0].legend(frameon=False)


def _ratio(found: dict[str, Any], name: str) -> str:
    return f"{found[name]:.2f}" if name in found else ""

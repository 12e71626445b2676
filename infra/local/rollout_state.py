"""The active rollout as scorer and API of the local stack have it. Called by `weir status`.

The API says it at `/ready`; of the scorer only its metrics page tells which versions are loaded, if
it has a port (`WEIR_WORKER_METRICS_PORT`).
"""

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from clients import probes
from schemas.settings import Settings

_LOADED: Final = "scoring_rollout_arm_loaded"
_READY_STATUSES: Final = (200, 503)


def read_rollout(settings: Settings) -> list[str]:
    """Ask API and scorer; give sentences, none without an active rollout or without an answer."""
    api = f"http://{settings.api_host}:{settings.api_port}/ready"
    answer = probes.get_json(api, statuses=_READY_STATUSES) or {}
    found = answer.get("rollout")
    if found is None:
        return []
    page = None
    if settings.worker_metrics_port:
        page = probes.get_text(f"http://127.0.0.1:{settings.worker_metrics_port}/metrics")
    return described(found, page)


def described(rollout: Mapping[str, Any], scorer_page: str | None) -> list[str]:
    """Give a sentence on a rollout, and one on what each process has loaded.

    Args:
        rollout: as `/ready` gives it.
        scorer_page: the scorer's metrics; None if it shows none.
    """
    name, arms = rollout["rollout_id"], rollout["arms"]
    stage = f", stage {rollout['stage'] + 1}" if rollout["strategy"] == "canary" else ""
    shares = ", ".join(f"{arm['name']} {arm['share']:.4g}" for arm in arms)
    sentences = [
        f"rollout {name}: {rollout['strategy']}, {rollout['status']}{stage}, shares {shares}; "
        f"`weir rollout status {name}` says why"
    ]
    of_api = {arm["name"]: "; ".join(arm["refused"]) or arm["loaded"] for arm in arms}
    sentences.append(_of_process("api", arms, of_api))
    if scorer_page is not None:
        loaded = _loaded(scorer_page, name)
        sentences.append(_of_process("scorer", arms, loaded))
    return sentences


def _of_process(process: str, arms: list[dict[str, Any]], loaded: Mapping[str, bool | str]) -> str:
    parts = []
    for arm in arms:
        state = loaded.get(arm["name"], False)
        word = ("loaded" if state else "not loaded") if isinstance(state, bool) else "refused"
        why = f" ({state})" if isinstance(state, str) else ""
        parts.append(f"{arm['name']} version {arm['version']} is {word}{why}")
    return f"{process}: {', '.join(parts)}"


def _loaded(page: str, rollout_id: str) -> dict[str, bool]:
    return {
        sample.labels["arm"]: sample.value > 0
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == _LOADED and sample.labels["rollout"] == rollout_id
    }

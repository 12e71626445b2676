"""The file of the API keys: what is in it, who may read it, and what a broken one does."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scoring.http.keys import key_file
from scoring.http.keys.api_key import SCOPES, ApiKey, key_id_of, new_key
from scoring.http.keys.key_file import ApiKeysFileError, change_keys, read_keys


def made(name: str = "shop", rate_per_s: int | None = None) -> tuple[ApiKey, str]:
    return new_key(name=name, scopes=frozenset(SCOPES), created_ms=17, rate_per_s=rate_per_s)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return key_file.key_file(tmp_path / "data")


def test_keys_are_read_as_they_were_written(path: Path) -> None:
    assert read_keys(path) == {}
    (first, _), (second, _) = made(), made("büro", rate_per_s=7)
    for key in (first, second):
        change_keys(path, lambda keys, key=key: {**keys, key.key_id: key})
    assert read_keys(path) == {first.key_id: first, second.key_id: second}


def test_the_file_holds_no_key_and_only_its_owner_may_read_it(path: Path) -> None:
    key, text = made()
    change_keys(path, lambda keys: {key.key_id: key})
    assert text.rpartition("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_id_of(text) == key.key_id
    assert key.is_of(text)
    assert not key.is_of(made()[1])


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    keys = [made()[0] for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: change_keys(path, lambda old: {**old, key.key_id: key}), keys))
    assert read_keys(path).keys() == {key.key_id for key in keys}


def test_there_is_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_file, "KEYS_MAX", 1)
    change_keys(path, lambda keys: {"a": made()[0]})
    before = path.read_bytes()
    with pytest.raises(ApiKeysFileError, match="the most there may be"):
        change_keys(path, lambda keys: {**keys, "b": made()[0]})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"keys": None},
        {"keys": [{}]},
        {"keys": [7]},
        {"sha256": "00"},
        {"scopes": []},
        {"scopes": ["root"]},
        {"rate_per_s": 0},
        {"rate_per_s": "7"},
    ],
    ids=str,
)
def test_a_file_that_is_not_as_we_write_it_is_refused(
    path: Path, damage: dict[str, object]
) -> None:
    key, _ = made()
    change_keys(path, lambda keys: {key.key_id: key})
    content = json.loads(path.read_text())
    target = content if damage.keys() <= content.keys() else content["keys"][0]
    target.update(damage)
    path.write_text(json.dumps(content))
    with pytest.raises(ApiKeysFileError, match="cannot be used"):
        read_keys(path)
    with pytest.raises(ApiKeysFileError):
        change_keys(path, lambda keys: keys)

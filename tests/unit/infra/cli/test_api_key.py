"""`weir api-key`: a key is shown once, and revoked by its id."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from scoring.http.keys.key_file import key_file, read_keys


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path


def weir(data_dir: Path, *arguments: str) -> Result:
    runner = CliRunner(env={"WEIR_DATA_DIR": str(data_dir)})
    return runner.invoke(app, ["api-key", *arguments])


def test_a_key_is_made_shown_once_listed_and_revoked(data_dir: Path) -> None:
    result = weir(data_dir, "create", "shop", "--scope", "read", "--scope", "predict")
    assert result.exit_code == 0, result.output
    text = result.stdout.strip()
    (key,) = read_keys(key_file(data_dir)).values()
    assert key.is_of(text)
    assert key.scopes == {"predict", "read"}
    assert "WEIR_API_KEYS_REQUIRED" in result.stderr

    listed = weir(data_dir, "list").stdout
    assert key.key_id in listed
    assert text not in listed
    fields = json.loads(weir(data_dir, "list", "--json").stdout)
    assert (fields["name"], fields["scopes"]) == ("shop", ["predict", "read"])
    assert "sha256" not in fields

    assert weir(data_dir, "revoke", key.key_id).exit_code == 0
    assert read_keys(key_file(data_dir)) == {}


def test_a_key_may_only_score_unless_told_otherwise(data_dir: Path) -> None:
    assert weir(data_dir, "create", "shop", "--rate-per-s", "7").exit_code == 0
    (key,) = read_keys(key_file(data_dir)).values()
    assert (key.scopes, key.rate_per_s) == ({"predict"}, 7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "shop", "--scope", "root"), "none of predict, read, operate"),
        (("create", "a\nb"), "printable"),
        (("revoke", "nobody"), "there is no key nobody"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    data_dir: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = weir(data_dir, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert read_keys(key_file(data_dir)) == {}

import re

from tests.model_files import training_table
from training.datasets.lineage import code_version, table_digest


def test_the_code_version_is_a_commit_or_the_version_of_the_package() -> None:
    assert re.fullmatch(r"[0-9a-f]{12,}(-dirty)?|.*-g[0-9a-f]{12,}(-dirty)?|weir [\d.]+",
                        code_version())  # fmt: skip


def test_equal_tables_have_equal_digests_and_one_value_changes_it() -> None:
    table = training_table()
    assert table_digest(table) == table_digest(training_table())
    changed = table.copy()
    changed.loc[7, "amount_minor"] += 1
    assert table_digest(changed) != table_digest(table)
    labelled = table.assign(is_fraud=~table["is_fraud"])
    assert table_digest(labelled) != table_digest(table)

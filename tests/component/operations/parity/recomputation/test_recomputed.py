from features.definitions import FEATURE_NAMES
from tests.parity_world import true_system


def test_the_recomputation_is_the_row_to_the_last_value() -> None:
    system = true_system()
    assert len(system.recomputed) == len(system.rows)
    for row in system.rows:
        features = system.recomputed.features(
            system.recomputed.position(row.transaction.transaction_id)
        )
        assert list(features) == list(FEATURE_NAMES)
        assert features == row.features

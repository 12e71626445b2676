import numpy as np

from models.encoding.table import encode_table, vector_spec
from tests.model_files import trained, training_table
from training.fitting.fit import ForestParameters, fit_forest


def test_equal_seeds_grow_equal_forests_whatever_the_number_of_threads() -> None:
    table = training_table(200)
    spec = vector_spec(table)
    vectors = encode_table(table, spec)
    scores = [
        fit_forest(
            table, spec, parameters=ForestParameters(trees=5, depth_max=4), seed=3, jobs=jobs
        ).predict_proba(vectors)
        for jobs in (1, 2)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_the_parameters_bound_the_forest() -> None:
    forest = trained().forest
    assert len(forest.estimators_) == 20
    assert max(tree.get_depth() for tree in forest.estimators_) == 6


def test_the_second_column_is_the_probability_of_fraud() -> None:
    model = trained()
    scores = model.forest.predict_proba(encode_table(model.table, model.spec))[:, 1]
    fraud = model.table["is_fraud"]
    assert scores[fraud].mean() > scores[~fraud].mean() + 0.3


def test_weighted_frauds_change_the_splits_but_not_what_a_score_means() -> None:
    table = training_table(3_000)
    spec = vector_spec(table)
    plain, weighted = (
        fit_forest(
            table, spec, parameters=ForestParameters(depth_max=4, fraud_weight=weight), seed=3
        ).predict_proba(encode_table(table, spec))[:, 1]
        for weight in (1.0, 20.0)
    )
    share = table["is_fraud"].mean()
    assert (plain != weighted).any()
    assert abs(plain.mean() - share) < 0.01
    assert abs(weighted.mean() - share) < 0.03

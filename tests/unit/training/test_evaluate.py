from tests.model_files import trained, training_table
from training.evaluate import Evaluation, evaluate


def test_a_model_that_tells_apart_is_better_than_a_guess() -> None:
    model = trained()
    test = training_table(200, seed=99)
    evaluation = evaluate(model.forest, test, model.spec)
    assert evaluation.rows == 200
    assert evaluation.frauds == int(test["is_fraud"].sum())
    assert evaluation.auc is not None
    assert evaluation.average_precision is not None
    assert evaluation.auc > 0.8
    assert evaluation.average_precision > evaluation.frauds / evaluation.rows


def test_a_test_part_of_one_class_has_no_figures_rather_than_wrong_ones() -> None:
    model = trained()
    test = training_table(50).query("not is_fraud")
    evaluation = evaluate(model.forest, test, model.spec)
    assert (evaluation.auc, evaluation.average_precision) == (None, None)
    assert evaluation.as_metrics() == {"test_rows": float(len(test)), "test_frauds": 0.0}


def test_metrics_are_named_for_the_test_part() -> None:
    metrics = Evaluation(rows=10, frauds=1, auc=0.9, average_precision=0.5).as_metrics()
    assert metrics == {
        "test_rows": 10.0,
        "test_frauds": 1.0,
        "test_auc": 0.9,
        "test_average_precision": 0.5,
    }

import numpy as np

from models.artifact.trees import Trees
from models.encoding.table import encode_table
from tests.model_files import trained, training_table
from training.fitting import plots

PNG = b"\x89PNG\r\n\x1a\n"


def test_each_picture_is_a_png_and_the_same_bytes_for_the_same_model() -> None:
    model, table = trained(), training_table(200, seed=99)
    scores = Trees(model.files.trees).scores(encode_table(table, model.spec))
    drawn = [
        [
            plots.precision_recall(table, scores),
            plots.calibration(table, scores),
            plots.importance(model.spec.columns, model.forest.feature_importances_),
        ]
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3
    for picture in drawn[0]:
        assert picture.startswith(PNG)
        assert len(picture) > 5_000
    other = plots.precision_recall(table, np.flip(scores))
    assert other != drawn[0][0]

import numpy as np

from models.artifact.trees import Trees
from models.encoding.table import encode_table
from tests.model_files import trained


def test_lists_and_arrays_of_any_layout_score_alike() -> None:
    model = trained()
    trees = Trees(model.files.trees)
    vectors = encode_table(model.table, model.spec)
    wanted = trees.scores(vectors)
    assert trees.scores(vectors.tolist()).tolist() == wanted.tolist()
    assert trees.scores(np.asfortranarray(vectors)).tolist() == wanted.tolist()


def test_no_vectors_have_no_scores() -> None:
    assert Trees(trained().files.trees).scores([]).tolist() == []

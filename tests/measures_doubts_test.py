import numpy as np
import pytest

from rra_keras.measures import doubts
from rra_keras.runs import files

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0, 0.0],
        [0.7, 0.2, 0.1, 0.0],
        [0.1, 0.9, 0.0, 0.0],  # class 1 at its mean: doubted
        [0.3, 0.5, 0.2, 0.0],  # class 1 ahead, but below its mean
        [0.3, 0.6, 0.1, 0.0],  # class 1 is the answer still, though class 2's mean is low
        [0.0, 1.0, 0.0, 0.0],
        [0.6, 0.35, 0.05, 0.0],  # class 0 at its mean: doubted
        [0.55, 0.0, 0.45, 0.0],  # class 0 ahead and above its mean, but so is the label
        [0.0, 0.15, 0.15, 0.7],  # class 3 has no image, and no mean
    ]
)  # means: 2.0 / 4 = 0.5, 1.95 / 3 = 0.65, 0.6 / 2 = 0.3


def test_doubted_labels_by_hand():
    assert doubts.doubted_labels(LABELS, PROBABILITIES).tolist() == [2, 6]
    # Twice as sure of class 1: its mean is out of reach of image 2.
    surer = PROBABILITIES.copy()
    surer[[4, 6], 1] = 0.95, 0.9
    assert doubts.doubted_labels(LABELS, surer).tolist() == []


def test_nothing_is_doubted_where_all_is_right_or_all_the_same():
    assert doubts.doubted_labels(LABELS, np.eye(4)[LABELS]).tolist() == []
    assert doubts.doubted_labels(LABELS, np.full((9, 4), 0.25)).tolist() == []
    assert doubts.doubted_labels(np.zeros(0, int), np.zeros((0, 4))).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_labels_that_were_changed_are_found(seed):
    """Of 400 images that a model knows apart well, 20 labels are changed."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 400)
    logits = rng.normal(0, 1, (400, 5)) + 6 * np.eye(5)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    changed = rng.permutation(400)[:20]
    labels = truth.copy()
    labels[changed] = (truth[changed] + rng.integers(1, 5, 20)) % 5
    found = doubts.doubted_labels(labels, probabilities)
    assert len(set(found) & set(changed)) >= 19
    assert len(found) <= 25
    own = probabilities[found, labels[found]]
    assert (np.diff(own) >= 0).all()


def test_doubts_as_a_table():
    names = [f"{i}, a.jpg" for i in range(9)]
    classes = ["ant", "bee", "fly", "elk"]
    rows = doubts.doubt_rows([2, 6], LABELS, PROBABILITIES, classes, names)
    assert files.table(*rows) == (
        "file,label,predicted,label_probability,predicted_probability\n"
        '"2, a.jpg",ant,bee,0.1000,0.9000\n"6, a.jpg",bee,ant,0.3500,0.6000\n'
    )
    (numbered,), _ = doubts.doubt_rows([6], LABELS, PROBABILITIES, classes)
    assert numbered[:3] == [6, "bee", "ant"]

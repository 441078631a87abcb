"""What is held out, by class and by group."""

import numpy as np
import pytest

from rra_keras.data import splits


def test_groups_are_held_out_while_they_get_nearer_to_the_share():
    labels = np.zeros(100, int)
    groups = ["big"] * 60 + [f"small{i // 5}" for i in range(40)]
    drawn = splits.by_group(labels, groups, {"test": 0.20, "validation": 0.15}, seed=0)
    assert {name: len(part) for name, part in drawn.items()} == {
        "train": 65,
        "test": 20,
        "validation": 15,
    }


def test_groups_larger_than_twice_the_share_give_the_smallest():
    groups = ["a"] * 5 + ["b"] * 4 + ["c"] * 3
    drawn = splits.by_group(np.zeros(12, int), groups, {"validation": 0.1}, seed=0)
    assert drawn["validation"].tolist() == [9, 10, 11]


@pytest.mark.parametrize("seed", range(8))
def test_a_group_with_all_images_of_a_class_stays_in_train(seed):
    labels = [0, 0, 0, 0, 0, 1]
    drawn = splits.by_group(labels, list("abcdef"), {"test": 0.2, "validation": 0.15}, seed)
    assert 5 in drawn["train"]


def test_every_class_keeps_a_training_image():
    labels = [0] + [1] * 2 + [2] * 3 + [3] * 10
    drawn = splits.by_class(labels, {"test": 0.20, "validation": 0.15}, seed=0)
    held_out = {
        name: np.bincount(np.array(labels)[part], minlength=4) for name, part in drawn.items()
    }
    assert held_out["train"].tolist() == [1, 1, 1, 6]
    assert held_out["test"].tolist() == [0, 1, 1, 2]
    assert held_out["validation"].tolist() == [0, 0, 1, 2]


def test_classes_take_turns_until_there_are_enough():
    labels = np.repeat([3, 5, 7], [1, 20, 4])
    drawn = splits.by_turns(labels, 9)
    assert np.unique(labels[drawn], return_counts=True)[1].tolist() == [1, 4, 4]
    assert drawn.tolist() == sorted(drawn) == splits.by_turns(labels, 9).tolist()
    assert drawn.tolist() != splits.by_turns(labels, 9, seed=1).tolist()
    assert splits.by_turns(labels, 99).tolist() == list(range(25))

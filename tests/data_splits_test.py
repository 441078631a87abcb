"""What is held out, by class and by group."""

import numpy as np
import pytest

from rra_keras.data import splits

SHARES = {"test": 0.20, "validation": 0.15}


def test_the_shares_are_met_where_there_are_many():
    drawn = splits.by_key(np.zeros(10_000, int), range(10_000), SHARES, seed=0)
    assert {name: len(part) for name, part in drawn.items()} == {
        "train": 6398,
        "test": 2069,
        "validation": 1533,
    }
    other = splits.by_key(np.zeros(10_000, int), range(10_000), SHARES, seed=1)
    both = len(set(drawn["test"]) & set(other["test"]))
    assert 340 < both < 460  # 4 % of them by chance


def test_names_are_one_in_either_of_their_spellings():
    composed, decomposed = ["Gr\u00f6\u00dfe", "a", "b", "c"], ["Gro\u0308\u00dfe", "a", "b", "c"]
    drawn = [splits.by_key([0] * 4, names, SHARES, seed=0) for names in (composed, decomposed)]
    assert all((drawn[0][name] == drawn[1][name]).all() for name in drawn[0])


@pytest.mark.parametrize("seed", range(8))
def test_a_class_keeps_one_in_each_split_where_it_has_three(seed):
    labels = [0] + [1] * 2 + [2] * 3 + [3] * 10
    drawn = splits.by_key(labels, range(16), SHARES, seed)
    held_out = {
        name: np.bincount(np.array(labels)[part], minlength=4) for name, part in drawn.items()
    }
    assert (held_out["train"] >= 1).all()
    assert held_out["test"].tolist()[:3] == [0, 1, 1]
    assert held_out["validation"].tolist()[:3] == [0, 0, 1]


@pytest.mark.parametrize("seed", range(8))
def test_a_group_with_all_images_of_a_class_stays_in_train(seed):
    labels = [0, 0, 0, 0, 0, 1]
    drawn = splits.by_key(labels, list("abcdef"), SHARES, seed)
    assert 5 in drawn["train"]


@pytest.mark.parametrize("seed", range(8))
def test_groups_over_several_classes_are_never_torn(seed):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 4, 60), rng.integers(0, 12, 60)
    drawn = splits.by_key(labels, groups, SHARES, seed)
    held = [set(groups[part]) for part in drawn.values()]
    assert sum(map(len, held)) == len(set().union(*held)) == len(set(groups))
    assert set(labels[drawn["train"]]) == {0, 1, 2, 3}


def test_what_is_known_stays_where_it_was():
    known = {"a": "test", "b": "train", "c": "validation"}
    for seed in range(5):
        drawn = splits.by_key([0] * 6, "abcdef", SHARES, seed, known)
        assert 0 in drawn["test"]
        assert 1 in drawn["train"]
        assert 2 in drawn["validation"]


def test_classes_take_turns_until_there_are_enough():
    labels = np.repeat([3, 5, 7], [1, 20, 4])
    drawn = splits.by_turns(labels, 9)
    assert np.unique(labels[drawn], return_counts=True)[1].tolist() == [1, 4, 4]
    assert drawn.tolist() == sorted(drawn) == splits.by_turns(labels, 9).tolist()
    assert drawn.tolist() != splits.by_turns(labels, 9, seed=1).tolist()
    assert splits.by_turns(labels, 99).tolist() == list(range(25))

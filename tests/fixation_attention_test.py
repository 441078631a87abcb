import numpy as np
import pytest
from keras import ops

from rra_keras.layers import FixationAttention
from rra_keras.measures.fixations import combine, fit_attention, reads


def answer(layer, logits, scores, distinct):
    """Call the layer with `(B, K, …)`; it takes the places one after the other."""
    rows = np.concatenate(np.swapaxes(np.float32(logits), 0, 1))
    places = np.concatenate(np.swapaxes(np.float32(scores), 0, 1))[:, None]
    outputs = layer([ops.convert_to_tensor(each) for each in (rows, places, np.float32(distinct))])
    return {name: np.asarray(value) for name, value in outputs.items()}


@pytest.fixture
def seen():
    rng = np.random.default_rng(0)
    distinct = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0]])
    return rng.normal(0, 3, (4, 3, 5)), rng.normal(size=(4, 3)), distinct


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("sure_from", [None, 3.0])
def test_it_is_numpys(seen, temperature, sure_from):
    layer = FixationAttention()
    answer(layer, *seen)
    layer.temperature, layer.sure_from = temperature, sure_from
    found = answer(layer, *seen)
    logits, scores, weights = combine(*seen, temperature, sure_from)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    np.testing.assert_allclose(found["score"][:, 0], scores, atol=1e-4)
    np.testing.assert_allclose(found["weights"], weights, atol=1e-5)
    np.testing.assert_allclose(found["fixation_logits"], seen[0], atol=1e-6)
    counted = reads(seen[0].max(axis=-1), seen[2], sure_from)
    np.testing.assert_array_equal(found["reads"][:, 0], counted.sum(axis=1))


def test_one_fixation_is_the_answer():
    logits = np.random.default_rng(0).normal(size=(4, 1, 5))
    found = answer(FixationAttention(), logits, np.ones((4, 1)), np.ones((4, 1)))
    np.testing.assert_allclose(found["logits"], logits[:, 0], atol=1e-6)
    np.testing.assert_array_equal(found["weights"], 1)


def test_near_zero_the_most_evidence_takes_all(seen):
    logits, scores, _ = seen
    layer = FixationAttention()
    answer(layer, *seen)
    layer.temperature = 0.002
    found = answer(layer, logits, scores, np.ones((4, 3)))
    most = logits.max(axis=-1).argmax(axis=-1)
    np.testing.assert_allclose(found["logits"], logits[np.arange(4), most], atol=1e-3)


def test_it_is_read_in_order_until_the_evidence_is_enough():
    evidence, distinct = np.array([[1, 5, 9], [5, 1, 9], [1, 5, 2]]), [[1, 1, 1]] * 2 + [[1, 0, 1]]
    np.testing.assert_array_equal(reads(evidence, distinct, 4.0), [[1, 1, 0], [1, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_out_of_range_is_refused(seen, temperature):
    layer = FixationAttention()
    answer(layer, *seen)
    with pytest.raises(ValueError, match="`temperature`"):
        layer.temperature = temperature


def test_fitting_finds_that_the_first_place_is_enough_where_it_is():
    labels = np.arange(60) % 3
    logits = np.zeros((60, 2, 3))
    logits[np.arange(60), 0, labels] = 10
    logits[:, 1, 0] = 2
    _, sure_from = fit_attention(logits, np.ones((60, 2)), labels)
    assert sure_from <= 10
    assert reads(logits.max(axis=-1), np.ones((60, 2)), sure_from).sum() == 60


def test_fitting_reads_on_where_the_second_place_tells():
    labels = np.arange(60) % 3
    logits = np.zeros((60, 2, 3))
    logits[:, 0, 0] = 1
    logits[np.arange(60), 1, labels] = 10
    temperature, sure_from = fit_attention(logits, np.ones((60, 2)), labels)
    answers, _, weights = combine(
        logits, np.zeros((60, 2)), np.ones((60, 2)), temperature, sure_from
    )
    assert (answers.argmax(axis=-1) == labels).all()
    assert sure_from is None or sure_from > 1
    assert (weights[:, 1] > 0.5).all()

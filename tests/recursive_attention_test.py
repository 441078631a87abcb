import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from conftest import tensorflow_only
from keras import ops

from rra_keras import RecursiveAttention
from rra_keras.layers.recursive_attention import attend


def vectors(looks, batch=3, width=6):
    values = np.random.default_rng(0).normal(size=(looks, batch, width)).astype("float32")
    return [ops.convert_to_tensor(value) for value in values]


def randomize(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(0, 0.5, weight.shape) for weight in layer.weights])


def lstm_step(x, state, kernel, recurrent_kernel, bias):
    """One step of Hochreiter and Schmidhuber's cell, with a forget gate."""
    hidden, memory = state
    gates = np.split(x @ kernel + hidden @ recurrent_kernel + bias, 4, axis=-1)
    remember, forget, output = (scipy.special.expit(gates[i]) for i in (0, 1, 3))
    memory = forget * memory + remember * np.tanh(gates[2])
    return output * np.tanh(memory), memory


def reference(layer, looks):
    """`RecursiveAttention` in NumPy, each look's vector repeated `steps` times."""
    *cells, kernel, bias = [np.float64(weight) for weight in layer.get_weights()]
    states = [(np.zeros((3, layer.units)),) * 2 for _ in range(layer.depth)]
    sequence = []
    for vector in np.repeat(np.float64(looks), layer.steps, axis=0):
        x = vector
        for i in range(layer.depth):
            states[i] = lstm_step(x, states[i], *cells[3 * i : 3 * i + 3])
            x = states[i][0]
        sequence.append(x)
    sequence = np.stack(sequence, axis=1)  # (B, T, U)
    weights = scipy.special.softmax((sequence @ kernel + bias)[..., 0], axis=1)
    return np.einsum("btu,bt->bu", sequence, weights), sequence, weights


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("depth", [1, 2])
def test_outputs_equal_numpy(looks, depth):
    layer, inputs = RecursiveAttention(units=5, steps=3, depth=depth), vectors(looks)
    layer(inputs)
    randomize(layer)
    outputs, expected = layer(inputs), reference(layer, inputs)
    assert [output.shape for output in outputs] == [(3, 5), (3, 3 * looks, 5), (3, 3 * looks)]
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, value, atol=1e-5)


def test_one_look_may_come_without_a_list():
    layer, (vector,) = RecursiveAttention(units=5, steps=3), vectors(1)
    for alone, listed in zip(layer(vector), layer([vector]), strict=True):
        np.testing.assert_array_equal(alone, listed)


def test_uniform_attention_is_the_mean_of_the_states():
    layer, inputs = RecursiveAttention(units=5, steps=3), vectors(2)
    layer(inputs)
    layer.scorer.set_weights([np.zeros((5, 1)), np.ones(1)])
    aggregate, states, weights = layer(inputs)
    np.testing.assert_allclose(weights, np.full((3, 6), 1 / 6), atol=1e-6)
    np.testing.assert_allclose(aggregate, np.mean(states, axis=1), atol=1e-6)


def test_one_step_has_all_the_weight():
    layer, inputs = RecursiveAttention(units=5, steps=1), vectors(1)
    aggregate, states, weights = layer(inputs)
    np.testing.assert_array_equal(weights, np.ones((3, 1)))
    np.testing.assert_array_equal(aggregate, states[:, 0])


def test_weights_are_positive_and_sum_to_one():
    layer, inputs = RecursiveAttention(units=5, steps=4), vectors(2)
    layer(inputs)
    randomize(layer)
    _, _, weights = layer(inputs)
    assert (np.asarray(weights) > 0).all()
    assert np.ptp(weights) > 1e-3
    np.testing.assert_allclose(np.sum(weights, axis=1), np.ones(3), atol=1e-6)


def test_second_look_continues_the_state_of_the_first():
    once, inputs = RecursiveAttention(units=5, steps=4), vectors(1)
    _, long, _ = once(inputs)
    twice = RecursiveAttention(units=5, steps=2)
    twice(inputs * 2)
    twice.set_weights(once.get_weights())
    _, states, _ = twice(inputs * 2)  # the same look twice: four steps, as in one of four
    np.testing.assert_array_equal(states, long)


def test_later_look_leaves_the_earlier_states_alone():
    layer, (first, second) = RecursiveAttention(units=5, steps=2), vectors(2)
    _, one, _ = layer([first, second])
    _, other, _ = layer([first, -second])
    np.testing.assert_array_equal(one[:, :2], other[:, :2])
    assert (np.asarray(one[:, 2:]) != np.asarray(other[:, 2:])).all()


def test_attend_on_a_literal_case():
    states = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    aggregate, weights = attend(states, np.log([[[3.0], [1.0]]]).astype("float32"))
    np.testing.assert_allclose(weights, [[0.75, 0.25]], atol=1e-6)
    np.testing.assert_allclose(aggregate, [[0.75, 0.25]], atol=1e-6)


def test_paper_preset_of_the_layer_has_the_size_of_the_papers():
    layer = RecursiveAttention(units=512, steps=10)
    layer.build((None, 512))
    cell = 4 * (512 * 512 + 512 * 512 + 512)
    assert layer.count_params() == 2 * cell + 512 + 1


@tensorflow_only("its graph")
def test_graph_has_neither_loops_nor_slices_that_drop_an_axis():
    """What keeps the layer on a TFLite GPU delegate."""
    layer = RecursiveAttention(units=5, steps=3)
    signature = [[tf.TensorSpec((1, 6))] * 2]
    graph = tf.function(lambda x: layer(x), signature).get_concrete_function().graph
    operations = graph.get_operations()
    assert sum(op.type == "MatMul" for op in operations) >= 2 * 3 * 2  # unrolled
    assert not [op for op in operations if "While" in op.type]
    slices = [op for op in operations if op.type == "StridedSlice"]
    assert not [op for op in slices if op.get_attr("shrink_axis_mask")]


@pytest.mark.parametrize("name", ["units", "steps", "depth"])
def test_argument_below_one_is_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}`.*positive.*Received: {name}=0"):
        RecursiveAttention(**{"units": 4, "steps": 3} | {name: 0})


@pytest.mark.parametrize("shapes", [[(3, 6), (3, 5)], [(3, 7, 6)], [(3, 2, 6), (3, 6)]])
def test_looks_that_are_no_vectors_of_one_shape_are_refused(shapes):
    layer = RecursiveAttention(units=4, steps=3)
    with pytest.raises(ValueError, match=r"`vectors`.*Expected.*Received shapes"):
        layer([np.zeros(shape, "float32") for shape in shapes])

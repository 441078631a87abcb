import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from conftest import tensorflow_only
from keras import ops

from rra_keras import StepAttention
from rra_keras.layers.step_attention import attend


def vectors(batch=3, width=6):
    values = np.random.default_rng(0).normal(size=(batch, width)).astype("float32")
    return ops.convert_to_tensor(values)


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


def reference(layer, vector):
    """`StepAttention` in NumPy, the vector repeated `steps` times."""
    *cells, kernel, bias = [np.float64(weight) for weight in layer.get_weights()]
    states = [(np.zeros((3, layer.units)),) * 2 for _ in range(layer.depth)]
    sequence = []
    for _ in range(layer.steps):
        x = np.float64(vector)
        for i in range(layer.depth):
            states[i] = lstm_step(x, states[i], *cells[3 * i : 3 * i + 3])
            x = states[i][0]
        sequence.append(x)
    sequence = np.stack(sequence, axis=1)  # (B, T, U)
    weights = scipy.special.softmax((sequence @ kernel + bias)[..., 0], axis=1)
    return np.einsum("btu,bt->bu", sequence, weights), sequence, weights


@pytest.mark.parametrize("depth", [1, 2])
def test_outputs_equal_numpy(depth):
    layer, inputs = StepAttention(units=5, steps=3, depth=depth), vectors()
    layer(inputs)
    randomize(layer)
    outputs, expected = layer(inputs), reference(layer, inputs)
    assert [output.shape for output in outputs] == [(3, 5), (3, 3, 5), (3, 3)]
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, value, atol=1e-5)


def test_uniform_attention_is_the_mean_of_the_states():
    layer, inputs = StepAttention(units=5, steps=3), vectors()
    layer(inputs)
    layer.scorer.set_weights([np.zeros((5, 1)), np.ones(1)])
    aggregate, states, weights = layer(inputs)
    np.testing.assert_allclose(weights, np.full((3, 3), 1 / 3), atol=1e-6)
    np.testing.assert_allclose(aggregate, np.mean(states, axis=1), atol=1e-6)


def test_one_step_has_all_the_weight():
    layer, inputs = StepAttention(units=5, steps=1), vectors()
    aggregate, states, weights = layer(inputs)
    np.testing.assert_array_equal(weights, np.ones((3, 1)))
    np.testing.assert_array_equal(aggregate, states[:, 0])


def test_weights_are_positive_and_sum_to_one():
    layer, inputs = StepAttention(units=5, steps=4), vectors()
    layer(inputs)
    randomize(layer)
    _, _, weights = layer(inputs)
    assert (np.asarray(weights) > 0).all()
    assert np.ptp(weights) > 1e-3
    np.testing.assert_allclose(np.sum(weights, axis=1), np.ones(3), atol=1e-6)


def test_attend_on_a_literal_case():
    states = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    aggregate, weights = attend(states, np.log([[[3.0], [1.0]]]).astype("float32"))
    np.testing.assert_allclose(weights, [[0.75, 0.25]], atol=1e-6)
    np.testing.assert_allclose(aggregate, [[0.75, 0.25]], atol=1e-6)


def test_paper_preset_of_the_layer_has_the_size_of_the_papers():
    layer = StepAttention(units=512, steps=10)
    layer.build((None, 512))
    cell = 4 * (512 * 512 + 512 * 512 + 512)
    assert layer.count_params() == 2 * cell + 512 + 1


@tensorflow_only("its graph")
def test_graph_has_neither_loops_nor_slices_that_drop_an_axis():
    """What keeps the layer on a TFLite GPU delegate."""
    layer = StepAttention(units=5, steps=3)
    signature = [tf.TensorSpec((1, 6))]
    graph = tf.function(lambda x: layer(x), signature).get_concrete_function().graph
    operations = graph.get_operations()
    assert sum(op.type == "MatMul" for op in operations) >= 3 * 2 * 2  # unrolled
    assert not [op for op in operations if "While" in op.type]
    slices = [op for op in operations if op.type == "StridedSlice"]
    assert not [op for op in slices if op.get_attr("shrink_axis_mask")]


@pytest.mark.parametrize("name", ["units", "steps", "depth"])
def test_argument_below_one_is_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}`.*positive.*Received: {name}=0"):
        StepAttention(**{"units": 4, "steps": 3} | {name: 0})


def test_what_is_no_vector_is_refused():
    with pytest.raises(ValueError, match=r"`vector`.*Expected.*Received shape"):
        StepAttention(units=4, steps=3)(np.zeros((3, 7, 6), "float32"))

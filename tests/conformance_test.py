"""What every public layer has in common, in one table."""

import inspect
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tensorflow_only, weight_gradients
from keras import layers, ops, tree

import rra_keras.layers
from rra_keras.layers import (
    BoxJitter,
    BoxLocalizer,
    Calibration,
    CamLocalizer,
    CenterLocalizer,
    FixationAttention,
    Localizer,
    RandomLocalizer,
    RecursiveAttention,
    StepAttention,
    ZoomCrop,
)


class Row(NamedTuple):
    layer: type
    config: dict
    arguments: tuple  # of the call: `keras.InputSpec`s, nested as the layer takes them
    half_output: bool = True  # computes in half precision under a mixed policy
    xla: bool = True
    unused: tuple = ()  # inputs that the output does not depend on


IMAGES_AND_BOXES = [keras.InputSpec(shape=(2, 12, 9, 3)), keras.InputSpec(shape=(2, 4))]
FEATURES = keras.InputSpec(shape=(2, 5, 4, 6))
VECTOR = keras.InputSpec(shape=(2, 6))
SCORE_ROWS, ONE_ROWS = keras.InputSpec(shape=(4, 3)), keras.InputSpec(shape=(4, 1))
PLACES = keras.InputSpec(shape=(2, 2))
TABLE = {
    "zoom_crop_tf_image": Row(
        ZoomCrop,
        {"size": (5, 7), "method": "tf_image", "stride": 2},
        (IMAGES_AND_BOXES,),
        xla=False,
    ),
    "zoom_crop_gather": Row(
        ZoomCrop, {"size": (5, 7), "method": "gather", "stride": 2}, (IMAGES_AND_BOXES,)
    ),
    "cam_localizer": Row(
        CamLocalizer,
        {"spread": 1.5, "min_size": 0.2, "max_size": 0.9, "aspect": 1.5},
        (FEATURES,),
        half_output=False,
    ),
    "center_localizer": Row(
        CenterLocalizer,
        {"size": 0.4, "aspect": 2.0},
        (FEATURES,),
        half_output=False,
        unused=(0,),
    ),
    "box_localizer": Row(
        BoxLocalizer,
        {"filters": (4, 3), "span": 4},
        (FEATURES,),
        half_output=False,
    ),
    "box_jitter": Row(
        BoxJitter,
        {"shift": 0.2, "scale": 0.3, "seed": 3},
        (keras.InputSpec(shape=(2, 4)),),
        half_output=False,
    ),
    "step_attention": Row(StepAttention, {"units": 4, "steps": 3, "depth": 2}, (VECTOR,)),
    "fixation_attention": Row(
        FixationAttention, {"answer": "any"}, ([SCORE_ROWS, ONE_ROWS, PLACES],), half_output=False
    ),
    "calibration": Row(
        Calibration,
        {"dimensions": 2, "answer": "any"},
        ([keras.InputSpec(shape=(2, 3)), VECTOR],),
        half_output=False,
        unused=(1,),
    ),
}
# A base class; one that draws at each call (`localizers_test.py`); one that is made of models
# (`recursive_attention_test.py`).
ELSEWHERE = {Localizer, RandomLocalizer, RecursiveAttention}


@pytest.fixture(
    params=[
        pytest.param(name, marks=tensorflow_only("tf.image") if "tf_image" in name else ())
        for name in TABLE
    ]
)
def row(request):
    return TABLE[request.param]


def values(row):
    rng = np.random.default_rng(0)
    return tree.map_structure(
        lambda spec: rng.uniform(size=spec.shape).astype("float32"), row.arguments
    )


def symbols(row):
    return tree.map_structure(lambda spec: keras.Input(spec.shape[1:]), row.arguments)


def small_model(row):
    """The layer after a dense layer on each input, which make up the last outputs."""
    inputs = symbols(row)
    dense = tree.map_structure(
        lambda x: layers.Dense(x.shape[-1], "sigmoid", dtype="float32")(x), inputs
    )
    outputs = row.layer(**row.config)(*dense)
    return keras.Model(tree.flatten(inputs), [*tree.flatten(outputs), *tree.flatten(dense)])


def compile_by_xla(function):
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    return tf.function(function, jit_compile=True)


def assert_close(left, right, tolerance=1e-5):
    for a, b in zip(tree.flatten(left), tree.flatten(right), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=tolerance)


def test_every_public_layer_is_in_the_table():
    public = {
        each
        for each in vars(rra_keras.layers).values()
        if isinstance(each, type) and issubclass(each, keras.layers.Layer)
    }
    assert public == {row.layer for row in TABLE.values()} | ELSEWHERE


def test_config_holds_exactly_the_constructor_arguments(row):
    own = set(inspect.signature(row.layer).parameters) - {"kwargs"}
    config = row.layer(**row.config).get_config()
    assert set(config) == own | {"name", "trainable", "dtype"}
    assert {key: config[key] for key in own} == row.config


def test_config_round_trip(row):
    config = row.layer(**row.config, name="mine").get_config()
    assert row.layer.from_config(config).get_config() == config


def test_every_argument_but_the_required_ones_has_its_default_in_the_config(row):
    parameters = inspect.signature(row.layer).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.name != "kwargs"]
    config = row.layer(**{name: row.config[name] for name in required}).get_config()
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            assert config[parameter.name] == parameter.default


def test_symbolic_outputs_have_the_shapes_and_dtypes_of_eager_ones(row):
    layer = row.layer(**row.config)
    symbolic, eager = layer(*symbols(row)), layer(*values(row))
    tree.assert_same_structure(symbolic, eager)
    for a, b in zip(tree.flatten(symbolic), tree.flatten(eager), strict=True):
        assert (None, *b.shape[1:]) == a.shape
        assert keras.backend.standardize_dtype(b.dtype) == a.dtype


def test_reloaded_model_gives_identical_outputs(row, tmp_path):
    model, inputs = small_model(row), tree.flatten(values(row))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(model(inputs), reloaded(inputs), tolerance=0)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_mixed_precision(row, half):
    full = row.layer(**row.config)
    expected = tree.flatten(full(*values(row)))
    keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        layer = row.layer(**row.config)
        layer(*values(row))
        layer.set_weights(full.get_weights())
        outputs = tree.flatten(layer(*values(row)))
    finally:
        keras.config.set_dtype_policy("float32")
    for output in outputs:
        assert output.dtype == (half if row.half_output else "float32")
    assert_close([np.asarray(output, "float32") for output in outputs], expected, tolerance=0.02)


def test_gradients_reach_every_weight_and_input_that_has_a_say(row):
    inputs = tree.flatten(symbols(row))
    below = [
        layers.Dense(x.shape[-1], "sigmoid", dtype="float32", name=f"input_{i}")(x)
        for i, x in enumerate(inputs)
    ]
    layer = row.layer(**row.config)
    outputs = layer(*tree.pack_sequence_as(symbols(row), below))
    for variable in layer.trainable_variables:  # what starts at 0 lets nothing through
        variable.assign(np.random.default_rng(0).normal(0, 0.1, variable.shape))
    outputs = {str(i): y for i, y in enumerate(tree.flatten(outputs))}
    # Uneven, as the weights over steps add up to 1 whatever moves.
    gradients = weight_gradients(
        keras.Model(inputs, outputs),
        tree.flatten(values(row)),
        lambda ys: sum(ops.sum(ops.cumsum(ops.square(y), axis=-1)) for y in ys.values()),
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    unreached = {path.split("/")[0] for path, values in gradients.items() if not values.any()}
    assert unreached == {f"input_{i}" for i in row.unused}


def test_xla_gives_the_eager_outputs(row):
    layer = row.layer(**row.config)
    assert layer.supports_jit == row.xla
    if row.xla:
        expected = layer(*values(row))
        compiled = compile_by_xla(lambda *arguments: layer(*arguments))
        assert_close(compiled(*values(row)), expected)

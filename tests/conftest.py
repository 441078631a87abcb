import contextlib
import csv
import io
import sys

import keras
import numpy as np
import pytest
import tiny_backbone  # noqa: F401, it is a name from here on
from keras import layers, ops, tree
from PIL import Image

from rra_keras import RRAClassifier
from rra_keras.layers import Localizer
from rra_keras.measures.unknown import fit_known_score
from rra_keras.runs.collect import by_photo

TINY = {
    "num_classes": 3,
    "image_size": 64,
    "crop_size": 32,
    "glance_size": 32,
    "max_fixations": 2,
}


# Files that run the same code whatever Keras runs on: NumPy, tf.data, LiteRT, or TensorFlow alone.
SAME_UNDER_JAX = (
    "augment data_boxes data_box_files data_decode data_folder data_named data_pipeline "
    "data_sources odd_photos "
    "data_splits fgvc_aircraft synthetic_birds "  # tf.data
    "measures_calibration measures_doubts measures_faithfulness "
    "measures_localization measures_unknown "
    "benchmarks examples readme rooms run "  # NumPy and text
    "backbones classifier_arguments commands resume "  # Keras' layers, flags, files
    "devices explain_focus explain_explainer report "  # TensorFlow alone
    "classify export export_limits web "
    "final label_file several_labels_run trained typing wheel "  # files, whole runs, packages
    "imports processes"  # start processes under JAX themselves
).split()

# Files of a few tests that each take a minute, most of it in processes of their own.
LONGEST = "tour devices processes wheel several_labels_run train_with_boxes interrupt".split()

# Flags of `train.py` for small networks with batch norms and no dropout: the first is known in
# processes that import `tiny_backbone`, the second one everywhere.
_SMALL = "--weights=random --image_size=64 --glance_size=32 --crop_size=32".split()
_SMALL += ["--max_fixations=2", "--one_object"]
SMALL_TRAINING = ["--backbone=tiny", "--train_from=block_2", *_SMALL]
SMALL_MOBILENET = ["--backbone=mobilenet", "--train_from=conv_pw_13", *_SMALL]


class BrightLocalizer(Localizer):
    """Box what is brighter than half of the brightest, by its moments along each axis."""

    def call(self, features):
        height, width = features.shape[1:3]
        light = ops.mean(features, axis=-1)  # (B, h, w)
        light = ops.cast(light > 0.5 * ops.max(light, axis=(1, 2), keepdims=True), "float32")
        edges = []
        for axis, size in ((2, height), (1, width)):
            lit = ops.max(light, axis=axis)  # (B, h) or (B, w)
            place = (ops.arange(size, dtype="float32") + 0.5) / size
            edges.append(ops.min(ops.where(lit > 0, place, 1.0), axis=1) - 0.5 / size)
            edges.append(ops.max(ops.where(lit > 0, place, 0.0), axis=1) + 0.5 / size)
        y0, y1, x0, x1 = edges
        return ops.stack([y0, x0, y1, x1], axis=-1)


def spots(side):
    """Two black images of 64 pixels with a white square of so many pixels."""
    images = np.zeros((2, 64, 64, 3), "float32")
    images[0, 8 : 8 + side, 16 : 16 + side] = 255
    images[1, 20 : 20 + side, 12 : 12 + side] = 255
    return images


def command(main, *arguments, name="train.py"):
    """Run a command in this process; returns its exit status and what it printed.

    Args:
        main: the command's `main`.
        *arguments: what follows its name.
        name: what stands in `sys.argv[0]`.

    Returns:
        The status, standard output and standard error.
    """
    arguments = [str(argument) for argument in arguments]
    printed, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", [name, *arguments])
        try:
            status = main(arguments)
        except SystemExit as error:
            status = error.code
    return status, printed.getvalue(), errors.getvalue()


def last_line(text):
    """Return the last line that is not empty."""
    return text.strip().splitlines()[-1]


def history(run_dir):
    """Return the figures of each epoch of a run, a dict of `(epochs,)` by name."""
    rows = list(csv.DictReader((run_dir / "history.csv").read_text().splitlines()))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def tensorflow_only(what):
    """Mark tests of what there is under the TensorFlow backend alone."""
    return pytest.mark.skipif(
        keras.config.backend() != "tensorflow", reason=f"TensorFlow only: {what}"
    )


def gradient(function, x):
    """Return the gradient of a function with a scalar value at `x`, a NumPy array."""
    if keras.config.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(x))
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = function(x)
    return tape.gradient(loss, x).numpy()


def weight_gradients(model, images, loss):
    """Return the gradients of `loss(outputs)` by the paths of a model's trainable weights."""
    values = [variable.value for variable in model.trainable_variables]
    if keras.config.backend() == "jax":
        import jax

        images = tree.map_structure(ops.convert_to_tensor, images)
        others = [variable.value for variable in model.non_trainable_variables]
        gradients = jax.jit(
            jax.grad(
                lambda values: loss(model.stateless_call(values, others, images, training=True)[0])
            )
        )(values)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = loss(model(images, training=True))
        gradients = tape.gradient(total, values, unconnected_gradients="zero")
    paths = [variable.path for variable in model.trainable_variables]
    return {path: np.asarray(value) for path, value in zip(paths, gradients, strict=True)}


def pytest_configure(config):
    if keras.config.backend() == "jax":
        # Keras reads JAX variables by np.array, whose `copy` they do not know yet.
        config.addinivalue_line(
            "filterwarnings",
            "ignore:__array__ implementation:DeprecationWarning:keras.src",
        )


def pytest_ignore_collect(collection_path):
    if keras.config.backend() == "jax":
        name = collection_path.name.removesuffix("_test.py")
        if name != collection_path.name and name in SAME_UNDER_JAX:
            return True
    return None


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that no process ends long after the other."""
    items.sort(key=lambda item: item.path.name.removesuffix("_test.py") not in LONGEST)


def pytest_report_header():
    if keras.config.backend() == "jax":
        return f"{len(SAME_UNDER_JAX)} files left out that run the same code under TensorFlow"
    return None


@pytest.fixture(autouse=True, scope="module")
def forget():
    """Let go of what JAX compiled for a module's tests: gigabytes in the end."""
    yield
    if keras.config.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def backbone():
    """Two strided convolutions on raw 0…255: `(B, S, S, 3)` → `(B, S / 8, S / 8, 16)`."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(8, 5, 4, padding="same", activation="relu", name="block_0_conv")(x)
    x = layers.Conv2D(16, 3, 2, padding="same", activation="relu", name="block_1_conv")(x)
    return keras.Model(image, x, name="tiny")


@pytest.fixture(scope="session")
def batch():
    """Nine images, uint8, of noise with a bright square whose color is the label."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (9, 64, 64, 3), "uint8")
    labels = np.arange(9) % 3
    for image, label, (y, x) in zip(images, labels, rng.integers(0, 40, (9, 2)), strict=True):
        image[y : y + 24, x : x + 24, label] = 255
    return images, labels


@pytest.fixture(scope="session")
def build(backbone):
    """Build a tiny classifier, keywords replacing its arguments."""
    return lambda **overrides: RRAClassifier(**{"backbone": backbone} | TINY | overrides)


@pytest.fixture(scope="session")
def trained(build, batch):
    """A tiny classifier, trained; not to be changed."""
    keras.utils.set_random_seed(0)
    model = build(train_from="block_1")
    vote_at_random(model.attention.localizer)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(*batch, batch_size=9, epochs=3, verbose=0)
    return model


def vote_at_random(localizer):
    """Give a `BoxLocalizer` weights by which photos of `batch` need 0 to 2 refinements."""
    kernel = localizer.vote.kernel
    kernel.assign(np.random.default_rng(0).normal(0, 1.6, kernel.shape))


@pytest.fixture(scope="session")
def distinct(build, batch):
    """A tiny classifier that frames its object, trained until its answers lie apart.

    Its localizer has weights of its own, at random: photos need 0 to 2 refinements. Not to be
    changed.
    """
    keras.utils.set_random_seed(0)
    model = build(train_from="block_1", max_refinements=2, max_fixations=3)
    vote_at_random(model.attention.localizer)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(*batch, batch_size=9, epochs=30, verbose=0)
    seen = by_photo(model.view("fixation_logits", "vector").predict_on_batch(batch[0]), 9)
    known = fit_known_score(seen["fixation_logits"][:, 0], seen["vector"][:, 0], 64)
    model.calibration.learn(*known)
    model.calibration.temperature, model.calibration.known_from = 1.5, -2.0
    model.fixation_attention.temperature = 2.0
    return model


@pytest.fixture(scope="session")
def tflite_contents(distinct, batch):
    """The content of each TFLite file of `distinct`, by precision."""
    from export.convert import inference, tflite

    signatures = inference.Signatures(inference.rebuild(distinct, "gather"))
    return tflite.convert(signatures, images=list(batch[0][:4, None].astype("float32")))


@pytest.fixture(scope="session")
def plain(build):
    """A tiny plain backbone, and the content of its float32 TFLite file."""
    from export.convert import inference, tflite

    keras.utils.set_random_seed(0)
    model = build(localizer=None)
    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    return model, tflite.convert(signatures, ["fp32"])["fp32"]


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of three classes by ten photos of one color in noise, five groups a class."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    colors = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
    for name, color in colors.items():
        (folder / name).mkdir()
        for i in range(10):
            noise = rng.integers(0, 100, (48, 72, 3))
            pixels = np.clip(noise + np.array(color) // 2, 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"g{i // 2}_{i}.png")
    return folder

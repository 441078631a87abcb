"""Write tiny files of this version, for later versions to read: `python tests/golden_files.py`."""

import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "golden"
LABELS = ["blue", "green", "red"]


def image():
    """Return the photo that the files are asked about, `(64, 64, 3)` uint8, from a formula."""
    y, x = np.mgrid[:64, :64]
    spot = 255 * ((y - 40) ** 2 + (x - 20) ** 2 < 150)
    return np.stack([4 * x, 2 * (x ^ y), spot], axis=-1).astype("uint8")


def build(**overrides):
    """Return the model that the files hold: one look, three classes, untrained."""
    import keras
    from keras import layers

    from rra_keras import RRAClassifier

    keras.utils.set_random_seed(0)
    photos = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(photos)
    x = layers.Conv2D(8, 5, 4, padding="same", activation="relu", name="block_0")(x)
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="block_1")(x)
    arguments = {"num_classes": 3, "looks": 1, "steps": 2, "units": 4}
    arguments |= {"image_size": 64, "patch_size": 32}
    model = RRAClassifier(keras.Model(photos, x, name="tiny"), **arguments | overrides)
    for layer in model.layers:
        if isinstance(layer, layers.Dense):  # the classifiers: their answers would be alike
            layer.kernel.assign(1000 * layer.kernel)
    return model


def birds():
    """Return the first training image of four drawn sets side by side, `(56, 224, 3)` uint8."""
    from PIL import Image

    from rra_keras.datasets.synthetic_birds import SyntheticBirds, builder

    thumbnails = []
    for name in ("full", "far", "near", "pairs"):
        config = SyntheticBirds.builder_configs[name]
        example = builder.generate("train", 0, config.framing, config.species)
        photo = Image.open(example["image"])
        thumbnails.append(np.asarray(photo.reduce(photo.width // 56)))
    return np.concatenate(thumbnails, axis=1)


def write_birds(folder):
    """Write `birds.png`."""
    from PIL import Image

    Image.fromarray(birds()).save(folder / "birds.png", optimize=True)


def build_framing():
    """Return a model that looks until its object is framed, with a localizer of random weights."""
    localizer = {"name": "box", "filters": (8, 8)}
    model = build(localizer=localizer, train_from="block_1", glance_size=32, refinements=2)
    kernel = model.localizer.vote.kernel
    kernel.assign(np.random.default_rng(0).normal(0, 3.0, kernel.shape))
    return model


def write_tflite(folder):
    """Write `looks_fp16.tflite` and `looks_int8.tflite`, and `tflite.json` with what they say.

    Files of versions before, `model_fp16.tflite` and `model_int8.tflite`, stay as they are.
    """
    from PIL import Image

    from export import inference, quantize, tflite
    from export.classify import Classifier

    photo = image()
    signatures = inference.Signatures(inference.rebuild(build_framing(), "gather"))
    content = tflite.convert(signatures, ["fp32"])["fp32"]
    files = {
        "looks_fp16.tflite": quantize.half(content, least=64),  # nothing here is large
        "looks_int8.tflite": quantize.int8(content, [photo[None].astype("float32")], stride=4),
    }
    expected = json.loads((folder / "tflite.json").read_text())
    for name, smaller in files.items():
        metadata = {"image_size": 64, "confidence": 2.0, "refinements": 2}
        (folder / name).write_bytes(tflite.attach(smaller, LABELS, metadata))
        classifier = Classifier(folder / name)
        answers = {
            "full": classifier.classify(Image.fromarray(photo)),
            "glance": classifier.classify(Image.fromarray(photo), looks=0),
        }
        expected[name] = {
            kind: {"labels": answer.labels}
            | {
                field: np.round(np.float64(getattr(answer, field)), 5).tolist()
                for field in ("probabilities", "boxes", "step_weights")
            }
            for kind, answer in answers.items()
        }
    (folder / "tflite.json").write_text(json.dumps(expected, indent=2) + "\n")


def write_keras(model, folder):
    """Write `model.keras`, compiled and trained for a step, and `keras.json` with what it says."""
    import keras

    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    model.fit(image()[None], np.array([1]), verbose=0)
    model.save(folder / "model.keras")
    answers = {name: np.asarray(value) for name, value in model(image()[None]).items()}
    rounded = {name: np.round(np.float64(value), 5).tolist() for name, value in answers.items()}
    (folder / "keras.json").write_text(json.dumps(rounded, indent=2) + "\n")


def checkpoint(folder, model):
    """Return the `Checkpoint` of a training of `model` in `folder`, of 3 epochs by 2 steps."""
    from rra_keras.training.checkpoint import Checkpoint
    from rra_keras.runs import Run
    from rra_keras.training.stop import StopRequest

    checkpoint = Checkpoint(Run(folder), "val_logits_accuracy", 2, None, StopRequest(), True)
    checkpoint.set_model(model)
    return checkpoint


def write_state(model, folder):
    """Write `checkpoints/state.npz` of a training stopped in its second epoch."""
    kept = checkpoint(folder, model)
    kept.epoch, kept.step, kept.best = 1, 1, 0.5
    kept.on_train_end()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write_birds(FOLDER)
    write_tflite(FOLDER)
    tiny = build()
    write_keras(tiny, FOLDER)
    write_state(tiny, FOLDER)

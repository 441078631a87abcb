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
    """Return the model that the files hold: two fixations, three classes, untrained."""
    import keras
    from keras import layers

    from rra_keras import BoxLocalizer, RRAClassifier

    keras.utils.set_random_seed(0)
    photos = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(photos)
    x = layers.Conv2D(8, 5, 4, padding="same", activation="relu", name="block_0")(x)
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="block_1")(x)
    arguments = {"num_classes": 3, "image_size": 64, "crop_size": 32, "glance_size": 32}
    arguments |= {"localizer": BoxLocalizer((8, 8), name="localizer"), "max_refinements": 2}
    arguments |= {"max_fixations": 2, "train_from": "block_1"}
    model = RRAClassifier(keras.Model(photos, x, name="tiny"), **arguments | overrides)
    kernel = model.attention.localizer.vote.kernel
    kernel.assign(np.random.default_rng(0).normal(0, 3.0, kernel.shape))
    model.classifier.kernel.assign(1000 * model.classifier.kernel)  # else answers are alike
    return model


def birds():
    """Return the first training image of four drawn sets side by side, `(56, 224, 3)` uint8."""
    from PIL import Image

    from rra_keras.datasets.synthetic_birds import SyntheticBirds, builder

    thumbnails = []
    for name in ("full", "far", "near", "decoys"):
        config = SyntheticBirds.builder_configs[name]
        example = builder.generate("train", 0, config.framing)
        photo = Image.open(example["image"])
        thumbnails.append(np.asarray(photo.reduce(photo.width // 56)))
    return np.concatenate(thumbnails, axis=1)


def write_birds(folder):
    """Write `birds.png`."""
    from PIL import Image

    Image.fromarray(birds()).save(folder / "birds.png", optimize=True)


def write_tflite(folder):
    """Write `model_fp16.tflite` and `model_int8.tflite`, and `tflite.json` with what they say."""
    from PIL import Image

    from export.classify import Classifier
    from export.convert import inference, quantize, tflite
    from export.write import metadata

    photo, model = image(), build()
    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    content = tflite.convert(signatures, ["fp32"])["fp32"]
    files = {
        "model_fp16.tflite": quantize.half(content, least=64),  # nothing here is large
        "model_int8.tflite": quantize.int8(content, [photo[None].astype("float32")], stride=4),
    }
    expected = {}
    for name, smaller in files.items():
        (folder / name).write_bytes(tflite.attach(smaller, LABELS, metadata(model)))
        answer = Classifier(folder / name).classify(Image.fromarray(photo))
        expected[name] = {"labels": answer.labels} | {
            field: np.round(np.float64(getattr(answer, field)), 5).tolist()
            for field in ("probabilities", "boxes", "weights", "score")
        }
    (folder / "tflite.json").write_text(json.dumps(expected, indent=2) + "\n")


def write_keras(model, folder):
    """Write `model.keras`, compiled and trained for a step, and `keras.json` with what it says."""
    import keras

    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    model.fit(image()[None], np.array([1]), verbose=0)
    model.save(folder / "model.keras")
    answers = model.view("logits", "score", "boxes")(image()[None].astype("float32"))
    rounded = {name: np.round(np.float64(value), 5).tolist() for name, value in answers.items()}
    (folder / "keras.json").write_text(json.dumps(rounded, indent=2) + "\n")


def checkpoint(folder, model):
    """Return the `Checkpoint` of a training of `model` in `folder`, of 3 epochs by 2 steps."""
    from rra_keras.runs import Run
    from rra_keras.training.checkpoint import Checkpoint
    from rra_keras.training.stop import StopRequest

    checkpoint = Checkpoint(Run(folder), "val_accuracy", 2, None, StopRequest(), True)
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

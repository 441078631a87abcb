"""What each exported file must reach."""

import numpy as np

# `agreement`: least share of images whose first class is Keras'; `pieces_agreement`: the same
# where the device cuts the crops, piece by piece: a box at the limit of being framed may be looked
# into once more there; `boxes_max`, `boxes_p99`: most by which boxes may differ; `drop`: most
# accuracy to lose, beyond what chance explains; `gpu`: most by which boxes and probabilities on the
# GPU may differ from those on the CPU.
LIMITS = {
    "saved_model": {"agreement": 0.999, "boxes_max": 1e-3},
    "model_fp32.tflite": {
        "agreement": 0.999,
        "pieces_agreement": 0.99,
        "boxes_max": 1e-3,
        "gpu": 1e-2,
    },
    "model_fp16.tflite": {
        "agreement": 0.995,
        "pieces_agreement": 0.99,
        "boxes_p99": 1e-2,
        "gpu": 5e-2,
    },
    "model_int8.tflite": {"drop": 0.01},
}
# Where a photo is refined or read several times, what rounding moves a box by grows tenfold with
# each: TensorFlow's and LiteRT's boxes differ by half a pixel in one photo of ten, and photos near
# a tie change sides, in either direction.
RECURSIVE = {
    "agreement": 0.95,
    "pieces_agreement": 0.95,
    "boxes_p99": 1e-2,
    "drop": 0.01,
}
FEW = 50  # images, below which a share of them is too rough to judge by
ROUGH = 0.8  # the least share there
KNOWN = 0.95  # least share of images that are of any of the classes to the file as to Keras
HALF = 0.98  # least agreement in half floats that nothing is said about
CHANCE = 2.33  # standard errors that once in a hundred are exceeded: each file is checked twice
_WHOLE_ON_GPU = ("model_fp32.tflite", "model_fp16.tflite")


def failures(name, report, accuracy, images, compared=None, recursive=False):
    """Return what a file falls short of, a line each.

    Args:
        name: the file's.
        report: what was measured of it, by `export.verify.measure`.
        accuracy: Keras' on the validation split.
        images: the validation split's.
        compared: all images that were compared; `images` unless given.
        recursive: whether a photo may be refined or read several times.
    """
    limits, compared = LIMITS[name], compared or images
    if recursive and "pieces_agreement" in limits:
        limits = {k: v for k, v in limits.items() if k != "boxes_max"} | RECURSIVE
    least = {key: value for key, value in limits.items() if key.endswith("agreement")}
    least["known_agreement"] = KNOWN
    if compared < FEW:
        least = {key: min(value, ROUGH) for key, value in least.items()}
    on_gpu = report.get("gpu")
    one = 1 / compared + 1e-9  # one image may be more than a share allows
    drop = max(limits.get("drop", 1.0), 1 / images) + 1e-9
    chance = CHANCE * report["accuracy_error"]
    checks = [
        (report["finite"], "has outputs that are not finite"),
        (not report.get("flex_operators"), f"holds custom ops: {report.get('flex_operators')}"),
        (
            report["agreement"] >= least.get("agreement", 0.0) - one,
            f"agrees with Keras on {report['agreement']:.2%} of the images",
        ),
        (
            report["accuracy"] >= accuracy - drop - chance,
            f"has an accuracy of {report['accuracy']:.2%}, Keras of {accuracy:.2%}",
        ),
        (
            report.get("known_agreement", 1.0) >= least["known_agreement"] - one,
            f"knows what Keras knows for {report.get('known_agreement', 1.0):.2%} of the images",
        ),
    ]
    if pieces := report.get("by_fixation"):
        checks += [
            (
                pieces["agreement"] >= least.get("pieces_agreement", 0.0) - one,
                f"agrees with Keras on {pieces['agreement']:.2%} of the images, piece by piece",
            ),
            (
                pieces["accuracy"] >= accuracy - drop - CHANCE * pieces["accuracy_error"],
                f"has an accuracy of {pieces['accuracy']:.2%} piece by piece, Keras of "
                f"{accuracy:.2%}",
            ),
        ]
    for key in ("boxes_max", "boxes_p99"):
        if key in limits and f"{key}_difference" in report:
            apart = report[f"{key}_difference"]
            within = apart is not None and apart <= limits[key]
            checks.append((within, f"has boxes that differ from Keras' by {apart} ({key})"))
    if on_gpu:
        whole = on_gpu["fully_accelerated"] or name not in _WHOLE_ON_GPU
        checks.append((whole, f"does not run whole on the GPU: {on_gpu['unsupported']}"))
        apart = on_gpu.get("max_difference", {})
        apart = [value for key, value in apart.items() if key.endswith(("probabilities", "boxes"))]
        same = None not in apart and max(apart, default=0.0) <= limits.get("gpu", np.inf)
        checks.append((same, f"differs by {apart} on the GPU"))
    return [f"{name} {message}" for passed, message in checks if not passed]

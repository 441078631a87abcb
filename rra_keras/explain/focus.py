"""Draw where the model looked."""

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rra_keras.explain.cam import class_activation

# One colour a look, told apart with any colour vision (Okabe and Ito).
_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")


def draw(model, images, labels, class_names, path):
    """Draw one row a photo: the image with its boxes, each look's crop, where its evidence lies.

    Args:
        model: an `RRAClassifier`.
        images: `(B, S, S, 3)`, RGB 0…255.
        labels: `(B,)` integers, or `None` where they are not known.
        class_names: names in the order of the logits.
        path: file to write; its ending says the format.
    """
    images = np.asarray(images, "float32")
    names = [f"look_{look}_crop" for look in range(1, model.looks + 1)]
    outputs = model.view("logits", *names, *(["boxes"] if model.looks else []))
    outputs = {key: np.asarray(value) for key, value in outputs.predict_on_batch(images).items()}
    predicted = np.argmax(outputs["logits"], axis=-1)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(outputs["logits"]))

    figure = Figure(figsize=(2.4 * (1 + 2 * model.looks), 2.7 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), 1 + 2 * model.looks, squeeze=False)
    heat = [class_activation(model, look, images, predicted) for look in range(1, model.looks + 1)]
    for row, image in enumerate(images):
        guess = class_names[predicted[row]]
        title = f"{guess} {probabilities[row, predicted[row]]:.0%}"
        if labels is not None and labels[row] != predicted[row]:
            title += f"\nis {class_names[labels[row]]}"
        _show(axes[row, 0], image, title)
        for look in range(model.looks):
            color = _COLORS[look % len(_COLORS)]
            y0, x0, y1, x1 = outputs["boxes"][row, look] * (model.image_size - 1)
            axes[row, 0].add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=2)
            )
            crop = outputs[names[look]][row]
            _show(axes[row, 1 + 2 * look], crop, f"look {look + 1}", color)
            _show(axes[row, 2 + 2 * look], crop, f"evidence for {guess}", color)
            axes[row, 2 + 2 * look].imshow(
                heat[look][row],
                cmap="magma",
                alpha=0.55,
                vmin=0,
                vmax=1,
                extent=(-0.5, model.patch_size - 0.5, model.patch_size - 0.5, -0.5),
                interpolation="bilinear",
            )
    figure.savefig(path, dpi=100)


def _show(axes, image, title, color="none"):
    axes.imshow(np.clip(image, 0, 255).astype("uint8"))
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=color, linewidth=2)

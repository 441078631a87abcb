"""Draw what the model saw: one strip a photo."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rra_keras import answers
from rra_keras.explain import fonts
from rra_keras.explain.explainer import Explainer, between_centers
from rra_keras.layers.zoom_crop import zoom_crop
from rra_keras.measures.boxes import WHOLE
from rra_keras.measures.maps import upsample

# One color a fixation, distinct with any color vision (Okabe and Ito).
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
ANSWER, WRONG = "#0072B2", "#D55E00"
EVIDENCE = "inferno"
VIEW = 160  # pixels of a view
_FONT = 9
_TITLE = 0.2  # of a tile's height
_HEADER = 0.34  # inches
_GRAY = np.array([0.299, 0.587, 0.114])  # of red, green, blue (ITU-R BT.601)


def draw(model, images, labels, class_names, path, aspects=None, columns=6):
    """Draw a strip for each photo, one below the other.

    1. The photo in its own proportions, with a box for each fixation that was read, in the order in
       which they were made; the one that counts most is drawn thick.
    2. Beside it a row for each of them: the glance, each closer view that it needed with the box
       found there (dashed), what was read, and the evidence for the answer in it (Grad-CAM). All
       evidence of a photo is on one color scale. The title says what was read there, how sure, and
       its weight in the answer; where a photo may have several labels, the evidence is for what
       each place says, and the title has the labels that are surest there.

    Args:
        model: a classifier of this package.
        images: `(B, S, S, 3)`, RGB 0…255.
        labels: `(B,)` integers, or `(B, C)` of 0 and 1; `None` where they are not known.
        class_names: names in the order of the logits.
        path: file to write; its ending says the format.
        aspects: `(B,)`, each photo's width by its height; square unless given.
        columns: tiles in a row beside the photo; with 4 or fewer the photo stands above them, for a
            narrow page.
    """
    images = np.asarray(images, "float32")
    seen = Explainer(model, run_eagerly=True)(images)
    draw_strips(seen, model.crop_size, images, labels, class_names, path, aspects, columns)


def draw_strips(
    seen, crop_size, images, labels, class_names, path, aspects=None, columns=6, format=None
):
    """Draw as `draw` does, from an `Explanation` at hand; `path` may be a file, in `format`."""
    aspects = np.ones(len(images)) if aspects is None else np.asarray(aspects, float)
    strips = [
        _Strip(seen[[i]], crop_size, images[i], float(aspects[i]), columns)
        for i in range(len(images))
    ]
    width = max(strip.width for strip in strips)
    heights = [strip.height for strip in strips]
    figure = Figure(figsize=(width, sum(heights)), dpi=120)
    top = 0.0
    with fonts.for_names(class_names):
        for i, strip in enumerate(strips):
            label = None if labels is None else np.flatnonzero(labels[i])
            if label is not None and np.ndim(labels) == 1:
                label = np.array([int(labels[i])])
            strip.draw(figure, (width, sum(heights)), top, label, class_names)
            top += strip.height
        figure.savefig(path, format=format)


class _Strip:
    """One photo's strip; places are in inches from its top left."""

    def __init__(self, seen, crop_size, image, aspect, columns):
        self.seen, self.image, self.aspect = seen, image, aspect
        self.stacked = columns <= 4
        self.tile = 1.05 if self.stacked else 1.25
        self.crop_aspect = crop_size[1] / crop_size[0]
        self.crop_size = crop_size
        count = seen.objects.shape[1]
        # Of fixations those that were read; of others every part.
        parts = range(seen.maps.shape[1])
        self.parts = [m for m in parts if seen.weights[0, m] > 0 or not count][:12]
        self.fixations = count > 0
        row = self.tile * (1 + _TITLE)
        self.rows = (
            len(self.parts) if self.fixations else -(-len(self.parts) // max(columns - 1, 1))
        )
        self.per_row = 1 if self.fixations else min(columns - 1, len(self.parts))
        self.closing = 1 + int(seen.refinements.max(initial=0)) if self.fixations else 0
        if self.fixations:
            beside = self.closing + 2 * min(max(self.crop_aspect, 0.5), 2.0)
        else:
            beside = self.per_row
        beside = beside * self.tile + 0.55  # the color scale
        photo_height = 2 * row if self.stacked else max(self.rows * row, 2.2 * self.tile)
        photo_height = min(photo_height, 3.6)
        self.photo = (min(photo_height * aspect, 5.2), min(photo_height, 5.2 / aspect))
        header = _HEADER
        if self.stacked:
            self.photo = (beside, beside / aspect)
            self.left, self.top = 0.0, header + self.photo[1]
            self.width = beside
            self.height = self.top + self.rows * row + 0.1
        else:
            self.left, self.top = self.photo[0] + 0.1, header
            self.width = self.left + beside
            self.height = header + max(self.photo[1], self.rows * row) + 0.1

    def axes(self, x, y, width, height):
        """Return axes at a place in inches from the strip's top left."""
        whole_width, whole_height = self.size
        y = self.start + y
        place = (x / whole_width, 1 - (y + height) / whole_height)
        return self.figure.add_axes((*place, width / whole_width, height / whole_height))

    def draw(self, figure, size, start, label, class_names):
        """Draw the photo and its parts."""
        self.figure, self.size, self.start = figure, size, start
        seen = self.seen
        said = seen.said[0]
        most = max(seen.maps[0, self.parts].max(), 1e-9)
        chosen = int(seen.chosen[0])
        axes = self.axes(0.03, _HEADER, self.photo[0] - 0.06, self.photo[1] - 0.06)
        photo(axes, self.image)
        shares = seen.probabilities()[0]
        text = ", ".join(f"{short(class_names[c])} {shares[c]:.0%}" for c in said)
        known = bool(seen.known[0])
        if not (known and len(said)):
            text = f"none of these (score {seen.scores[0]:.2f})"
        right = truth = None
        if label is not None:
            right = set(label) == set(said if known else ())
            truth = ", ".join(class_names[c] for c in label) or "without a label"
        text, color = _verdict(text, right, truth)
        _title(axes, text, color, _FONT + 2, 5)
        side = len(self.image)
        if self.fixations or seen.maps.shape[1] > 1:
            for m in reversed(self.parts):
                if np.allclose(seen.boxes[0, m], WHOLE, atol=0.5 / side):
                    continue
                thick = m == chosen and seen.answer == "one"
                outline(axes, seen.boxes[0, m] * side, "white", 4.0 if thick else 2.4)
                outline(axes, seen.boxes[0, m] * side, _color(m), 2.4 if thick else 1.2)
        for place, m in enumerate(self.parts):
            if self.fixations:
                self._fixation(place, m, most, class_names, m == chosen)
            else:
                self._part(place, m, most)
        self._scale(most)

    def _fixation(self, row, k, most, class_names, chosen):
        """Draw how a fixation closes in, what was read, and the evidence in it."""
        seen, tile = self.seen, self.tile
        y = self.top + row * tile * (1 + _TITLE) + tile * _TITLE
        needed = int(seen.refinements[0, k])
        views = [WHOLE, *seen.views[0, k, :needed]]
        for step, view in enumerate(views):
            height = tile - 0.05
            axes = self.axes(self.left + step * tile, y, height, height)
            photo(axes, cut(self.image, view, (VIEW, VIEW)))
            if step == 0:
                text = f"{k + 1}. {self._says(k, class_names)}"
                _title(axes, text, ANSWER if chosen and seen.answer == "one" else "black")
            found = (seen.found[0, k, step].reshape(2, 2) - view[:2]) / (view[2:] - view[:2])
            outline(axes, found.ravel() * VIEW, "black", 2.2)
            outline(axes, found.ravel() * VIEW, "white", 1.4, linestyle=(0, (4, 3)))
        x = self.left + self.closing * tile
        width = min(max(self.crop_aspect, 0.5), 2.0) * tile
        crop = cut(self.image, seen.boxes[0, k], self.crop_size)
        axes = self.axes(x, y, width - 0.05, tile - 0.05)
        photo(axes, crop, _color(k))
        axes = self.axes(x + width, y, width - 0.05, tile - 0.05)
        evidence(axes, crop, seen.maps[0, k], most, _color(k))

    def _says(self, k, class_names):
        """Return what a fixation says, and how much it counts."""
        seen = self.seen
        logits = seen.part_logits[0, k]
        best = int(logits.argmax())
        name = short(class_names[best], 22)
        if seen.answer == "one":
            return f"{name}, weight {seen.weights[0, k]:.0%}" if len(self.parts) > 1 else name
        shares = answers.of("any").probabilities(seen.part_logits[0], seen.temperature)  # (K, C)
        surest = np.where(seen.weights[0][:, None] > 0, shares, -1.0).argmax(axis=0)  # (C,)
        own = [c for c in seen.said[0] if surest[c] == k]
        own = own or [best] * bool(shares[k, best] >= seen.thresholds[best])
        return (
            ", ".join(f"{short(class_names[c], 22)} {shares[k, c]:.0%}" for c in own) or "nothing"
        )

    def _part(self, place, m, most):
        """Draw the evidence in one part of a model without fixations."""
        seen, tile = self.seen, self.tile
        row, column = divmod(place, self.per_row)
        y = self.top + row * tile * (1 + _TITLE) + tile * _TITLE
        axes = self.axes(self.left + column * tile, y, tile - 0.05, tile - 0.05)
        evidence(axes, cut(self.image, seen.boxes[0, m], (224, 224)), seen.maps[0, m], most)
        weight = f" {seen.weights[0, m]:.0%}" if seen.maps.shape[1] > 1 else ""
        _title(axes, f"{seen.part_names[m]}{weight}")

    def _scale(self, most):
        """Draw the one color scale of all maps."""
        axes = self.axes(self.width - 0.5, self.top + self.tile * _TITLE, 0.1, self.tile - 0.05)
        ramp = np.linspace(1, 0, 64)[:, None, None]
        axes.imshow(_tint(np.full((64, 1, 1), 0.6), ramp), aspect="auto", extent=(0, 1, 0, most))
        axes.set(xticks=[])
        axes.yaxis.tick_right()
        axes.set_yticks([0, most], ["0", f"{most:.2g}"], fontsize=_FONT - 2)
        axes.set_ylabel("evidence", fontsize=_FONT - 2, labelpad=-4)
        axes.yaxis.set_label_position("right")
        axes.tick_params(length=0, pad=1)
        axes.spines[:].set_visible(False)


def cut(image, box, size):
    """Return a box `(4,)`, from edge to edge, of a photo `(S, S, 3)`, resized to `size`."""
    corners = between_centers(box, len(image)).clip(0, 1)
    return np.asarray(zoom_crop(image[None], corners[None], size, stride=4))[0]


def photo(axes, image, color="none"):
    """Show a photo; it fills the axes, whatever its shape."""
    height, width = image.shape[:2]
    axes.imshow(np.clip(image, 0, 255).astype("uint8"), aspect="auto", extent=(0, width, height, 0))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=color, linewidth=2, visible=color != "none")


def outline(axes, box, color, width, **style):
    """Draw a box `y0 x0 y1 x1`, in the axes' units."""
    y0, x0, y1, x1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=color, lw=width, **style))


def evidence(axes, image, values, most, color="none"):
    """Show evidence `(h, w)` as color on the photo in gray; `most` is the scale's upper end."""
    height, width = image.shape[:2]
    gray = np.clip(image, 0, 255) @ _GRAY / 255  # (H, W)
    side = max(height, width)
    strength = np.clip(upsample(values[None], side)[0] / most, 0, 1)  # (side, side)
    strength = strength[np.ix_(*(np.arange(n) * side // n for n in (height, width)))]
    photo(axes, 255 * _tint(gray[..., None], strength[..., None]), color)


def short(name, most=28):
    """Return a name, cut off where it is long."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _tint(gray, strength):
    """Lay color over gray `(H, W, 1)`, the denser the stronger the evidence; RGB in [0, 1]."""
    hue = matplotlib.colormaps[EVIDENCE](0.15 + 0.8 * strength[..., 0])[..., :3]
    cover = 0.85 * strength**0.6
    return (1 - cover) * (0.25 + 0.6 * gray) + cover * hue


def _verdict(said, right, truth):
    if truth is None:
        return said, "black"
    return (f"✓ {said}", ANSWER) if right else (f"✗ {said}, is {short(truth)}", WRONG)


def _color(part):
    return COLORS[part % len(COLORS)]


def _title(axes, text, color="black", size=_FONT - 1, pad=3):
    axes.set_title(text, fontsize=size, color=color, pad=pad, loc="left", parse_math=False)

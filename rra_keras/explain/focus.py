"""Draw what the model saw: one strip a photo."""

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rra_keras.explain.steps import Explainer
from rra_keras.layers.zoom_crop import zoom_crop
from rra_keras.measures.maps import upsample

# One color a look, told apart with any color vision (Okabe and Ito).
LOOK_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
ANSWER, OTHER = "#0072B2", "#D55E00"
EVIDENCE = "inferno"
_FONT = 9
_HEADER = 0.3  # inches a line
_TITLE, _GAP = 0.16, 0.06  # tiles
_WHOLE = np.array([0, 0, 1, 1], "float32")
_VIEW = 192  # pixels of a look on the way
_GRAY = np.array([0.299, 0.587, 0.114])  # of red, green, blue (ITU-R BT.601)


def draw(model, images, labels, class_names, path, columns=6):
    """Draw a strip for each photo, one below the other.

    A strip shows the photo with the looks' boxes, and thin those that a localizer looked into on
    its way there. Beside it how they close in: the glance, and each of those looks that the photo
    needed, with the box that was found in it dashed; or, where no localizer learned that, the
    glance's evidence for the answer. Below them each look's crop and each of its steps' evidence
    for the answer in it. All evidence is on one color scale. Of several steps, a chart shows their
    weights, and the answer's probability on the way from the glance over the steps to the end.

    Args:
        model: an `RRAClassifier`.
        images: `(B, S, S, 3)`, RGB 0…255.
        labels: `(B,)` integers, or `None` where they are not known.
        class_names: names in the order of the logits.
        path: file to write; its ending says the format.
        columns: tiles in a row beside the photo; with 3 or fewer the photo stands above them, for
            a narrow page.

    Raises:
        ValueError: if `columns` is below 3.
    """
    images = np.asarray(images, "float32")
    seen = Explainer(model, run_eagerly=True)(images)
    draw_strips(seen, model, images, labels, class_names, path, columns)


def draw_strips(seen, model, images, labels, class_names, path, columns=6, format=None):
    """Draw as `draw` does, from an `Explanation` at hand; `path` may be a file, in `format`."""
    if columns < 3:
        raise ValueError(
            f"Invalid value for argument `columns`. Expected at least 3. Received: {columns}"
        )
    images = np.asarray(images, "float32")
    crops = [
        np.asarray(zoom_crop(images, seen.boxes[:, look], model.patch_size))
        for look in range(seen.looks)
    ]
    layout = _Layout(seen, model.patch_size, columns)
    size = layout.width * layout.tile, layout.height * layout.tile * len(images)
    figure = Figure(figsize=size, dpi=layout.dpi)
    for row, image in enumerate(images):
        strip = _Strip(figure, layout, row / len(images), len(images))
        label = None if labels is None else int(labels[row])
        strip.draw(seen, row, image, [crop[row] for crop in crops], label, class_names)
    figure.savefig(path, format=format)


class _Layout:
    """Where the parts of a strip stand, in tiles from the top left."""

    def __init__(self, seen, patch_size, columns):
        total = seen.step_logits.shape[1]
        self.steps = total // max(seen.looks, 1)
        self.tile_height = patch_size[0] / patch_size[1]
        self.closing = seen.object_boxes.shape[1]  # tiles of how it closes in
        # Steps in a row; a plain backbone has none, and no chart.
        self.per_row = min(columns - 1, max(self.steps, 2 if total > 1 else 1))
        self.per_row = self.per_row if seen.looks else 0.3
        self.across = min(self.closing, columns)  # of those tiles, in a row
        self.columns = 1 + self.per_row
        if self.closing:  # the scale is beside the steps
            self.columns = max(self.columns + 0.45, self.across)
        self.chart = total > 1 and self.columns - max(self.closing, 1) > 1.5
        self.top_rows = math.ceil(self.closing / self.across) if self.closing else 1
        self.rows_per_look = math.ceil(self.steps / self.per_row)
        rows = self.top_rows * (_TITLE + 1)
        rows += seen.looks * self.rows_per_look * (_TITLE + self.tile_height)
        # Inches a tile: small ones, finely drawn, give writing that is large enough for a phone.
        self.stacked = columns <= 3
        self.tile, self.dpi = (1.3, 180) if self.stacked else (1.6, 110)
        if not seen.looks:
            self.tile *= 2
        header = _HEADER * (2 if self.stacked else 1) / self.tile
        if self.stacked:
            self.photo, self.left = self.columns, 0
            self.photo_top, self.top = header, header + self.columns
        else:
            self.photo = min(rows - _TITLE, 3)
            self.left = self.photo + 0.1
            self.photo_top, self.top = header + _TITLE, header
        self.width = self.left + self.columns
        self.height = max(self.top + rows, self.photo_top + self.photo) + 0.1

    def closer(self, index):
        """Return `(x, y)` of a tile of how it closes in; the glance's is the first."""
        y, x = divmod(index, self.across) if self.closing else (0, 0)
        return self.left + x, self.top + y * (_TITLE + 1) + _TITLE

    def step(self, look, step):
        """Return `(x, y)` of a step's tile; of the crop's own for `None`."""
        y, x = divmod(step, self.per_row) if step is not None else (0, -1)
        y = (look * self.rows_per_look + y) * (_TITLE + self.tile_height)
        return self.left + 1 + x, self.top + self.top_rows * (_TITLE + 1) + y + _TITLE

    @property
    def scale(self):
        """`(x, y)` of the color scale: beside the glance's evidence, or else the first step's."""
        if not self.closing:
            return self.left + 1.02, self.top + _TITLE
        x, y = self.step(0, 0)
        return x + min(self.steps, self.per_row) + 0.02, y


class _Strip:
    """One photo's strip in a figure of several."""

    def __init__(self, figure, layout, top, count):
        self.figure, self.layout, self.top, self.count = figure, layout, top, count

    def axes(self, x, y, width=1.0, height=1.0):
        """Return axes at a place in tiles from the strip's top left."""
        whole = self.layout
        left = x / whole.width
        below = self.top + (y + height) / whole.height / self.count
        size = (width - _GAP) / whole.width, (height - _GAP) / whole.height / self.count
        return self.figure.add_axes((left + _GAP / 2 / whole.width, 1 - below, *size))

    def draw(self, seen, row, image, crops, label, class_names):
        """Draw photo, glance, looks, steps and chart."""
        layout = self.layout
        course = seen.course()[row]  # (2 + T, C)
        answer = int(seen.classes[row])
        most = max(seen.glance_map[row].max(), seen.step_maps[row].max(initial=0), 1e-9)

        axes = self.axes(0, layout.photo_top, layout.photo, layout.photo)
        _photo(axes, image)
        said = f"{_short(class_names[answer])} {course[-1, answer]:.0%}"
        if not seen.known[row]:
            said = f"none of these (score {seen.scores[row]:.2f})"
        right = bool(seen.known[row]) and label == answer
        said, color = _verdict(said, right, None if label is None else class_names[label])
        if layout.stacked:
            _title(axes, said.replace(", is ", ",\nis "), color, _FONT + 3, 4)
        else:  # above the other titles
            _title(axes, said, color, _FONT + 3, 4 + 72 * layout.tile * _TITLE)
        last = image.shape[0] - 1
        for box in seen.views[row, : seen.refined[row]] * last:
            _outline(axes, box, "white", 1.0)
        for look, box in enumerate(seen.boxes[row] * last):
            _outline(axes, box, "white", 4.5)
            _outline(axes, box, _color(look), 2.5)

        if layout.closing:
            self._closing(seen, row, image)
        else:
            axes = self.axes(*layout.closer(0))
            _evidence(axes, image, seen.glance_map[row], most)
            _title(axes, "glance" if seen.looks else "evidence")
        self._scale(most)
        if layout.chart:
            self._chart(course, seen.step_weights[row], answer, label)
        for look, crop in enumerate(crops):
            axes = self.axes(*layout.step(look, None), 1, layout.tile_height)
            _photo(axes, crop, _color(look))
            _title(axes, "read" if len(crops) == 1 else f"read {look + 1}")
            for step in range(layout.steps):
                at = look * layout.steps + step
                axes = self.axes(*layout.step(look, step), 1, layout.tile_height)
                _evidence(axes, crop, seen.step_maps[row, at], most, _color(look))
                _title(axes, f"step {at + 1}" if layout.steps > 1 else "evidence")

    def _closing(self, seen, row, image):
        """Draw the glance and each look inside its box, with the box that was found there."""
        views = [_WHOLE, *seen.views[row, : seen.refined[row]]]
        for look, view in enumerate(views):
            axes = self.axes(*self.layout.closer(look))
            _photo(
                axes, np.asarray(zoom_crop(image[None], view[None], (_VIEW, _VIEW), stride=4))[0]
            )
            _title(axes, f"look {look}" if look else "glance")
            found = (seen.object_boxes[row, look].reshape(2, 2) - view[:2]) / (view[2:] - view[:2])
            _outline(axes, found.ravel() * (_VIEW - 1), "black", 2.5)
            _outline(axes, found.ravel() * (_VIEW - 1), "white", 1.5, linestyle=(0, (4, 3)))

    def _scale(self, most):
        """Draw the one color scale of all maps."""
        height = self.layout.tile_height if self.layout.closing else 1
        axes = self.axes(*self.layout.scale, 0.12, height)
        ramp = np.linspace(1, 0, 64)[:, None, None]
        axes.imshow(_tint(np.full((64, 1, 1), 0.6), ramp), aspect="auto", extent=(0, 1, 0, most))
        axes.set(xticks=[])
        axes.yaxis.tick_right()
        axes.set_yticks([0, most], ["0", f"{most:.2g}"], fontsize=_FONT - 2)
        if not self.layout.stacked:
            axes.set_ylabel("evidence, logits", fontsize=_FONT - 2, labelpad=-6)
            axes.yaxis.set_label_position("right")
        axes.tick_params(length=0, pad=1)
        axes.spines[:].set_visible(False)

    def _chart(self, course, weights, answer, label):
        """Draw the steps' weights as bars and the answer's course as a line."""
        layout, total = self.layout, len(course) - 2
        x = max(layout.closing, 1) + 0.62
        axes = self.axes(layout.left + x, layout.top + _TITLE, layout.columns - x - 0.06, 0.88)
        spots = np.arange(total + 2)
        colors = [_color(step // layout.steps) for step in range(total)]
        bars = axes.bar(spots[1:-1], weights, width=0.62, color=colors, alpha=0.6)
        if total <= layout.columns:
            axes.bar_label(bars, fmt="{:.0%}", fontsize=_FONT - 2, color="#444444", padding=1)
        lines = axes.plot(spots, course[:, answer], "o-", color=ANSWER, lw=2, ms=4, clip_on=False)
        names = ["answer"]
        if label not in (None, answer):
            lines += axes.plot(spots, course[:, label], "s--", color=OTHER, ms=4, clip_on=False)
            names += ["truth"]
        if total:
            lines, names = [*lines, bars], [*names, "weight"]
        narrow = layout.stacked
        axes.legend(
            lines,
            names,
            loc="lower left",
            bbox_to_anchor=(-0.26 if narrow else -0.02, 0.99),
            ncols=3,
            frameon=False,
            fontsize=_FONT - (2 if narrow else 1),
            borderpad=0,
            borderaxespad=0,
            handlelength=1.1 if narrow else 1.4,
            handletextpad=0.4,
            columnspacing=0.7,
        )
        every = math.ceil((total + 1) / (4 * layout.per_row)) if total else 1
        shown = [0, *range(1 + (every > 1), total + 1, every), total + 1]
        ticks = ["glance", *(str(step) for step in shown[1:-1]), "end"]
        axes.set_xticks(shown, ticks, fontsize=_FONT - 1)
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"], fontsize=_FONT - 1)
        axes.set(ylim=(0, 1.05), xlim=(-0.45, total + 1.45))
        axes.tick_params(length=0)
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)


def _verdict(said, right, truth):
    if truth is None:
        return said, "black"
    return (f"✓ {said}", ANSWER) if right else (f"✗ {said}, is {_short(truth)}", OTHER)


def _short(name, most=28):
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _color(look):
    return LOOK_COLORS[look % len(LOOK_COLORS)]


def _title(axes, text, color="black", size=_FONT, pad=3):
    axes.set_title(text, fontsize=size, color=color, pad=pad, loc="left", parse_math=False)


def _outline(axes, box, color, width, **style):
    y0, x0, y1, x1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=color, lw=width, **style))


def _photo(axes, image, color="none"):
    axes.imshow(np.clip(image, 0, 255).astype("uint8"), aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=color, linewidth=2, visible=color != "none")


def _evidence(axes, image, evidence, most, color="none"):
    """Show evidence `(h, w)` as color on the photo in gray; `most` is the scale's upper end."""
    height, width = image.shape[:2]
    gray = np.clip(image, 0, 255) @ _GRAY / 255  # (H, W)
    side = max(height, width)
    strength = np.clip(upsample(evidence[None], side)[0] / most, 0, 1)  # (side, side)
    strength = strength[np.ix_(*(np.arange(n) * side // n for n in (height, width)))]
    _photo(axes, 255 * _tint(gray[..., None], strength[..., None]), color)


def _tint(gray, strength):
    """Lay color over gray `(H, W, 1)`, the denser the stronger the evidence; RGB in [0, 1]."""
    hue = matplotlib.colormaps[EVIDENCE](0.15 + 0.8 * strength[..., 0])[..., :3]
    cover = 0.85 * strength**0.6
    return (1 - cover) * (0.25 + 0.6 * gray) + cover * hue

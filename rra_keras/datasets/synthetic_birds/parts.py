"""The telling parts of a bird, drawn onto it by value."""

from functools import partial

import numpy as np
from PIL import ImageDraw

from rra_keras.datasets.synthetic_birds.geometry import Frame, arc, bounds, mix, rgb, xy

COLORS = {
    "black": (22, 22, 26),
    "white": (250, 249, 242),
    "yellow": (255, 216, 24),
    "orange": (255, 128, 16),
    "red": (226, 26, 30),
    "blue": (52, 128, 236),
}
_EYE = (14, 12, 12)


def part_frames(posture):
    """`{part: Frame}`: origins about the middle of each part, part units, whatever the species."""
    part, r = posture.part, posture.head_radius
    head, body = posture.head_frame(), posture.body
    foot, hip = posture.feet()
    length = np.linalg.norm(body.matrix[:, 0])
    facing = np.sign(body.matrix[0, 0])
    middle = [hip[0], foot[1] - 0.3 * part * length]
    return {
        "bill": head.child((0.97 * r + 0.35 * part, -0.05 * r), scale=part),
        "eye_ring": head.child((0.36 * r, 0.14 * r), scale=part),
        "wing_bar": body.child((0.045, 0.015), np.radians(102), part),
        "crown": head.child((0.03 * r, 0.95 * r), scale=part),
        "tail_tip": posture.tail_frame().child((-0.26 * part, 0), scale=part),
        "legs": Frame(part * length * np.diag([facing, 1.0]), middle),
    }


def draw_parts(canvas, posture, plumage, values):
    """Draw every telling part of a bird on `canvas`.

    Args:
        canvas: RGB `PIL.Image`, drawn on in place.
        posture: `Posture`.
        plumage: `Plumage`.
        values: `{part: value}`, as from `species.parts_of`.

    Returns:
        `{part: (left, top, right, bottom)}` in canvas pixels. A part that the species lacks has the
        box of the place where it would be.
    """
    draw = ImageDraw.Draw(canvas)
    head_radius = posture.head_radius / posture.part  # in part units
    outlines = {
        "bill": _bill,
        "eye_ring": _eye_ring,
        "wing_bar": _wing_bar,
        "crown": partial(_crown, radius=head_radius, crest=rgb(0.4 * plumage.hood)),
        "tail_tip": _tail_tip,
        "legs": _legs,
    }
    frames = part_frames(posture)
    return {part: bounds(outlines[part](draw, frames[part], values[part])) for part in values}


def _split(value):
    """`"split_white"` → `("split", "white")`, `"white"` → `("full", "white")`."""
    return tuple(value.split("_")) if "_" in value else ("full", value)


# Each of these draws one part in part units, whose longer side is about 1, and returns the canvas
# points that bound it.

_BILLS = {
    "cone": [[-0.47, 0.36], [-0.15, 0.3], [0.37, -0.04], [-0.15, -0.3], [-0.47, -0.34]],
    "dagger": [[-0.45, 0.15], [-0.05, 0.11], [0.63, -0.02], [-0.05, -0.12], [-0.45, -0.17]],
    "hook": [[-0.45, 0.26], [0, 0.27], [0.33, 0.08], [0.33, -0.46], [0.15, -0.16], [-0.45, -0.26]],
}


def _bill(draw, frame, value):
    shape, color = value.split("_")
    outline = frame(_BILLS[shape])
    draw.polygon(xy(outline), fill=COLORS[color])
    gape = frame([[-0.45, -0.03], mix([-0.45, -0.03], _BILLS[shape][2], 0.8)])
    draw.line(xy(gape), fill=rgb(mix(COLORS[color], (60, 50, 50), 0.5)), width=2)
    return outline


def _eye_ring(draw, frame, value):
    ring = frame(arc((0, 0), 0.5, 0, 360, 32))
    if value != "none":
        pattern, color = _split(value)
        # Split: a crescent above the eye and one below.
        sectors = {"full": ((0, 360),), "split": ((40, 140), (220, 320))}[pattern]
        for start, stop in sectors:
            sector = frame([*arc((0, 0), 0.5, start, stop, 32), (0, 0)])
            draw.polygon(xy(sector), fill=COLORS[color])
    draw.polygon(xy(frame(arc((0, 0), 0.29, 0, 360, 24))), fill=_EYE)
    draw.polygon(xy(frame(arc((0.08, 0.1), 0.08, 0, 360, 10))), fill=(240, 240, 240))
    return ring


def _bands(draw, value, bands):
    """Fill the outlines of the value's pattern and return the bounding points of all of them."""
    if value != "none":
        pattern, color = _split(value)
        for band in bands[pattern]:
            draw.polygon(xy(band), fill=COLORS[color])
    return np.concatenate([*bands["full"], *bands["split"]])


def _wing_bar(draw, frame, value):
    def bar(low, high):
        middle, half = (low + high) / 2, (high - low) / 2
        upper, lower = middle + 0.6 * half, middle - 0.6 * half
        return frame(
            [[-0.5, lower], [0, low], [0.5, lower], [0.5, upper], [0, high], [-0.5, upper]]
        )

    bands = {"full": [bar(-0.18, 0.18)], "split": [bar(-0.34, -0.16), bar(0.16, 0.34)]}
    return _bands(draw, value, bands)


def _crown(draw, frame, value, radius, crest):
    half = np.degrees(np.arcsin(0.48 / radius))

    def band(low, high):
        upper = arc((0, -0.95 * radius), high * radius, 90 - half, 90 + half, 9)
        return frame([*upper, *arc((0, -0.95 * radius), low * radius, 90 + half, 90 - half, 9)])

    if value == "crest":
        spikes = [[0.42, 0], [0.12, 0.4], [0, 0.24], [-0.24, 0.58], [-0.26, 0.26], [-0.52, 0.5]]
        outline = frame([*spikes, [-0.4, -0.12], [0, -0.14]])
        draw.polygon(xy(outline), fill=crest)
        return outline
    bands = {"full": [band(0.76, 1.02)], "split": [band(0.89, 1.02), band(0.65, 0.78)]}
    return _bands(draw, value, bands)


def _tail_tip(draw, frame, value):
    def band(inner, outer):
        return frame([[inner, -0.45], [outer, -0.43], [outer, 0.43], [inner, 0.45]])

    bands = {"full": [band(-0.16, 0.24)], "split": [band(-0.3, -0.1), band(0.08, 0.28)]}
    return _bands(draw, value, bands)


def _legs(draw, frame, value):
    pattern, color = _split(value)
    part = np.linalg.norm(frame.matrix[:, 0])
    ends = []

    def stroke(start, stop, thickness, fill):
        ends.append(frame([start, stop]))
        draw.line(xy(ends[-1]), fill=COLORS[fill], width=round(thickness * part))

    for x in (-0.22, 0.2):
        stroke([x, -0.45], [x + 0.03, 0.32], 0.16, color)
        for toe in (-0.14, 0.08, 0.22):
            stroke([x + 0.03, 0.28], [x + toe, 0.46], 0.1, color)
        if pattern == "split":
            stroke([x + 0.01, -0.2], [x + 0.02, 0.06], 0.16, "black")
    return np.concatenate(ends)

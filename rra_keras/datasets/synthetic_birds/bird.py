"""One bird: its posture and plumage at random, its telling parts by species."""

import numpy as np
from PIL import Image, ImageDraw

from rra_keras.datasets.synthetic_birds.geometry import (
    Frame,
    arc,
    bounds,
    hsv,
    mix,
    rgb,
    rotation,
    smooth,
    xy,
)


class Posture:
    """Where the bird is and how it holds itself, drawn only from `rng`.

    Body units: the body's length from bill to tail is about 1, x to the head, y to the back.

    Args:
        rng: `np.random.Generator`.
        length: length of the bird, canvas pixels.
        part: length of a telling part, canvas pixels.
        size: side of the canvas, pixels.
    """

    def __init__(self, rng, length, part, size):
        self.part = part / length  # in body units
        self.plump = rng.uniform(0.85, 1.2)
        self.head_radius = rng.uniform(0.095, 0.118)
        self.head = np.array([rng.uniform(0.2, 0.25), rng.uniform(0.13, 0.19)])
        tilt = np.radians(rng.uniform(0, 42))
        self.pitch = np.radians(rng.uniform(-22, 22)) - 0.85 * tilt  # of the head, to the body
        self.tail_angle = np.radians(rng.uniform(-14, 12))
        self.tail_length = rng.uniform(0.2, 0.3)
        facing = rng.choice([-1, 1])
        # Canvas y points down: the second row is negated.
        turn = np.diag([facing, -1.0]) @ rotation(tilt)
        self.body = Frame(length * turn, (0, 0))
        left, top, right, bottom = bounds(np.concatenate([self.body(self.outline()), self.tail()]))
        margin = 1.3 * part
        self.body.origin = np.array(
            [
                rng.uniform(margin - left, size - margin - right),
                rng.uniform(margin - top, size - 2 * margin - bottom),
            ]
        )

    def outline(self):
        """Silhouette of body and head, without tail, in body units."""
        turn = np.degrees(self.pitch)
        f = self.plump
        head = arc(self.head, self.head_radius, 150 + turn / 2, -62 + turn, 8)
        chest = [[0.215, -0.01], [0.205, -0.08 * f], [0.12, -0.145 * f], [-0.02, -0.158 * f]]
        rear = [[-0.16, -0.1 * f], [-0.28, -0.015], [-0.28, 0.045], [-0.15, 0.085], [0, 0.125 * f]]
        return smooth(np.concatenate([head, chest, rear]))

    def wing(self):
        """Outline of the folded wing, in body units."""
        f = self.plump
        return smooth(
            [
                [0.135, 0.0],
                [0.11, 0.065 * f],
                [0.0, 0.1 * f],
                [-0.14, 0.08],
                [-0.35, 0.015],
                [-0.2, -0.025],
                [-0.02, -0.085 * f],
                [0.09, -0.07 * f],
            ]
        )

    def tail(self):
        """Outline of the tail, in canvas pixels."""
        half = 0.45 * self.part
        length = self.tail_length
        shape = [[-length, -0.03], [-0.2 * length, -half], [0, -0.8 * half], [0, 0.8 * half]]
        return self.tail_frame()([*shape, [-0.2 * length, half], [-length, 0.03]])

    def tail_frame(self):
        """Frame with its origin at the tail's end and x pointing outwards."""
        direction = np.pi + self.tail_angle
        base = np.array([-0.25, 0.018])
        end = base + self.tail_length * np.array([np.cos(direction), np.sin(direction)])
        return self.body.child(end, direction)

    def head_frame(self):
        """Frame with its origin in the head's center and x pointing along the bill."""
        return self.body.child(self.head, self.pitch)

    def feet(self):
        """Canvas point on the ground below the lowest point of the belly, and that point."""
        belly = self.body(self.outline())
        inner = np.abs(self.outline()[:, 0] + 0.02) < 0.13
        lowest = max(belly[inner], key=lambda point: point[1])
        scale = np.linalg.norm(self.body.matrix[:, 0])
        return np.add(lowest, [0, 0.72 * self.part * scale]), lowest


class Plumage:
    """Colors and markings that no species owns, drawn only from `rng`."""

    def __init__(self, rng):
        hue = rng.choice([0.07, 0.1, 0.16, 0.25, 0.36, 0.55, 0.62, 0.9]) + rng.uniform(-0.03, 0.03)
        saturation = rng.uniform(0.1, 0.5)
        self.back = hsv(hue, saturation, rng.uniform(0.32, 0.62))
        self.belly = hsv(rng.uniform(0.05, 0.16), rng.uniform(0.05, 0.4), rng.uniform(0.6, 0.88))
        self.hood = mix(self.back, hsv(rng.random(), 0.25, rng.uniform(0.25, 0.5)), rng.random())
        self.wing = 0.82 * mix(self.back, hsv(rng.random(), 0.2, 0.4), rng.uniform(0, 0.6))
        self.tail = 0.85 * mix(self.back, self.wing, rng.random())
        self.hood_reach = rng.uniform(0.8, 1.35)  # in head radii
        self.waterline = rng.uniform(-0.06, 0.03)  # where the back gives way to the belly
        self.streaks = int(rng.integers(0, 45))
        self.eye_stripe = rng.random() < 0.5
        self.throat = rng.random() < 0.4


def draw_plain_bird(canvas, rng, posture, plumage):
    """Draw on `canvas` all of a bird but what tells its species: tail, body, wing, face."""
    draw = ImageDraw.Draw(canvas)
    _draw_tail(draw, rng, posture, plumage)
    _draw_body(canvas, rng, posture, plumage)
    _draw_streaks(draw, rng, posture, plumage)
    _draw_wing(canvas, rng, posture, plumage)
    _draw_face(draw, posture, plumage)


def _fill(canvas, outline, color_at, frame):
    """Fill a canvas outline with `color_at(x, y)` of local coordinates, a smooth texture."""
    left, top, right, bottom = (round(edge) for edge in bounds(outline))
    width, height = right - left + 1, bottom - top + 1
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon(xy(outline - [left, top]), fill=255)
    grid_x, grid_y = np.meshgrid(np.linspace(left, right, 72), np.linspace(top, bottom, 72))
    pixels = np.stack([grid_x, grid_y], axis=-1) - frame.origin
    local = pixels @ np.linalg.inv(frame.matrix).T  # (72, 72, 2)
    texture = np.clip(color_at(local[..., 0], local[..., 1]), 0, 255).astype(np.uint8)
    texture = Image.fromarray(texture).resize((width, height), Image.Resampling.BICUBIC)
    canvas.paste(texture, (left, top), mask)


def _ramp(values, low, high):
    return np.clip((values - low) / (high - low), 0, 1)[..., None]


def _draw_body(canvas, rng, posture, plumage):
    grain = rng.normal(0, 5, (72, 72, 1))

    def color_at(x, y):
        waterline = plumage.waterline + 0.25 * x
        color = mix(plumage.belly, plumage.back, _ramp(y, waterline - 0.035, waterline + 0.035))
        distance = np.hypot(x - posture.head[0], y - posture.head[1]) / posture.head_radius
        reach = plumage.hood_reach
        color = mix(plumage.hood, color, _ramp(distance, reach - 0.12, reach + 0.12))
        # Lit from above, darker to the edge below: a round body.
        light = 0.72 + 0.42 * _ramp(y, -0.19 * posture.plump, 0.06)
        light = light * (1 - 0.22 * _ramp(-x, 0.05, 0.32))
        return color * light + grain

    _fill(canvas, posture.body(posture.outline()), color_at, posture.body)


def _draw_streaks(draw, rng, posture, plumage):
    places = rng.uniform([-0.12, -0.13], [0.19, 0.02], (plumage.streaks, 2))
    lengths = rng.uniform(0.008, 0.02, plumage.streaks)
    for (x, y), length in zip(places * [1, posture.plump], lengths, strict=True):
        tick = [[x, y + 0.0035], [x - length, y], [x, y - 0.0035], [x + 0.004, y]]
        draw.polygon(xy(posture.body(tick)), fill=rgb(0.62 * plumage.belly))


def _draw_tail(draw, rng, posture, plumage):
    outline = posture.tail()
    draw.polygon(xy(outline), fill=rgb(plumage.tail))
    shade = rng.uniform(0.7, 0.85)
    half, length = 0.4 * posture.part, posture.tail_length
    for end in (-0.5, 0.0, 0.5):
        feather = posture.tail_frame()([[-length, 0.03 * end], [-0.1 * length, half * end]])
        draw.line(xy(feather), fill=rgb(shade * plumage.tail), width=3)


def _draw_wing(canvas, rng, posture, plumage):
    grain = rng.normal(0, 4, (72, 72, 1))
    edge = rgb(mix(plumage.wing, plumage.belly, rng.uniform(0.05, 0.45)))
    dark = rgb(0.62 * plumage.wing)
    outline = posture.body(posture.wing())
    draw = ImageDraw.Draw(canvas)
    shadow = np.add(outline, [0, 0.012 * np.linalg.norm(posture.body.matrix[:, 0])])
    draw.polygon(xy(shadow), fill=rgb(0.55 * mix(plumage.wing, plumage.belly, 0.4)))

    def color_at(x, y):
        return plumage.wing * (0.8 + 0.4 * _ramp(y, -0.09, 0.09)) + grain

    _fill(canvas, outline, color_at, posture.body)
    f = posture.plump
    # Flight feathers run from the coverts to the wing's tip.
    for t in np.linspace(0.12, 0.88, 6):
        start = np.array([-0.05 - 0.03 * t, 0.085 * f * (1 - t) - 0.07 * f * t])
        tip = np.array([-0.33 + 0.16 * t, 0.02 - 0.042 * t])
        line = posture.body([start, np.add(mix(start, tip, 0.5), [0, 0.004]), tip])
        draw.line(xy(line), fill=dark, width=4)
        draw.line(xy(line - [0, 3]), fill=edge, width=2)
    # Three rows of coverts, as scallops.
    for row, x in enumerate((0.075, 0.02, -0.04)):
        for y in np.linspace(-0.055 * f, 0.065 * f, 4 + row):
            scallop = posture.body(arc((x, y), 0.019, 95, 265, 7))
            draw.line(xy(scallop), fill=dark, width=3)
            draw.line(xy(scallop - [0, 2]), fill=edge, width=1)


def _draw_face(draw, posture, plumage):
    head = posture.head_frame()
    r = posture.head_radius
    if plumage.throat:
        bib = [[0.9, -0.2], [0.45, -0.35], [0.25, -0.75], [0.62, -0.72]]
        draw.polygon(xy(head(smooth(np.multiply(bib, r)))), fill=rgb(0.92 * plumage.belly))
    if plumage.eye_stripe:
        stripe = [[0.95, 0.12], [0.3, 0.24], [-0.55, 0.12], [-0.6, -0.02], [0.3, 0.04]]
        draw.polygon(xy(head(smooth(np.multiply(stripe, r)))), fill=rgb(0.6 * plumage.hood))

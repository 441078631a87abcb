"""What surrounds a bird: background, perch, leaves in front, light and camera."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rra_keras.datasets.synthetic_birds.geometry import Frame, hsv, mix, rgb, rotation, smooth, xy

# (hue, saturation, value) ranges of the ground, then of the leaves before it.
_SCENES = (
    (((0.2, 0.36), (0.25, 0.6), (0.2, 0.5)), ((0.18, 0.36), (0.35, 0.7), (0.25, 0.65))),  # foliage
    (((0.52, 0.62), (0.1, 0.4), (0.7, 0.95)), ((0.18, 0.34), (0.3, 0.6), (0.2, 0.5))),  # sky
    (((0.05, 0.12), (0.3, 0.6), (0.3, 0.65)), ((0.02, 0.14), (0.4, 0.8), (0.35, 0.75))),  # autumn
    (((0.08, 0.5), (0.05, 0.3), (0.15, 0.4)), ((0.1, 0.4), (0.2, 0.5), (0.15, 0.4))),  # woodland
    (((0.11, 0.2), (0.2, 0.45), (0.5, 0.8)), ((0.12, 0.25), (0.3, 0.6), (0.4, 0.75))),  # reeds
)
_BERRIES = (
    (0.0, 0.85, 0.8),
    (0.14, 0.85, 0.95),
    (0.07, 0.9, 0.95),
    (0.0, 0.03, 0.95),
    (0.6, 0.7, 0.8),
)
# Canvas pixels that lengths are shares of and densities are given for: a larger canvas has more of
# everything, none of it larger.
_UNIT = 896
_LEAF = smooth([[0, 0], [0.4, 1], [1, 0], [0.4, -1]])
_MIDRIB = np.linspace([-0.15, 0], [0.9, 0], 5)


class Scene:
    """One kind of surroundings, drawn only from `rng`."""

    def __init__(self, rng):
        self.ground, self.foliage = _SCENES[rng.integers(len(_SCENES))]
        self.bark = hsv(rng.uniform(0.03, 0.12), rng.uniform(0.1, 0.45), rng.uniform(0.2, 0.55))

    def color(self, rng, ranges):
        """A color from `(low, high)` ranges of hue, saturation and value."""
        return hsv(*(rng.uniform(low, high) for low, high in ranges))


def draw_background(rng, scene, size):
    """A `size` × `size` RGB background: soft ground, blurred clutter, sharp clutter before it."""
    times = size / _UNIT
    patches = range(round(5 * times))
    ground = [[scene.color(rng, scene.ground) for _ in patches] for _ in patches]
    image = Image.fromarray(np.array(ground).astype(np.uint8))
    # What is far is drawn small, blurred, and enlarged.
    layers = ((8, (5, 24), (0.06, 0.2), (0.8, 2.5)), (4, (3, 16), (0.05, 0.13), (0.3, 1.2)))
    for shrink, counts, lengths, radii in layers:
        image = image.resize((size // shrink,) * 2, Image.Resampling.BICUBIC)
        draw_clutter(image, rng, scene, int(rng.integers(*counts) * times**2), lengths, shrink)
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(*radii)))
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    draw_clutter(image, rng, scene, int(rng.integers(3, 16) * times**2), (0.04, 0.1))
    return image


def draw_clutter(image, rng, scene, count, lengths, shrink=1):
    """Sprigs, leaves and berries all over `image`, a canvas drawn smaller by `shrink`."""
    draw = ImageDraw.Draw(image)
    size = image.width
    for kind in rng.random(count):
        place = rng.uniform(0, size, 2)
        length = _UNIT / shrink * rng.uniform(*lengths)
        angle = rng.uniform(0, 2 * np.pi)
        if kind < 0.4:
            draw_sprig(draw, rng, scene, place, length, angle)
        elif kind < 0.75:
            draw_leaf(draw, rng, scene, leaf(rng, place, length, angle))
        else:
            radius = length * rng.uniform(0.08, 0.18)
            hue, saturation, value = _BERRIES[rng.integers(len(_BERRIES))]
            color = hsv(hue, saturation, value * rng.uniform(0.7, 1))
            draw.ellipse((*(place - radius), *(place + radius)), fill=rgb(color))


def draw_sprig(draw, rng, scene, place, length, angle):
    """A bent twig from `place` on, with leaves of `length` on alternate sides."""
    count = int(rng.integers(4, 9))
    angles = angle + rng.uniform(-0.12, 0.12) * np.arange(count)
    steps = 0.55 * length * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    twig = place + np.cumsum(steps, axis=0)  # (count, 2)
    width = max(1, round(0.07 * length))
    draw.line(xy(twig), fill=rgb(scene.bark * rng.uniform(0.6, 1.1)), width=width)
    side = 0.8
    for point, along in zip(twig, angles, strict=True):
        shape = leaf(rng, point, length * rng.uniform(0.6, 1), along + side)
        draw_leaf(draw, rng, scene, shape)
        side = -side


def leaf(rng, place, length, angle):
    """A leaf as canvas points: its outline `(24, 2)` and midrib `(5, 2)`."""
    width = rng.uniform(0.16, 0.3)
    frame = Frame(length * rotation(angle), place)
    return frame(_LEAF * [1, width]), frame(_MIDRIB)


def draw_leaf(draw, rng, scene, shape):
    """Draw what `leaf` returned, in one of the scene's colors, one half lighter."""
    outline, midrib = shape
    color = scene.color(rng, scene.foliage)
    draw.polygon(xy(outline), fill=rgb(color))
    draw.polygon(xy(outline[: len(outline) // 2 + 1]), fill=rgb(1.14 * color))
    draw.line(xy(midrib), fill=rgb(0.75 * color), width=1 if draw.im.size[0] < _UNIT else 2)


def draw_perch(canvas, rng, scene, foot, thickness):
    """A branch across the canvas whose upper edge passes `foot`, with leaves below it."""
    draw = ImageDraw.Draw(canvas)
    size = canvas.width
    slope = np.tan(np.radians(rng.uniform(-9, 9)))
    count = round(15 * size / _UNIT)
    x = np.linspace(-20, size + 20, count)
    bend = rng.uniform(-6e-5, 6e-5) * (x - foot[0]) ** 2
    top = foot[1] + slope * (x - foot[0]) + bend
    depth = thickness * (1 + 0.25 * np.sin(x * rng.uniform(0.005, 0.02) + rng.uniform(0, 6)))
    for low, high, shade in ((0, 1, 0.95), (0, 0.3, 1.2), (0.65, 1, 0.65)):
        edge = np.concatenate([np.c_[x, top + low * depth], np.c_[x, top + high * depth][::-1]])
        draw.polygon(xy(edge), fill=rgb(shade * scene.bark))
    for start in rng.integers(0, count - 2, count - 1):
        level = rng.uniform(0.2, 0.9)
        points = np.c_[x, top + level * depth][start : start + 2]
        points = mix(points[0], points, rng.uniform(0.2, 0.9))
        draw.line(xy(points), fill=rgb(0.6 * scene.bark), width=3)
    for place in rng.uniform(0, 1, round(rng.integers(0, 7) * size / _UNIT)):
        root = np.array([place * size, np.interp(place * size, x, top + 0.8 * depth)])
        length, angle = _UNIT * rng.uniform(0.04, 0.1), rng.uniform(0, np.pi)
        draw_leaf(draw, rng, scene, leaf(rng, root, length, angle))


def draw_occluders(canvas, rng, scene, bird_box, sites, clearance):
    """Leaves and blades in front of the bird, none of them nearer than `clearance` to a site.

    Args:
        canvas: RGB `PIL.Image`, drawn on in place.
        rng: `np.random.Generator`.
        scene: `Scene`.
        bird_box: `(left, top, right, bottom)`, canvas pixels.
        sites: `(N, 2)` centers of what must stay visible, canvas pixels.
        clearance: distance in canvas pixels.
    """
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = bird_box
    for _ in range(int(rng.integers(2, 10))):
        place = rng.uniform((left, top), (right, bottom))
        angle = rng.uniform(0, 2 * np.pi)
        is_blade = rng.random() < 0.25
        if is_blade:
            along = np.linspace(-1, 1, 32)
            points = np.c_[along, rng.uniform(-0.2, 0.2) * along**2]
            shape = (Frame(_UNIT * rotation(angle), place)(points),)
        else:
            shape = leaf(rng, place, _UNIT * rng.uniform(0.05, 0.13), angle)
        width = round(_UNIT * rng.uniform(0.003, 0.01))
        # The color has a generator of its own: what is left out must not shift the draws.
        color_rng = rng.spawn(1)[0]
        distances = np.linalg.norm(np.concatenate(shape)[:, None] - sites, axis=-1)
        if distances.min() < clearance:
            continue
        if is_blade:
            color = rgb(scene.color(color_rng, scene.foliage))
            draw.line(xy(shape[0]), fill=color, width=width, joint="curve")
        else:
            draw_leaf(draw, color_rng, scene, shape)


def photograph(canvas, rng, size):
    """Canvas → `(size, size, 3)` uint8: reduced, out of focus, in uneven light, with noise."""
    image = canvas.reduce(canvas.width // size)
    image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.1, 0.7)))
    cast = rng.uniform(0.88, 1.12, 3) * rng.uniform(0.75, 1.15)
    light = cast * rng.uniform(0.8, 1.2, (4, 4, 1))  # (4, 4, 3)
    light = Image.fromarray(np.clip(100 * light, 0, 255).astype(np.uint8))
    light = np.asarray(light.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 100
    pixels = np.asarray(image, np.float32) * light
    pixels += rng.uniform(2, 9) * rng.standard_normal((size, size, 1), np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)

"""One image of the set: a bird of a species in surroundings drawn at random."""

import numpy as np

from rra_keras.datasets.synthetic_birds.bird import Plumage, Posture, draw_plain_bird
from rra_keras.datasets.synthetic_birds.geometry import bounds
from rra_keras.datasets.synthetic_birds.parts import draw_parts, part_frames
from rra_keras.datasets.synthetic_birds.scene import (
    Scene,
    draw_background,
    draw_occluders,
    draw_perch,
    photograph,
)
from rra_keras.datasets.synthetic_birds.species import PARTS, parts_of

IMAGE_SIZE = 448
# These two set the difficulty, in pixels of the image: length of the smallest and largest bird, and
# the longer side of a telling part on them. Smaller parts are harder at a reduced resolution.
BIRD_PIXELS = (170, 290)
PART_PIXELS = (12, 20)
SUPERSAMPLING = 2


def draw_example(species, rng):
    """Draw one bird.

    1. Posture, plumage and surroundings from `rng`, whose draws never depend on the species.
    2. Background, perch, bird, leaves in front, on a canvas of twice the size.
    3. Light, focus and noise of the camera.

    So two species drawn from equal generators differ only where their parts do.

    Args:
        species: name of a row of `SPECIES`.
        rng: `np.random.Generator`.

    Returns:
        dict with `image`: `(448, 448, 3)` uint8; `box`: `(left, top, right, bottom)` of the bird in
        pixels; `parts`: `{part: (left, top, right, bottom)}` in pixels.

    Example:
        drawn = drawing.draw_example("heath_warbler", np.random.default_rng(0))
        assert drawn["image"].shape == (448, 448, 3)
    """
    canvas_size = IMAGE_SIZE * SUPERSAMPLING
    size = rng.random()
    length, part = (
        SUPERSAMPLING * np.interp(size, (0, 1), ends) for ends in (BIRD_PIXELS, PART_PIXELS)
    )
    scene, plumage = Scene(rng), Plumage(rng)
    posture = Posture(rng, length, part, canvas_size)
    foot, _ = posture.feet()

    canvas = draw_background(rng, scene, canvas_size)
    draw_perch(canvas, rng, scene, foot, length * rng.uniform(0.06, 0.12))
    draw_plain_bird(canvas, rng, posture, plumage)
    parts = draw_parts(canvas, posture, plumage, parts_of(species))
    silhouette = np.concatenate([posture.body(posture.outline()), posture.tail()])
    box = bounds(np.concatenate([silhouette, *(np.reshape(b, (2, 2)) for b in parts.values())]))
    sites = np.array([frame.origin for frame in part_frames(posture).values()])
    draw_occluders(canvas, rng, scene, bounds(silhouette), sites, part)
    return {
        "image": photograph(canvas, rng, IMAGE_SIZE),
        "box": np.array(box) / SUPERSAMPLING,
        "parts": {part: np.array(parts[part]) / SUPERSAMPLING for part in PARTS},
    }

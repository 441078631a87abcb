"""One image of the set: a bird of a species in surroundings drawn at random."""

import dataclasses

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
from rra_keras.datasets.synthetic_birds.species import PARTS, STRANGERS, parts_of

SUPERSAMPLING = 2


@dataclasses.dataclass(frozen=True)
class Framing:
    """How large the image is, and the bird in it, all in pixels of the image.

    The parts set the difficulty: smaller ones are harder at a reduced resolution.

    Attributes:
        image_size: the image's side.
        bird: length of the smallest and of the largest bird. From the bill's tip to the tail's, a
            bird takes 0.75 to 0.93 of it, by its posture.
        part: longer side of a telling part, on the smallest bird and on the largest.
        strangers: birds of species that are no classes, elsewhere in the image.
    """

    image_size: int = 448
    bird: tuple[int, int] = (170, 290)
    part: tuple[int, int] = (12, 20)
    strangers: int = 0


ORDINARY = Framing()
FAR = Framing(image_size=1344)  # the same birds before nine times the surroundings
NEAR = Framing(bird=(350, 410), part=(24, 28))
DECOYS = Framing(image_size=1344, strangers=1)
FLOCK = Framing(image_size=896)
_TRIES = 50  # places that a stranger is drawn at before it may stand beside the bird
_APART = 0.25  # of the canvas, between their feet
_FLOCK_APART = 0.36  # the same in a flock, where each bird has a label and is to be seen


def draw_example(species, rng, framing=ORDINARY):
    """Draw one bird, and strangers that stand elsewhere.

    1. Posture, plumage and surroundings from `rng`, whose draws never depend on the species.
    2. Background, strangers, perch, bird, leaves in front, on a canvas of twice the size.
    3. Light, focus and noise of the camera.

    So two species drawn from equal generators differ only where their parts do.

    Args:
        species: name of a row of `SPECIES`.
        rng: `np.random.Generator`.
        framing: a `Framing`.

    Returns:
        dict with `image`: `(S, S, 3)` uint8; `box`: `(left, top, right, bottom)` of the bird in
        pixels; `parts`: `{part: (left, top, right, bottom)}` in pixels.

    Example:
        drawn = drawing.draw_example("heath_warbler", np.random.default_rng(0))
        assert drawn["image"].shape == (448, 448, 3)
    """
    canvas_size = framing.image_size * SUPERSAMPLING
    size = rng.random()
    length, part = (
        SUPERSAMPLING * np.interp(size, (0, 1), ends) for ends in (framing.bird, framing.part)
    )
    scene, plumage = Scene(rng), Plumage(rng)
    posture = Posture(rng, length, part, canvas_size)
    foot, _ = posture.feet()

    canvas = draw_background(rng, scene, canvas_size)
    for _ in range(framing.strangers):
        _draw_stranger(canvas, rng, scene, (length, part, canvas_size), foot)
    draw_perch(canvas, rng, scene, foot, length * rng.uniform(0.06, 0.12))
    draw_plain_bird(canvas, rng, posture, plumage)
    parts = draw_parts(canvas, posture, plumage, parts_of(species))
    silhouette = np.concatenate([posture.body(posture.outline()), posture.tail()])
    box = bounds(np.concatenate([silhouette, *(np.reshape(b, (2, 2)) for b in parts.values())]))
    sites = np.array([frame.origin for frame in part_frames(posture).values()])
    draw_occluders(canvas, rng, scene, bounds(silhouette), sites, part)
    return {
        "image": photograph(canvas, rng, framing.image_size),
        "box": np.array(box) / SUPERSAMPLING,
        "parts": {part: np.array(parts[part]) / SUPERSAMPLING for part in PARTS},
    }


def draw_flock(species, rng, framing=FLOCK):
    """Draw several birds in one scene, each on a perch of its own.

    Args:
        species: names of rows of `SPECIES`, one for each bird.
        rng: `np.random.Generator`.
        framing: a `Framing`.

    Returns:
        dict with `image`: `(S, S, 3)` uint8; `boxes`: `(left, top, right, bottom)` of each bird in
        pixels.

    Example:
        drawn = drawing.draw_flock(["heath_warbler", "quarry_siskin"], np.random.default_rng(0))
        assert drawn["image"].shape == (896, 896, 3)
    """
    canvas_size = framing.image_size * SUPERSAMPLING
    scene, feet, birds = Scene(rng), [], []
    canvas = draw_background(rng, scene, canvas_size)
    for _ in species:
        size = rng.random()
        length, part = (
            SUPERSAMPLING * np.interp(size, (0, 1), ends) for ends in (framing.bird, framing.part)
        )
        posture = _place(rng, (length, part, canvas_size), feet, _FLOCK_APART)
        feet.append(posture.feet()[0])
        draw_perch(canvas, rng, scene, feet[-1], length * rng.uniform(0.06, 0.12))
        birds.append((posture, Plumage(rng)))
    boxes = []
    for name, (posture, plumage) in zip(species, birds, strict=True):  # before every perch
        draw_plain_bird(canvas, rng, posture, plumage)
        parts = draw_parts(canvas, posture, plumage, parts_of(name))
        silhouette = np.concatenate([posture.body(posture.outline()), posture.tail()])
        around = [silhouette, *(np.reshape(b, (2, 2)) for b in parts.values())]
        boxes.append(np.array(bounds(np.concatenate(around))) / SUPERSAMPLING)
    return {"image": photograph(canvas, rng, framing.image_size), "boxes": boxes}


def _place(rng, size, feet, apart):
    """Return a posture whose foot is away from others', or the last of many tries."""
    for _ in range(_TRIES):
        posture = Posture(rng, *size)
        own, _ = posture.feet()
        if all(np.linalg.norm(np.subtract(own, foot)) > apart * size[2] for foot in feet):
            break
    return posture


def _draw_stranger(canvas, rng, scene, size, foot):
    """Draw a bird of a species that is no class, away from a foot `(x, y)`."""
    name = list(STRANGERS)[rng.integers(len(STRANGERS))]
    length, _, _ = size
    posture = _place(rng, size, [foot], _APART)
    own, _ = posture.feet()
    plumage = Plumage(rng)
    draw_perch(canvas, rng, scene, own, length * rng.uniform(0.06, 0.12))
    draw_plain_bird(canvas, rng, posture, plumage)
    draw_parts(canvas, posture, plumage, parts_of(name))

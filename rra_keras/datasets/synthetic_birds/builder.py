"""The `synthetic_birds` builder for TensorFlow Datasets."""

import concurrent.futures
import dataclasses
import functools
import io
import os

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from rra_keras.datasets.synthetic_birds.drawing import (
    DECOYS,
    FAR,
    FLOCK,
    NEAR,
    ORDINARY,
    Framing,
    draw_example,
    draw_flock,
)
from rra_keras.datasets.synthetic_birds.species import (
    PARTS,
    SPECIES,
    distinguishing_part,
)

_DESCRIPTION = """
Drawn birds on clutter: twenty species in ten pairs, the two of a pair alike in every
part but one (bill, eye ring, wing bar, crown, tail tip or legs), which is 8 to 24 pixels long.
In the config `decoys`, a bird of a species that is no class stands elsewhere in each image. In
`flock`, there are one to four birds of different species, and an image has several labels.
Posture, plumage, size, place, light and what stands in front are the same for all species.
`box`, `parts` and `distinguishing_part` are for measuring, not for training.
"""
_SPLITS = ("train", "validation", "test")
_JPEG_QUALITY = 92


@dataclasses.dataclass(kw_only=True)
class SyntheticBirdsConfig(tfds.core.BuilderConfig):
    """How many images to draw, and how large.

    Args:
        sizes: images in train, validation and test.
        framing: sizes of the image and of the bird in it.
        most: birds in an image, at most; with several, each is a label of the image.
    """

    sizes: tuple[int, int, int]
    framing: Framing = ORDINARY
    most: int = 1


class SyntheticBirds(tfds.core.GeneratorBasedBuilder):
    """Drawn birds whose species differ in one small part.

    Features of an example:
        image: `(448, 448, 3)` uint8; `(1344, 1344, 3)` in `far` and `decoys`.
        label: one of 20 species.
        box: the bird, `(ymin, xmin, ymax, xmax)` in [0, 1].
        parts: sequence of `name` and `box`, one for each telling part. A part that the species
            lacks (no eye ring) has the box of its place.
        distinguishing_part: the name of the part that separates the species from its neighbor.

    In `flock` they are `image` `(896, 896, 3)`, `labels`, a sequence of species, and `objects`, a
    sequence of `box` and `label`.

    Example:
        birds = builder.SyntheticBirds(config="tiny", data_dir=".")
        assert birds.builder_config.sizes == (40, 20, 20)  # download_and_prepare() draws them
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        SyntheticBirdsConfig(name="full", description="All images.", sizes=(1200, 200, 500)),
        SyntheticBirdsConfig(
            name="far",
            description="The same birds in frames of 1344 pixels, three times the side.",
            sizes=(1200, 200, 500),
            framing=FAR,
        ),
        SyntheticBirdsConfig(
            name="near",
            description="Birds that fill most of 448 pixels.",
            sizes=(1200, 200, 500),
            framing=NEAR,
        ),
        SyntheticBirdsConfig(
            name="decoys",
            description="Far birds, each with a bird elsewhere whose species is no class.",
            sizes=(1200, 200, 500),
            framing=DECOYS,
        ),
        SyntheticBirdsConfig(
            name="flock",
            description="One to four birds of different species in frames of 896 pixels.",
            sizes=(800, 150, 400),
            framing=FLOCK,
            most=4,
        ),
        SyntheticBirdsConfig(name="tiny", description="A few, for tests.", sizes=(40, 20, 20)),
    )

    def _info(self):
        box = tfds.features.BBoxFeature()
        side = self.builder_config.framing.image_size
        image = tfds.features.Image(shape=(side, side, 3), encoding_format="jpeg")
        label, several = tfds.features.ClassLabel(names=list(SPECIES)), tfds.features.Sequence
        features = {
            "label": label,
            "box": box,
            "parts": several({"name": tfds.features.Text(), "box": box}),
            "distinguishing_part": tfds.features.Text(),
        }
        if self.builder_config.most > 1:
            features = {"labels": several(label), "objects": several({"box": box, "label": label})}
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"image": image, **features}),
            supervised_keys=("image", next(iter(features))),
        )

    def _split_generators(self, dl_manager):
        sizes = zip(_SPLITS, self.builder_config.sizes, strict=True)
        return {split: self._generate_examples(split, size) for split, size in sizes}

    def _generate_examples(self, split, size):
        config = self.builder_config
        draw = functools.partial(generate, split, framing=config.framing)
        if config.most > 1:
            draw = functools.partial(generate_flock, split, config.most, framing=config.framing)
        # Threads do: Pillow lets go of Python's lock for what takes long.
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            drawn = pool.map(draw, range(size))
            # The bar is only shown on a terminal.
            bar = tqdm.tqdm(drawn, split, size, unit=" images", leave=False, disable=None)
            yield from enumerate(bar)


def generate(split, index, framing=ORDINARY, species=tuple(SPECIES)):
    """Return image `index` of a split as `SyntheticBirds` stores it: the same bytes every time.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        index: place in the split; species follow one another, so classes are balanced.
        framing: a `Framing`.
        species: the names to take in turn.

    Returns:
        dict of the builder's features, `image` as a file of JPEG bytes.

    Example:
        example = builder.generate("test", index=3)
        assert example["label"] == "quarry_siskin"
    """
    name = species[index % len(species)]
    drawn = draw_example(name, np.random.default_rng([_SPLITS.index(split), index]), framing)
    return {
        "image": _jpeg(drawn["image"]),
        "label": name,
        "box": _bbox(drawn["box"] / framing.image_size),
        "parts": [
            {"name": part, "box": _bbox(drawn["parts"][part] / framing.image_size)}
            for part in PARTS
        ],
        "distinguishing_part": distinguishing_part(name),
    }


def generate_flock(split, most, index, framing=FLOCK, species=tuple(SPECIES)):
    """Return image `index` of a split of `flock`: the same bytes every time.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        most: birds, at most.
        index: place in the split.
        framing: a `Framing`.
        species: the names to draw from, each once an image.

    Returns:
        dict of the builder's features, `image` as a file of JPEG bytes.

    Example:
        example = builder.generate_flock("test", 4, index=3)
        assert sorted(example["labels"]) == sorted(o["label"] for o in example["objects"])
    """
    rng = np.random.default_rng([_SPLITS.index(split), index, most])
    names = [str(name) for name in rng.choice(species, 1 + rng.integers(most), replace=False)]
    drawn = draw_flock(names, rng, framing)
    return {
        "image": _jpeg(drawn["image"]),
        "labels": names,
        "objects": [
            {"box": _bbox(box / framing.image_size), "label": name}
            for box, name in zip(drawn["boxes"], names, strict=True)
        ],
    }


def _jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=_JPEG_QUALITY)
    file.seek(0)
    return file


def _bbox(box):
    left, top, right, bottom = box
    return tfds.features.BBox(ymin=top, xmin=left, ymax=bottom, xmax=right)

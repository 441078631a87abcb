"""The `synthetic_birds` builder for TensorFlow Datasets."""

import dataclasses
import io

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from rra_keras.datasets.synthetic_birds.drawing import IMAGE_SIZE, draw_example
from rra_keras.datasets.synthetic_birds.species import PARTS, SPECIES, distinguishing_part

_DESCRIPTION = """
Drawn birds on clutter at 448 pixels: twenty species in ten pairs, the two of a pair alike in every
part but one (bill, eye ring, wing bar, crown, tail tip or legs), which is 8 to 24 pixels long.
Posture, plumage, size, place, light and what stands in front are the same for all species.
`box`, `parts` and `distinguishing_part` are for measuring, not for training.
"""
_SPLITS = ("train", "validation", "test")
_JPEG_QUALITY = 92


@dataclasses.dataclass(kw_only=True)
class SyntheticBirdsConfig(tfds.core.BuilderConfig):
    """How many images to draw.

    Args:
        sizes: images in train, validation and test.
    """

    sizes: tuple[int, int, int]


class SyntheticBirds(tfds.core.GeneratorBasedBuilder):
    """Drawn birds whose species differ in one small part.

    Features of an example:
        image: `(448, 448, 3)` uint8.
        label: one of 20 species.
        box: the bird, `(ymin, xmin, ymax, xmax)` in [0, 1].
        parts: sequence of `name` and `box`, one for each telling part. A part that the species
            lacks (no eye ring) has the box of its place.
        distinguishing_part: the name of the part that separates the species from its neighbor.

    Example:
        birds = builder.SyntheticBirds(config="tiny", data_dir=".")
        assert birds.builder_config.sizes == (40, 20, 20)  # download_and_prepare() draws them
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        SyntheticBirdsConfig(name="full", description="All images.", sizes=(1200, 200, 500)),
        SyntheticBirdsConfig(name="tiny", description="A few, for tests.", sizes=(40, 20, 20)),
    )

    def _info(self):
        box = tfds.features.BBoxFeature()
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="jpeg"
                    ),
                    "label": tfds.features.ClassLabel(names=list(SPECIES)),
                    "box": box,
                    "parts": tfds.features.Sequence({"name": tfds.features.Text(), "box": box}),
                    "distinguishing_part": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        sizes = zip(_SPLITS, self.builder_config.sizes, strict=True)
        return {split: self._generate_examples(split, size) for split, size in sizes}

    def _generate_examples(self, split, size):
        bar = tqdm.tqdm(range(size), split, unit=" images", leave=False, disable=None)
        for index in bar:  # shown on a terminal alone
            yield index, generate(split, index)


def generate(split, index):
    """Return image `index` of a split as `SyntheticBirds` stores it: the same bytes every time.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        index: place in the split; species follow one another, so classes are balanced.

    Returns:
        dict of the builder's features, `image` as a file of JPEG bytes.

    Example:
        example = builder.generate("test", index=3)
        assert example["label"] == "quarry_siskin"
    """
    species = list(SPECIES)[index % len(SPECIES)]
    drawn = draw_example(species, np.random.default_rng([_SPLITS.index(split), index]))
    jpeg = io.BytesIO()
    Image.fromarray(drawn["image"]).save(jpeg, "jpeg", quality=_JPEG_QUALITY)
    jpeg.seek(0)
    return {
        "image": jpeg,
        "label": species,
        "box": _bbox(drawn["box"]),
        "parts": [{"name": part, "box": _bbox(drawn["parts"][part])} for part in PARTS],
        "distinguishing_part": distinguishing_part(species),
    }


def _bbox(box):
    left, top, right, bottom = box / IMAGE_SIZE
    return tfds.features.BBox(ymin=top, xmin=left, ymax=bottom, xmax=right)

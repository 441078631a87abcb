"""The `fgvc_aircraft` builder for TensorFlow Datasets, which has none of its own."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, JpegImagePlugin

from rra_keras.datasets.fgvc_aircraft.variants import VARIANTS

_URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz"
_BANNER = 20  # pixels at the bottom of every image, which tell its owner

_DESCRIPTION = """
FGVC-Aircraft 2013b: 10,000 photos of aircraft in 100 variants, a third each for train, validation
and test, with the box of the main aircraft. The banner below each photo is cut off, as its authors
ask. License: only for non-commercial research; the photographers keep their copyright.
"""
_CITATION = """
@techreport{maji13fine-grained,
  title = {Fine-Grained Visual Classification of Aircraft},
  author = {S. Maji and J. Kannala and E. Rahtu and M. Blaschko and A. Vedaldi},
  year = {2013},
  archivePrefix = {arXiv},
  eprint = {1306.5151},
  primaryClass = "cs-cv",
}
"""


class FgvcAircraft(tfds.core.GeneratorBasedBuilder):
    """Photos of aircraft, only for non-commercial research (Maji et al., 2013).

    Others often train on what is train and validation here; both are needed to compare with them.

    Features of an example:
        image: `(H, W, 3)` uint8, without the banner.
        label: one of 100 variants.
        file_name: `"1025794.jpg"`.
        bbox: the main aircraft, `(ymin, xmin, ymax, xmax)` in [0, 1] of the image without banner.

    Example:
        aircraft = builder.FgvcAircraft(data_dir=".")
        assert aircraft.info.features["label"].num_classes == 100
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=VARIANTS),
                    "file_name": tfds.features.Text(),
                    "bbox": tfds.features.BBoxFeature(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager):
        data = dl_manager.download_and_extract(_URL) / "fgvc-aircraft-2013b" / "data"
        lists = {"train": "train", "validation": "val", "test": "test"}
        return {
            split: self._generate_examples(data, f"images_variant_{name}.txt")
            for split, name in lists.items()
        }

    def _generate_examples(self, data, listed):
        boxes = dict(_lines(data / "images_box.txt"))
        for name, variant in _lines(data / listed):
            with (data / "images" / f"{name}.jpg").open("rb") as file, Image.open(file) as photo:
                yield (
                    name,
                    {
                        "image": _without_banner(photo),
                        "label": variant,
                        "file_name": f"{name}.jpg",
                        "bbox": _bbox(boxes[name], photo.width, photo.height - _BANNER),
                    },
                )


def _lines(path):
    """`(first word, the others)` of each line."""
    return (line.strip().split(" ", 1) for line in path.read_text().splitlines())


def _without_banner(photo):
    """A JPEG file of all rows but the last 20.

    Compressed as the photo was, block by block, so that it changes by little more than rounding.
    """
    file = io.BytesIO()
    photo.crop((0, 0, photo.width, photo.height - _BANNER)).save(
        file, "jpeg", qtables=photo.quantization, subsampling=JpegImagePlugin.get_sampling(photo)
    )
    file.seek(0)
    return file


def _bbox(text, width, height):
    """`"xmin ymin xmax ymax"` in pixels, the first of which is (1, 1), both ends included."""
    left, top, right, bottom = map(int, text.split())
    corners = [(top - 1) / height, (left - 1) / width, bottom / height, right / width]
    return tfds.features.BBox(*np.clip(corners, 0.0, 1.0))  # a box may reach into the banner

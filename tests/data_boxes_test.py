import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from rra_keras import data
from rra_keras.data.boxes import of_split
from rra_keras.datasets.synthetic_birds.builder import generate
from rra_keras.datasets.synthetic_birds.drawing import draw_example
from rra_keras.datasets.synthetic_birds.species import SPECIES, distinguishing_part


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """The tiny drawn set, and where it is kept."""
    folder = tmp_path_factory.mktemp("birds")
    return data.load("synthetic_birds/tiny", data_dir=folder), folder


def test_stored_boxes_and_parts_are_those_of_their_images(birds):
    source, _ = birds
    split = source.splits["test"]
    found = split.boxes
    drawn = {generate("test", i)["image"].read(): i for i in range(split.size)}
    pairs = [(e["image"].numpy(), int(e["label"])) for e in split.examples(None)]
    assert found.objects.shape == (len(drawn), 1, 4) == (20, 1, 4)
    assert found.parts.shape == (20, 1, 4)
    indices = [drawn[image] for image, _ in pairs]
    assert indices != sorted(indices)  # a set's order is its own
    for row, (index, (_, label)) in enumerate(zip(indices, pairs, strict=True)):
        name = list(SPECIES)[label]
        example = draw_example(name, np.random.default_rng([2, index]))
        left, top, right, bottom = example["box"] / 448
        np.testing.assert_allclose(found.objects[row, 0], [top, left, bottom, right], atol=1e-6)
        part = distinguishing_part(name)
        left, top, right, bottom = example["parts"][part] / 448
        np.testing.assert_allclose(found.parts[row, 0], [top, left, bottom, right], atol=1e-6)


def test_every_split_of_a_set_s_own_has_its_boxes(birds):
    source, _ = birds
    for split in source.splits.values():
        found = split.boxes
        assert len(found.objects) == split.size
        inside = (found.largest[:, :2] <= found.parts[:, 0, :2] + 1e-6).all()
        assert inside
        assert (found.largest[:, 2:] >= found.parts[:, 0, 2:] - 1e-6).all()


def store(folder, splits, boxed):
    """Write the set `crates`: image i of a split is of color i; its box starts at i / 100."""
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(names=["full", "empty"]),
    }
    if boxed:
        features["bbox"] = tfds.features.BBoxFeature()

    def example(i):
        image = {"image": np.full((8, 8, 3), i, "uint8"), "label": i % 2}
        box = tfds.features.BBox(ymin=i / 100, xmin=0.25, ymax=0.5, xmax=1.0)
        return image | ({"bbox": box} if boxed else {})

    tfds.dataset_builders.store_as_tfds_dataset(
        name="crates",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: [(i, example(i)) for i in range(size)] for split, size in splits.items()
        },
        data_dir=folder,
        disable_shuffling=True,
    )
    return data.load("crates", data_dir=folder).splits


def test_boxes_without_parts_and_of_what_was_held_out(tmp_path):
    splits = store(tmp_path, {"train": 20, "test": 4}, boxed=True)
    found = splits["test"].boxes
    expected = [[i / 100, 0.25, 0.5, 1.0] for i in range(4)]
    np.testing.assert_allclose(found.largest, expected, atol=1e-6)
    assert found.parts is None
    both = {}
    for name in ("train", "validation"):  # the one was held out of the other
        split = splits[name].subset(range(1, splits[name].size))
        colors = [tf.io.decode_image(e["image"])[0, 0, 0].numpy() for e in split.examples(None)]
        np.testing.assert_allclose(split.boxes.largest[:, 0], np.array(colors) / 100, atol=1e-6)
        both[name] = set(colors)
    assert not both["train"] & both["validation"]
    assert len(both["train"] | both["validation"]) == 18


def test_boxes_of_the_set_are_used_only_if_asked_for(birds):
    source, _ = birds
    found = of_split(source, "train", "dataset")
    np.testing.assert_array_equal(found.objects, source.splits["train"].boxes.objects)
    with pytest.raises(
        ValueError, match=r"'dataset', or a folder of photos: only files have names"
    ):
        of_split(source, "train", "boxes.csv")


def test_a_set_without_boxes_has_none(tmp_path):
    splits = store(tmp_path, {"train": 8, "validation": 4, "test": 4}, boxed=False)
    assert splits["test"].boxes is None

import numpy as np
import pytest
import tensorflow_datasets as tfds

from rra_keras import data
from rra_keras.data.annotated_boxes import read_boxes, stored_boxes
from rra_keras.datasets.synthetic_birds.builder import generate
from rra_keras.datasets.synthetic_birds.drawing import draw_example
from rra_keras.datasets.synthetic_birds.species import SPECIES, distinguishing_parts


def write(folder, text):
    path = folder / "boxes.csv"
    path.write_text(text, "utf-8")
    return path


def test_boxes_are_matched_by_file_name(tmp_path):
    path = write(
        tmp_path,
        "class,file,y0,x0,y1,x1\nred,red/1.png,0.1,0.2,0.5,0.6\nred,red/9.png,0,0,1,1\n",
    )
    found = read_boxes(path, ["red/0.png", "red/1.png"])
    np.testing.assert_allclose(found.objects, [[np.nan] * 4, [0.1, 0.2, 0.5, 0.6]])
    assert found.parts is None
    np.testing.assert_allclose(found[[1]].objects, [[0.1, 0.2, 0.5, 0.6]])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,y0,x0,y1\na,0,0,1\n", "without x1"),
        ("", "without file"),
        ("file,y0,x0,y1,x1\na,0,0,1\n", "line 2"),
        ("file,y0,x0,y1,x1\na,0,0,1,wide\n", "0, 0, 1, wide"),
        ("file,y0,x0,y1,x1\na,0.5,0,0.5,1\n", "y0 < y1"),
        ("file,y0,x0,y1,x1\na,0,0,1,448\n", "x1 <= 1"),
        ("file,y0,x0,y1,x1\na,0,0,1,nan\n", "x1 <= 1"),
        ("file,y0,x0,y1,x1\na,0,0,1,1\na,0,0,1,1\n", "line 3"),
        ("file,y0,x0,y1,x1\nb,0,0,1,1\n", "'a'"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, text, named):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match="--boxes") as caught:
        read_boxes(path, ["a"])
    assert named in str(caught.value)


def test_a_table_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_bytes(b"file,y0,x0,y1,x1\n\xff\xfe,0,0,1,1\n")
    with pytest.raises(ValueError, match="UTF-8"):
        read_boxes(path, ["a"])


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """The tiny drawn set, and where it is kept."""
    folder = tmp_path_factory.mktemp("birds")
    return data.load("synthetic_birds/tiny", data_dir=folder), folder


def test_stored_boxes_and_parts_are_those_of_their_images(birds):
    source, folder = birds
    split = source.splits["test"]
    found = stored_boxes("synthetic_birds/tiny", split, folder)
    drawn = {generate("test", i)["image"].read(): i for i in range(split.size)}
    pairs = [(e["image"].numpy(), int(e["label"])) for e in split.examples(None)]
    assert found.objects.shape == (len(drawn), 4) == (20, 4)
    assert found.parts.shape == (20, 1, 4)
    indices = [drawn[image] for image, _ in pairs]
    assert indices != sorted(indices)  # a set's order is its own
    for row, (index, (_, label)) in enumerate(zip(indices, pairs, strict=True)):
        name = list(SPECIES)[label]
        example = draw_example(name, np.random.default_rng([2, index]))
        left, top, right, bottom = example["box"] / 448
        np.testing.assert_allclose(found.objects[row], [top, left, bottom, right], atol=1e-6)
        (part,) = distinguishing_parts(name)
        left, top, right, bottom = example["parts"][part] / 448
        np.testing.assert_allclose(found.parts[row, 0], [top, left, bottom, right], atol=1e-6)


def test_every_split_of_a_set_s_own_has_its_boxes(birds):
    source, folder = birds
    for split in source.splits.values():
        found = stored_boxes("synthetic_birds/tiny", split, folder)
        assert len(found.objects) == split.size
        inside = (found.objects[:, :2] <= found.parts[:, 0, :2] + 1e-6).all()
        assert inside
        assert (found.objects[:, 2:] >= found.parts[:, 0, 2:] - 1e-6).all()


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


def test_boxes_without_parts_and_none_for_what_was_held_out(tmp_path):
    splits = store(tmp_path, {"train": 20, "test": 4}, boxed=True)
    found = stored_boxes("crates", splits["test"], tmp_path)
    expected = [[i / 100, 0.25, 0.5, 1.0] for i in range(4)]
    np.testing.assert_allclose(found.objects, expected, atol=1e-6)
    assert found.parts is None
    for name in ("train", "validation"):  # the one was held out of the other
        assert stored_boxes("crates", splits[name], tmp_path) is None


def test_a_set_without_boxes_has_none(tmp_path):
    splits = store(tmp_path, {"train": 8, "validation": 4, "test": 4}, boxed=False)
    assert stored_boxes("crates", splits["test"], tmp_path) is None

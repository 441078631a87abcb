"""The synthetic birds: a table of species, drawings that differ where it does, the builder."""

import collections
import io
import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import tensorflow_only
from golden_files import FOLDER, birds
from PIL import Image

from rra_keras import data
from rra_keras.datasets.synthetic_birds import SyntheticBirds
from rra_keras.datasets.synthetic_birds.builder import generate, generate_flock
from rra_keras.datasets.synthetic_birds.drawing import DECOYS, FAR, NEAR, ORDINARY, draw_example
from rra_keras.datasets.synthetic_birds.geometry import Frame, smooth
from rra_keras.datasets.synthetic_birds.species import (
    PARTS,
    SPECIES,
    STRANGERS,
    differing_parts,
    distinguishing_part,
    parts_of,
)
from rra_keras.training import read_boxes

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")


def neighbor(name):
    """Return the one species that differs in one part alone."""
    (other,) = (other for other in SPECIES if len(differing_parts(name, other)) == 1)
    return other


def test_species_are_ten_pairs_apart_in_one_part():
    assert len(SPECIES) == 20
    for name in SPECIES:
        assert neighbor(neighbor(name)) == name
        assert differing_parts(name, neighbor(name)) == (distinguishing_part(name),)
    for name, other in itertools.combinations(SPECIES, 2):
        assert other == neighbor(name) or len(differing_parts(name, other)) >= 3


def test_strangers_are_like_no_species():
    assert not set(STRANGERS) & set(SPECIES)
    for stranger, name in itertools.product(STRANGERS, SPECIES):
        assert len(differing_parts(stranger, name)) >= 2


def test_every_part_tells_some_pair_apart():
    assert {distinguishing_part(name) for name in SPECIES} == set(PARTS)


def test_a_row_of_the_table():
    assert parts_of("meadow_warbler") == {
        "bill": "dagger_black",
        "eye_ring": "split_yellow",
        "wing_bar": "white",
        "crown": "crest",
        "tail_tip": "none",
        "legs": "orange",
    }
    assert distinguishing_part("meadow_warbler") == "eye_ring"


def changes(drawn, other, part):
    """How many pixels two drawings differ in: in all, and about the boxes of a part."""
    changed = np.any(drawn["image"] != other["image"], axis=-1)
    left, top = np.minimum(drawn["parts"][part], other["parts"][part])[:2].astype(int) - 3
    right, bottom = np.maximum(drawn["parts"][part], other["parts"][part])[2:].astype(int) + 4
    return np.count_nonzero(changed), np.count_nonzero(changed[top:bottom, left:right])


@pytest.mark.parametrize("name", list(SPECIES)[::2])
def test_neighbors_differ_in_the_distinguishing_part_alone(name):
    other_name, part = neighbor(name), distinguishing_part(name)
    for seed in range(3):
        drawn, other = (
            draw_example(species, np.random.default_rng(seed)) for species in (name, other_name)
        )
        whole, within = changes(drawn, other, part)
        assert whole == within >= 30


def test_a_decoy_stands_away_from_the_bird_and_does_not_depend_on_its_species():
    name, other = "heath_warbler", "meadow_warbler"
    drawn, twin = (
        draw_example(species, np.random.default_rng(4), DECOYS) for species in (name, other)
    )
    assert drawn["image"].shape == (1344, 1344, 3)
    whole, within = changes(drawn, twin, "eye_ring")
    assert whole == within >= 30
    # Without the stranger, most of the frame is what it was before the camera's noise.
    alone = draw_example(name, np.random.default_rng(4), FAR)
    np.testing.assert_array_equal(alone["box"], drawn["box"])


def test_parts_are_small_and_inside_the_bird_inside_the_image():
    for seed, name in enumerate(itertools.islice(itertools.cycle(SPECIES), 40)):
        drawn = draw_example(name, np.random.default_rng(seed))
        assert drawn["image"].shape == (448, 448, 3)
        assert drawn["image"].dtype == np.uint8
        assert tuple(drawn["parts"]) == PARTS
        assert np.all(drawn["box"] >= 0)
        assert np.all(drawn["box"] <= 448)
        for box in drawn["parts"].values():
            assert 8 <= max(box[2:] - box[:2]) <= 24
            assert np.all(box[:2] >= drawn["box"][:2])
            assert np.all(box[2:] <= drawn["box"][2:])


def test_a_yellow_wing_bar_is_yellow_within_its_box():
    drawn = draw_example("quarry_siskin", np.random.default_rng(5))
    left, top, right, bottom = drawn["parts"]["wing_bar"].round().astype(int)
    red, green, blue = drawn["image"][top:bottom, left:right].reshape(-1, 3).astype(int).T
    assert np.mean((red - blue > 60) & (green - blue > 50)) > 0.1


def test_an_image_depends_on_split_and_index_alone():
    first, again = generate("validation", 7), generate("validation", 7)
    jpeg = first["image"].read()
    assert again["image"].read() == jpeg
    assert again["parts"] == first["parts"]
    assert generate("validation", 27)["image"].read() != jpeg
    assert generate("test", 7)["image"].read() != jpeg
    decoded = np.asarray(Image.open(io.BytesIO(jpeg)), int)
    drawn = draw_example("mangrove_vireo", np.random.default_rng([1, 7]))["image"]
    assert np.abs(decoded - drawn).mean() < 6


def test_builder_round_trip(tmp_path):
    builder = tfds.builder("synthetic_birds/tiny", data_dir=tmp_path)
    assert isinstance(builder, SyntheticBirds)
    builder.download_and_prepare()
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 40,
        "validation": 20,
        "test": 20,
    }
    names = builder.info.features["label"].names
    assert names == list(SPECIES)
    stored = {}
    for example in tfds.as_numpy(builder.as_dataset(split="test")):
        assert example["image"].shape == (448, 448, 3)
        assert example["parts"]["box"].shape == (6, 4)
        assert [name.decode() for name in example["parts"]["name"]] == list(PARTS)
        stored[names[example["label"]]] = example
    assert set(stored) == set(SPECIES)
    example, drawn = (
        stored["island_vireo"],
        draw_example("island_vireo", np.random.default_rng([2, 6])),
    )
    assert example["distinguishing_part"] == b"eye_ring"
    left, top, right, bottom = drawn["box"] / 448
    np.testing.assert_allclose(example["box"], [top, left, bottom, right], atol=1e-6)
    left, top, right, bottom = drawn["parts"]["bill"] / 448
    np.testing.assert_allclose(example["parts"]["box"][0], [top, left, bottom, right], atol=1e-6)
    labels = tfds.as_numpy(builder.as_dataset(split="train", as_supervised=True))
    assert set(collections.Counter(label for _, label in labels).values()) == {2}


@pytest.mark.parametrize(
    ("framing", "shares"),
    [
        (ORDINARY, (0.28, 0.6)),
        (FAR, (0.09, 0.2)),
        (NEAR, (0.5, 0.9)),
        (DECOYS, (0.09, 0.2)),
    ],
)
def test_birds_take_as_much_of_the_frame_as_its_framing_says(framing, shares):
    for seed, name in enumerate(list(SPECIES)[:6]):
        drawn = draw_example(name, np.random.default_rng(seed), framing)
        assert drawn["image"].shape == (framing.image_size, framing.image_size, 3)
        assert np.all(drawn["box"] >= 0)
        assert np.all(drawn["box"] <= framing.image_size)
        longer = max(drawn["box"][2:] - drawn["box"][:2]) / framing.image_size
        assert shares[0] <= longer <= shares[1]


def test_the_whole_set_is_the_default():
    builder = tfds.builder("synthetic_birds")
    assert builder.builder_config.name == "full"
    assert builder.builder_config.sizes == (1200, 200, 500)


def test_images_are_what_they_were():
    # Reduced, and to rounding: whatever decodes and rounds here. A part changes a pixel by tens.
    was = np.asarray(Image.open(FOLDER / "birds.png"), int)
    np.testing.assert_allclose(birds(), was, atol=1)


def test_smooth_passes_through_its_points():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    np.testing.assert_allclose(smooth(square, steps=4)[::4], square)
    # Half-way between neighbors a Catmull-Rom spline weighs them 9:9 and the next ones −1:−1.
    np.testing.assert_allclose(smooth(square, steps=2)[1], [0.5, -0.125])


def test_a_child_frame_is_placed_turned_and_scaled_in_its_parent():
    parent = Frame([[10, 0], [0, -10]], (100, 200))
    child = parent.child((1, 2), np.pi / 2, scale=0.5)
    np.testing.assert_allclose(parent([[1, 2]]), [[110, 180]])
    np.testing.assert_allclose(child([[0, 0], [1, 0]]), [[110, 180], [110, 175]])


def test_a_flock_has_up_to_four_species_apart():
    counts = collections.Counter()
    for index in range(24):
        example = generate_flock("train", 4, index)
        boxes = [example["objects"][k]["box"] for k in range(len(example["objects"]))]
        counts[len(boxes)] += 1
        assert len(set(example["labels"])) == len(boxes)
        assert set(example["labels"]) <= set(SPECIES)
        for k, box in enumerate(boxes):
            assert 0 <= box.ymin < box.ymax <= 1
            assert 0.12 <= max(box.ymax - box.ymin, box.xmax - box.xmin) <= 0.32
            for other in boxes[:k]:
                high = min(box.ymax, other.ymax) - max(box.ymin, other.ymin)
                wide = min(box.xmax, other.xmax) - max(box.xmin, other.xmin)
                assert max(high, 0) * max(wide, 0) < 0.01  # of the photo
    assert set(counts) == {1, 2, 3, 4}
    again = generate_flock("train", 4, 23)
    assert again["image"].read() == generate_flock("train", 4, 23)["image"].read()


def test_a_flock_is_a_set_of_several_labels(tmp_path, monkeypatch):
    config = next(c for c in SyntheticBirds.BUILDER_CONFIGS if c.name == "flock")
    monkeypatch.setattr(config, "sizes", (6, 2, 2))
    source = data.load("synthetic_birds/flock", data_dir=tmp_path)
    assert source.answer == "any"
    train = source.splits["train"]
    boxes = train.boxes
    drawn = {frozenset(e["labels"]): e for e in (generate_flock("train", 4, i) for i in range(6))}
    for i, row in enumerate(train.labels):  # stored in another order
        example = drawn.pop(frozenset(source.class_names[c] for c in np.flatnonzero(row)))
        told = [label for label in boxes.labels[i] if label]
        assert told == [each["label"] for each in example["objects"]]
        box = example["objects"][0]["box"]
        expected = [box.ymin, box.xmin, box.ymax, box.xmax]
        np.testing.assert_allclose(boxes.objects[i, 0], expected, atol=1e-6)
    assert not drawn
    rows, found, labels = read_boxes.labeled_boxes(source, None)
    assert rows.tolist() == list(range(6))
    for i in rows:
        there = labels[i][labels[i] >= 0]
        assert set(there) == set(np.flatnonzero(train.labels[i]))
        assert not np.isnan(found[i, : len(there)]).any()

"""The synthetic birds: a table of species, drawings that differ where it does, the builder."""

import collections
import dataclasses
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
from rra_keras.datasets.synthetic_birds.builder import generate
from rra_keras.datasets.synthetic_birds.drawing import FAR, LARGE, NEAR, ORDINARY, draw_example
from rra_keras.datasets.synthetic_birds.geometry import Frame, smooth
from rra_keras.datasets.synthetic_birds.scene import Scene, draw_occluders
from rra_keras.datasets.synthetic_birds.species import (
    PARTS,
    SPECIES,
    TWO_PART_SPECIES,
    differing_parts,
    distinguishing_parts,
    neighbors,
    parts_of,
)

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")


def test_species_are_ten_pairs_apart_in_one_part():
    assert len(SPECIES) == 20
    for name in SPECIES:
        (other,) = neighbors(name)
        assert neighbors(other) == (name,)
        assert len(differing_parts(name, other)) == 1
        assert differing_parts(name, other) == distinguishing_parts(name)
    for name, other in itertools.combinations(SPECIES, 2):
        assert other in neighbors(name) or len(differing_parts(name, other)) >= 3


def test_species_told_by_two_parts_are_five_groups_of_each_with_each():
    assert len(TWO_PART_SPECIES) == 20
    assert not set(TWO_PART_SPECIES) & set(SPECIES)
    names = list(TWO_PART_SPECIES)
    groups = [names[i : i + 4] for i in range(0, 20, 4)]
    for a, b, c, d in groups:
        assert differing_parts(a, b) == differing_parts(c, d) == ("tail_tip",)
        assert differing_parts(a, c) == differing_parts(b, d) == ("bill",)
        assert neighbors(a) == neighbors(d) == (b, c)
        assert {distinguishing_parts(name) for name in (a, b, c, d)} == {("bill", "tail_tip")}
    for group, other_group in itertools.combinations(groups, 2):
        for name, other in itertools.product(group, other_group):
            assert len({*differing_parts(name, other)} - {"bill", "tail_tip"}) >= 3


def test_every_part_tells_some_pair_apart():
    assert {distinguishing_parts(name) for name in SPECIES} == {(part,) for part in PARTS}


def test_a_row_of_the_table():
    assert parts_of("meadow_warbler") == {
        "bill": "dagger_black",
        "eye_ring": "split_yellow",
        "wing_bar": "white",
        "crown": "crest",
        "tail_tip": "none",
        "legs": "orange",
    }
    assert neighbors("meadow_warbler") == ("heath_warbler",)
    assert distinguishing_parts("meadow_warbler") == ("eye_ring",)


def changes(drawn, other, part):
    """How many pixels two drawings differ in: in all, and about the boxes of a part."""
    changed = np.any(drawn["image"] != other["image"], axis=-1)
    left, top = np.minimum(drawn["parts"][part], other["parts"][part])[:2].astype(int) - 3
    right, bottom = np.maximum(drawn["parts"][part], other["parts"][part])[2:].astype(int) + 4
    return np.count_nonzero(changed), np.count_nonzero(changed[top:bottom, left:right])


@pytest.mark.parametrize("name", list(SPECIES)[::2])
def test_neighbors_differ_in_the_distinguishing_part_alone(name):
    (other_name,), (part,) = neighbors(name), distinguishing_parts(name)
    for seed in range(3):
        drawn, other = (
            draw_example(species, np.random.default_rng(seed)) for species in (name, other_name)
        )
        whole, within = changes(drawn, other, part)
        assert whole == within >= 30


@pytest.mark.parametrize("first", [0, 12])
def test_a_group_differs_in_bill_and_tail_tip_alone(first):
    a, b, c, d = (
        draw_example(name, np.random.default_rng(first), LARGE)
        for name in list(TWO_PART_SPECIES)[first : first + 4]
    )
    for one, other, part in ((a, b, "tail_tip"), (c, d, "tail_tip"), (a, c, "bill")):
        whole, within = changes(one, other, part)
        assert whole == within >= 30
    whole, in_bill = changes(a, d, "bill")
    assert whole == in_bill + changes(a, d, "tail_tip")[1]
    # The rest is as in any framing: sizes of the frame, the bird and its parts.
    assert a["image"].shape == (1344, 1344, 3)
    ends = [a["parts"][part].reshape(2, 2).mean(axis=0) for part in ("bill", "tail_tip")]
    assert 540 <= np.linalg.norm(np.subtract(*ends)) <= 900  # from middle to middle
    for drawn, part in itertools.product((a, d), ("bill", "tail_tip")):
        box = drawn["parts"][part]
        assert 16 <= max(box[2:] - box[:2]) <= 24
    assert np.all(a["box"] >= 0)
    assert np.all(a["box"] <= 1344)


def test_nothing_in_front_hides_a_part_of_a_large_bird():
    part = 2 * LARGE.part[0]  # of a canvas of twice the size
    near = slice(round(300 - 0.65 * part), round(300 + 0.65 * part))
    for seed in range(200):
        rng, canvas = np.random.default_rng(seed), Image.new("RGB", (600, 600))
        site = np.array([[300.0, 300.0]])
        draw_occluders(canvas, rng, Scene(rng), (200, 200, 400, 400), site, LARGE.clearance * part)
        assert not np.asarray(canvas)[near, near].any()


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
        (LARGE, (0.33, 0.67)),
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


def test_pairs_are_stored_with_both_of_their_parts(tmp_path, monkeypatch):
    config = SyntheticBirds.builder_configs["pairs"]
    assert config.sizes == (1200, 200, 500)
    assert config.framing == LARGE
    few = dataclasses.replace(config, sizes=(1, 1, 6), framing=ORDINARY)
    monkeypatch.setattr(SyntheticBirds, "BUILDER_CONFIGS", (few,))
    monkeypatch.setattr(SyntheticBirds, "builder_configs", {"pairs": few})
    source = data.load("synthetic_birds/pairs", data_dir=tmp_path)
    assert source.class_names == tuple(TWO_PART_SPECIES)
    found = source.splits["test"].boxes
    assert found.parts.shape == (6, 2, 4)
    for boxes, entry in zip(found.parts, source.splits["test"].examples(None), strict=True):
        index = int(entry["label"])  # the species follow one another
        drawn = generate("test", index, ORDINARY, few.species)
        assert drawn["distinguishing_part"] == "bill, tail_tip"
        stored = {part["name"]: part["box"] for part in drawn["parts"]}
        expected = [tuple(stored[part]) for part in ("bill", "tail_tip")]
        np.testing.assert_allclose(boxes, expected, atol=1e-6)


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

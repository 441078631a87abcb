import io
import re
import subprocess
import sys
import tarfile
import types

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import tensorflow_only
from PIL import Image
from tensorflow_datasets.core.download import checksums

from rra_keras import data
from rra_keras.data import cache, pipeline

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")


def encode(pixels, kind):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def stored(split, seed=None):
    return [(int(e["index"]), e["image"].numpy(), int(e["label"])) for e in split.examples(seed)]


def sizes(source):
    return {name: split.size for name, split in source.splits.items()}


def store(data_dir, splits):
    """Writes the set `tiny_birds`: in each split image i is 8 × 8 pixels (i, i, i), label i % 3."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(8, 8, 3)),
            "label": tfds.features.ClassLabel(names=["crow", "jay", "owl"]),
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_birds",
        version="1.0.0",
        features=features,
        split_datasets={
            split: [
                (i, {"image": np.full((8, 8, 3), i, "uint8"), "label": i % 3}) for i in range(size)
            ]
            for split, size in splits.items()
        },
        data_dir=data_dir,
        disable_shuffling=True,
    )


def cv2_stub():
    """Reads a mask as OpenCV would, which is a large package for that alone."""
    stub = types.ModuleType("cv2")
    stub.imdecode = lambda buffer, flags: np.asarray(Image.open(io.BytesIO(buffer.tobytes())))
    return stub


@pytest.mark.parametrize(
    ("name", "classes", "own"),
    [
        ("caltech_birds2011", 200, {"train": "train", "test": "test"}),
        ("stanford_dogs", 120, {"train": "train", "test": "test"}),
        ("cars196", 196, {"train": "train", "test": "test"}),
        (
            "oxford_flowers102",
            102,
            {"train": "train", "validation": "validation", "test": "test"},
        ),
        ("oxford_iiit_pet", 37, {"train": "train", "test": "test"}),
        ("food101", 101, {"train": "train", "test": "validation"}),
        (
            "fgvc_aircraft",
            100,
            {"train": "train", "validation": "validation", "test": "test"},
        ),
    ],
)
def test_known_sets(monkeypatch, name, classes, own):
    monkeypatch.setitem(sys.modules, "cv2", cv2_stub())
    with tfds.testing.mock_data(num_examples=20, policy=tfds.testing.MockPolicy.USE_CODE):
        source = data.load(name)
        assert len(source.class_names) == classes
        assert [note for note in source.notes if "own" in note] == [
            f"{split}: the set's own {given!r}" for split, given in own.items()
        ]
        train, validation = (20, 20) if "validation" in own else (17, 3)
        assert sizes(source) == {"train": train, "validation": validation, "test": 20}
        batches = pipeline.training_batches(source.splits["train"], 16, 8, "none")
        assert [images.shape for images, _ in batches] == [(8, 16, 16, 3)] * 2


def test_a_set_with_a_sequence_of_labels(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "labels": tfds.features.Sequence(tfds.features.ClassLabel(names=["crow", "jay", "owl"])),
    }
    birds = [[], [0], [2, 1], [1, 1], [0, 1, 2]]
    images = [np.full((8, 8, 3), i, "uint8") for i in range(20)]
    examples = [(i, {"image": image, "labels": birds[i % 5]}) for i, image in enumerate(images)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="flocks",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": examples, "test": examples[:5]},
        data_dir=tmp_path,
        disable_shuffling=True,
    )
    source = data.load("flocks", data_dir=tmp_path)
    assert (source.answer, source.class_names) == ("any", ("crow", "jay", "owl"))
    rows = [[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 1, 1]]
    test = source.splits["test"]
    assert test.labels.tolist() == rows
    assert [e["label"].numpy().tolist() for e in test.examples(None)] == rows
    images, labels = next(iter(pipeline.training_batches(source.splits["train"], 8, 4)))
    assert labels.shape == (4, 3)


def test_a_set_with_two_splits(tmp_path):
    store(tmp_path, splits={"train": 20, "test": 6})
    source = data.load("tiny_birds", data_dir=tmp_path)
    assert source.class_names == ("crow", "jay", "owl")
    assert sizes(source) == {"train": 17, "validation": 3, "test": 6}
    test = stored(source.splits["test"])
    assert [(index, label) for index, _, label in test] == [(i, i % 3) for i in range(6)]
    for index, image, _ in test:
        assert np.asarray(Image.open(io.BytesIO(image))).mean() == index


def test_the_held_out_images_are_those_that_train_lacks(tmp_path):
    store(tmp_path, splits={"train": 20})
    source = data.load("tiny_birds", data_dir=tmp_path, seed=1)
    assert sizes(source) == {"train": 13, "validation": 3, "test": 4}
    images = {name: {e[1] for e in stored(split)} for name, split in source.splits.items()}
    assert {name: len(found) for name, found in images.items()} == sizes(source)
    assert len(set().union(*images.values())) == 20
    same, other = (
        data.load("tiny_birds", data_dir=tmp_path, seed=seed).splits["test"] for seed in (1, 2)
    )
    assert {e[1] for e in stored(same)} == images["test"]
    assert {e[1] for e in stored(other)} != images["test"]


def test_labels_are_read_once_when_they_are_asked_for(tmp_path):
    store(tmp_path, splits={"train": 20})
    splits = data.load("tiny_birds", data_dir=tmp_path, seed=1).splits
    expected = {name: [label for _, _, label in stored(split)] for name, split in splits.items()}
    assert splits["train"].labels.dtype == np.int64
    for file in (tmp_path / "tiny_birds" / "1.0.0").glob("*.tfrecord*"):
        file.unlink()
    assert {name: split.labels.tolist() for name, split in splits.items()} == expected


def test_a_subset_is_some_of_the_stored_images(tmp_path):
    store(tmp_path, splits={"train": 20, "test": 6})
    split = data.load("tiny_birds", data_dir=tmp_path).splits["train"]
    whole, some = stored(split), stored(split.subset([16, 3, 8]))
    assert [index for index, _, _ in some] == [0, 1, 2]
    assert [e[1:] for e in some] == [whole[i][1:] for i in (3, 8, 16)]
    assert split.subset([16, 3, 8]).labels.tolist() == [label for _, _, label in some]


def test_examples_keep_their_index_in_every_order(tmp_path):
    store(tmp_path, splits={"train": 20, "test": 3})
    split = data.load("tiny_birds", data_dir=tmp_path).splits["train"]
    in_order = stored(split)
    assert [index for index, _, _ in in_order] == list(range(17))
    shuffled = stored(split, seed=4)
    assert shuffled != in_order
    assert shuffled == stored(split, seed=np.int64(4))
    assert shuffled != stored(split, seed=5)
    assert sorted(shuffled) == in_order


@pytest.mark.parametrize("global_seed", [0, 1])
def test_the_order_does_not_follow_the_global_seed(tmp_path, global_seed):
    store(tmp_path, splits={"train": 20, "test": 3})
    split = data.load("tiny_birds", data_dir=tmp_path).splits["train"]
    expected = [images.numpy() for images, _ in pipeline.training_batches(split, 8, 4, "none")]
    keras.utils.set_random_seed(global_seed)
    batches = [images.numpy() for images, _ in pipeline.training_batches(split, 8, 4, "none")]
    np.testing.assert_array_equal(batches, expected)


def test_a_resumed_stream_goes_on_with_the_same_batches(tmp_path):
    store(tmp_path, splits={"train": 20, "test": 3})
    split = data.load("tiny_birds", data_dir=tmp_path).splits["train"]
    whole = list(pipeline.training_batches(split, 8, 4, seed=3, epochs=2))
    resumed = list(
        pipeline.training_batches(split, 8, 4, seed=3, epochs=2, start_epoch=0, start_step=3)
    )
    assert len(whole) == 8
    for (images, labels), (others, other_labels) in zip(resumed, whole[3:], strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def test_what_fits_is_read_from_the_disk_in_the_first_epoch_alone(tmp_path, monkeypatch):
    store(tmp_path, splits={"train": 20, "test": 3})

    def two_epochs():
        source = data.load("tiny_birds", data_dir=tmp_path)
        train = iter(pipeline.training_batches(source.splits["train"], 8, 4, epochs=2))
        validation = pipeline.evaluation_batches(source.splits["validation"], 8, 4)
        batches = [next(train) for _ in range(4)] + list(validation)
        yield
        yield [images.numpy() for images, _ in batches + list(train) + list(validation)]

    monkeypatch.setattr(cache, "SHARE", 0.0)
    *_, expected = two_epochs()
    monkeypatch.undo()
    kept = two_epochs()
    next(kept)
    for file in (tmp_path / "tiny_birds" / "1.0.0").glob("*.tfrecord*"):
        file.unlink()
    for images, others in zip(next(kept), expected, strict=True):
        np.testing.assert_array_equal(images, others)


def test_synthetic_birds_are_drawn_without_a_word_of_downloads(tmp_path, capfd):
    source = data.load("synthetic_birds/tiny", data_dir=tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    folder = tmp_path / "synthetic_birds" / "tiny" / "1.0.0"
    assert err == f"Drawing 80 images of synthetic_birds into {folder}\n"
    data.load("synthetic_birds/tiny", data_dir=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert sizes(source) == {"train": 40, "validation": 20, "test": 20}
    assert len(source.class_names) == 20
    assert sorted(label for _, _, label in stored(source.splits["test"])) == list(range(20))


def test_archives_fetched_by_hand_are_used(tmp_path, monkeypatch, capsys):
    names = [f"00{c}.Bird/Bird_{i:04d}_{c}{i}.jpg" for c in (1, 2) for i in range(6)]
    image = encode(np.zeros((30, 40, 3), "uint8"), "jpeg")
    mask = encode(np.zeros((30, 40), "uint8"), "png")

    def lines(*values):
        return "".join(f"{i + 1} {value}\n" for i, value in enumerate(values)).encode()

    archives = {
        "CUB_200_2011.tgz": {
            "CUB_200_2011/images.txt": lines(*names),
            "CUB_200_2011/train_test_split.txt": lines(*(int(i % 3 > 0) for i in range(12))),
            "CUB_200_2011/bounding_boxes.txt": lines(*["5.0 5.0 20.0 20.0"] * 12),
            **{f"CUB_200_2011/images/{name}": image for name in names},
        },
        "segmentations.tgz": {f"segmentations/{name[:-3]}png": mask for name in names},
    }
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for archive, files in archives.items():
        with tarfile.open(manual / archive, "w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    builder = tfds.builder("caltech_birds2011", data_dir=tmp_path)
    infos = {
        url: checksums.compute_url_info(manual / info.filename)
        for url, info in builder.url_infos.items()
    }
    monkeypatch.setattr(type(builder), "url_infos", infos)
    monkeypatch.setitem(sys.modules, "cv2", cv2_stub())

    source = data.load("caltech_birds2011", data_dir=tmp_path)
    assert "Downloading and preparing dataset" in capsys.readouterr().out
    assert sizes(source) == {"train": 7, "validation": 1, "test": 4}
    assert {encoded for _, encoded, _ in stored(source.splits["test"])} == {image}


def test_a_failed_download_says_how_to_hand_in_the_archives(tmp_path, monkeypatch):
    def fail(self):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    message = (
        r"Cannot prepare oxford_iiit_pet \(ConnectionError: no route\)\. Get .*images\.tar\.gz "
        r"from https://.* by hand, put them as they are into .*downloads.manual"
    )
    with pytest.raises(ValueError, match=message) as error:
        data.load("oxford_iiit_pet", data_dir=tmp_path)
    assert "\n" not in str(error.value)


def test_birds_need_opencv_before_they_are_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match="pip install opencv-python-headless"):
        data.load("caltech_birds2011", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("standford_dogs", "Received: dataset='standford_dogs'. Nearest: stanford_dogs"),
        ("synthetic_bird", "Nearest: synthetic_birds"),
        ("/photos", "'folder:PATH'. Received: dataset='/photos'"),
        (
            "ag_news_subset",
            "images with a class label each, or a sequence of them. Received: 'ag_news_subset'",
        ),
        ("coco/2017", "Received: 'coco' with the features image"),
    ],
)
def test_bad_names(tmp_path, name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.load(name, data_dir=tmp_path)


def test_groups_need_file_names():
    with pytest.raises(ValueError, match=r"`group_regex`. Expected None unless"):
        data.load("stanford_dogs", group_regex="x")


def test_the_package_alone_does_not_import_the_libraries_for_data():
    code = "import sys, rra_keras.data; print({'tensorflow_datasets', 'keras_cv'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

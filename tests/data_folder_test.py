import os
import pathlib
import re
import shutil
import types

import numpy as np
import psutil
import pytest
import tensorflow as tf
from conftest import tensorflow_only
from PIL import Image

from rra_keras import data
from rra_keras.data import cache, file_list, known, pipeline
from rra_keras.data.folder import load_all

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")


def write_images(folder, names, size=(6, 5), extension="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        color = (i, ord(folder.name[0]), 0)  # classes do not share files
        Image.new("RGB", size, color).save(folder / f"{name}.{extension}")


def make_folder(root, classes=("crow", "jay", "owl"), images=10):
    for name in classes:
        write_images(root / name, [f"{i:02d}" for i in range(images)])
    return root


def load(root, **options):
    return data.load(f"folder:{root}", **options)


def sizes(source):
    return {name: split.size for name, split in source.splits.items()}


def folders_of(split):
    return {str(pathlib.PurePosixPath(name).parent) for name in split.names}


def stored(split, seed=None):
    return [(int(e["index"]), e["image"].numpy(), int(e["label"])) for e in split.examples(seed)]


def test_class_folders_are_split_by_class(tmp_path):
    source = load(make_folder(tmp_path))
    assert source.class_names == ("crow", "jay", "owl")
    assert sizes(source) == {"train": 18, "validation": 3, "test": 9}
    for split in source.splits.values():
        assert {label for _, _, label in stored(split)} == {0, 1, 2}
    names = [name for split in source.splits.values() for name in split.names]
    assert sorted(names) == sorted(
        f"{c}/{i:02d}.png" for c in source.class_names for i in range(10)
    )


def test_the_hold_out_follows_the_seed(tmp_path):
    make_folder(tmp_path)
    first, same, other = (load(tmp_path, seed=seed).splits["test"].names for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_examples_are_the_named_files_in_every_order(tmp_path):
    split = load(make_folder(tmp_path)).splits["train"]
    in_order = stored(split)
    assert [index for index, _, _ in in_order] == list(range(split.size))
    for (_, image, label), name in zip(in_order, split.names, strict=True):
        assert image == (tmp_path / name).read_bytes()
        assert ("crow", "jay", "owl")[label] == name.split("/")[0]
    shuffled = stored(split, seed=3)
    assert shuffled != in_order
    assert shuffled == stored(split, seed=np.int64(3))
    assert sorted(shuffled) == in_order


@pytest.mark.parametrize("start", [{}, {"start_step": 2}, {"start_epoch": 1, "start_step": 1}])
def test_what_stays_in_memory_gives_the_same_batches(tmp_path, monkeypatch, start):
    make_folder(tmp_path, images=20)

    def batches():
        split = load(tmp_path).splits["train"]
        stream = pipeline.training_batches(split, 8, 5, seed=4, epochs=3, **start)
        return [(images.numpy(), labels.numpy()) for images, labels in stream]

    kept = batches()
    monkeypatch.setattr(cache, "SHARE", 0.0)
    for batch, again in zip(kept, batches(), strict=True):
        np.testing.assert_array_equal(batch[0], again[0])
        np.testing.assert_array_equal(batch[1], again[1])


@pytest.mark.parametrize("fits", [True, False])
def test_files_that_fit_into_memory_are_read_in_the_first_epoch_alone(tmp_path, monkeypatch, fits):
    make_folder(tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.png"))
    memory = types.SimpleNamespace(available=4 * size + (1 if fits else 0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    splits = load(tmp_path).splits
    train = iter(pipeline.training_batches(splits["train"], 8, 6, epochs=3))
    validation = pipeline.evaluation_batches(splits["validation"], 8, 6)
    first = [next(train) for _ in range(3)] + list(validation)
    shutil.rmtree(tmp_path)
    if fits:
        again = list(train) + list(validation)
        assert [len(images) for images, _ in first + again] == [6, 6, 6, 3, 6, 6, 6, 6, 6, 6, 3]
    else:
        with pytest.raises(tf.errors.NotFoundError, match=r"(crow|jay|owl).\d\d\.png"):
            list(validation)


@pytest.mark.parametrize("share", [0.0, cache.SHARE])
def test_two_photos_are_two_files_read_and_labels_none(tmp_path, monkeypatch, share):
    opened = []

    def read_file(path):
        def read(name):
            opened.append(pathlib.Path(os.fsdecode(name)))
            return opened[-1].read_bytes()

        return tf.numpy_function(read, [path], tf.string)

    make_folder(tmp_path)
    monkeypatch.setattr(tf.io, "read_file", read_file)
    monkeypatch.setattr(cache, "SHARE", share)
    split = load(tmp_path).splits["train"]
    assert split.labels.tolist() == [0] * 4 + [1] * 8 + [2] * 6
    assert not opened
    pair = split.subset([17, 4])
    assert pair.names == (split.names[4], split.names[17])
    assert pair.labels.tolist() == [1, 2]
    images = [e["image"].numpy() for e in pair.examples(None)]
    paths = [tmp_path / name for name in pair.names]
    assert sorted(opened) == sorted(paths)  # in any order: two at once
    assert images == [path.read_bytes() for path in paths]


def test_a_seed_shuffles_a_subset(tmp_path):
    split = load(make_folder(tmp_path)).splits["train"].subset(range(3, 15))
    in_order, shuffled = stored(split), stored(split, seed=3)
    assert [index for index, _, _ in in_order] == list(range(12))
    assert in_order != shuffled == stored(split, seed=np.int64(3))
    assert sorted(shuffled) == in_order


def test_three_split_folders_stay_as_they_are(tmp_path):
    for folder, images in (("Training", 4), ("VALID", 2), ("test", 3)):
        make_folder(tmp_path / folder, images=images)
    source = load(tmp_path)
    assert sizes(source) == {"train": 12, "validation": 6, "test": 9}
    assert folders_of(source.splits["validation"]) == {"VALID/crow", "VALID/jay", "VALID/owl"}


@pytest.mark.parametrize("second", ["val", "testing"])
def test_the_second_of_two_split_folders_is_the_test_split(tmp_path, second):
    make_folder(tmp_path / "train", images=20)
    write_images(tmp_path / second / "jay", ["a", "b"])  # may lack classes
    source = load(tmp_path)
    assert sizes(source) == {"train": 54, "validation": 6, "test": 2}
    assert folders_of(source.splits["test"]) == {f"{second}/jay"}
    assert {label for _, _, label in stored(source.splits["test"])} == {1}


def test_one_split_folder_is_split_like_none(tmp_path):
    make_folder(tmp_path / "train")
    (tmp_path / "notes").mkdir()
    source = load(tmp_path)
    assert sizes(source) == {"train": 21, "validation": 6, "test": 3}
    assert "passed over, as they are no split folders (train, val, test): notes" in source.notes


def test_a_class_may_be_called_test(tmp_path):
    source = load(make_folder(tmp_path, classes=("draft", "test")))
    assert source.class_names == ("draft", "test")


def test_groups_stay_in_one_split(tmp_path):
    for name in ("a320", "b737"):
        write_images(tmp_path / name, [f"{g}_{i}" for g in "abcdefghij" for i in range(4)])
    source = load(tmp_path, group_regex=r"^(.*)_\d", seed=5)
    groups = {
        name: {pathlib.PurePosixPath(n).name[0] for n in split.names}
        for name, split in source.splits.items()
    }
    assert sizes(source) == {"train": 48, "validation": 8, "test": 24}  # 6, 1 and 3 of 10 groups
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == 10
    assert "groups: 10" in source.notes


def test_group_regex_without_a_group_takes_the_whole_match(tmp_path):
    for name in ("a320", "b737"):
        write_images(tmp_path / name, [f"{g}_{i}" for g in "abcd" for i in range(2)])
    source = load(tmp_path, group_regex="^[a-d]")
    assert "groups: 4" in source.notes


def names_of(source):
    return {name: set(split.names) for name, split in source.splits.items()}


@pytest.mark.parametrize("options", [{}, {"group_regex": "^(.)_"}])
def test_what_is_excluded_is_missing_and_nothing_else_moves(tmp_path, options):
    for name in ("crow", "jay", "owl"):
        write_images(tmp_path / name, [f"{g}_{i}" for g in "abcde" for i in range(2)])
    whole = names_of(load(tmp_path, **options))
    exclude = {sorted(names)[0] for names in whole.values()} | {"jay/c_0.png", "jay/c_1.png"}
    source = load(tmp_path, **options, exclude=exclude)
    assert names_of(source) == {name: names - exclude for name, names in whole.items()}
    counts = [len(whole[name] & exclude) for name in ("train", "validation", "test")]
    assert "excluded: {} train, {} validation, {} test".format(*counts) in source.notes
    split = source.splits["train"]
    for (_, image, _), name in zip(stored(split), split.names, strict=True):
        assert image == (tmp_path / name).read_bytes()


def test_an_excluded_file_is_no_complaint(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "jay" / "notes.jpg").write_text("no image")
    source = load(tmp_path, strict=True, exclude=["jay/notes.jpg"])
    assert "skipped" not in source.summary()
    assert sum(sizes(source).values()) == 30


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        (
            ["a.png", "jay/00.png", "owl/b.png", "c\n.png", "d.png"],
            r"`exclude`.*such as crow/00\.png\. "
            r"Received: 4 others: a\.png, owl/b\.png, 'c\\n\.png', …$",
        ),
        (["/jay/00.png"], r"Received: 1 others: /jay/00\.png$"),
        ([f"owl/{i:02d}.png" for i in range(10)], "of every class. Received: none left of owl$"),
    ],
)
def test_what_cannot_be_excluded(tmp_path, exclude, message):
    make_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, exclude=exclude)


def test_a_split_cannot_be_excluded_whole(tmp_path):
    names = load(make_folder(tmp_path)).splits["test"].names
    with pytest.raises(ValueError, match=r"of every split. Received: none left of test$"):
        load(tmp_path, exclude=names)


def test_sets_without_files_exclude_nothing():
    with pytest.raises(
        ValueError, match=r"`exclude`.*only files have names. Received: .*'2 files'"
    ):
        data.load("synthetic_birds", exclude=("a.png", "b.png"))


@pytest.mark.parametrize(
    "content",
    [
        b"a/1.png\nb/2, 3.png\n",
        b"  a/1.png  \r\n\r\nb/2, 3.png",
        b'label,file\nx,a/1.png\n"y\nz","b/2, 3.png"\n,\n',
        b'\xef\xbb\xbf"file";"label"\r\na/1.png;x\r\nb/2, 3.png;y\r\n',
        b"label\tfile\nx\ta/1.png\ny\tb/2, 3.png\nonly a label\n",
    ],
)
def test_a_list_of_files_is_plain_or_what_a_spreadsheet_writes(tmp_path, content):
    (tmp_path / "files.csv").write_bytes(content)
    assert file_list.read(tmp_path / "files.csv") == ("a/1.png", "b/2, 3.png")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"file,label\n"])
def test_an_empty_list_of_files(tmp_path, content):
    (tmp_path / "files.csv").write_bytes(content)
    assert file_list.read(tmp_path / "files.csv") == ()


def test_a_list_of_files_is_text(tmp_path):
    (tmp_path / "files.xlsx").write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(ValueError, match=r"list of files, in UTF-8. Received: .*files.xlsx"):
        file_list.read(tmp_path / "files.xlsx")


def test_other_files_are_skipped_by_name(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "README.md").write_text("beside the classes")
    (tmp_path / "jay" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "jay" / "notes.jpg").write_text("no image")
    os.rename(tmp_path / "owl" / "00.png", tmp_path / "owl" / "00")  # content counts, not names
    source = load(tmp_path)
    assert sum(sizes(source).values()) == 30
    assert source.notes[0] == (
        f"skipped, no image that can be read: 1 files: jay{os.sep}notes.jpg "
        "(not a JPEG, PNG, GIF, BMP, WEBP or AVIF image)"
    )
    with pytest.raises(ValueError, match=r"1 files: jay.notes\.jpg"):
        load(tmp_path, strict=True)


def test_summary_names_sizes(tmp_path):
    source = load(make_folder(tmp_path))
    assert source.summary().splitlines() == [
        f"folder:{tmp_path}: 3 classes, 18 train, 3 validation, 9 test",
        "held out of the training images with seed 0: test, validation",
        "training images a class: 4 (crow) to 8 (jay)",
    ]


def test_imbalance_is_told(tmp_path):
    make_folder(tmp_path / "train", images=4)
    write_images(tmp_path / "train" / "owl", [f"more{i}" for i in range(9)])
    make_folder(tmp_path / "val", images=1)
    make_folder(tmp_path / "test", images=1)
    assert "training images a class: 4 (crow) to 13 (owl)" in load(tmp_path).summary().splitlines()


def test_what_lies_deeper_belongs_to_the_class(tmp_path):
    make_folder(tmp_path, classes=("crow", "jay"))
    for folder in ("2019", "2020/may"):
        write_images(tmp_path / "crow" / folder, ["00", "01"])
    write_images(tmp_path / "owl" / "barn", ["00", "01", "02"])
    source = load(tmp_path)
    assert source.class_names == ("crow", "jay", "owl")
    names = {name for split in source.splits.values() for name in split.names}
    assert {"crow/2019/00.png", "crow/2020/may/01.png", "owl/barn/02.png"} <= names
    assert len(names) == 10 + 10 + 4 + 3


def test_files_in_two_splits_are_told_in_one_line(tmp_path):
    shades = iter(range(6))
    for folder in ("train", "val", "test"):
        for name in ("crow", "jay"):
            (tmp_path / folder / name).mkdir(parents=True)
            own = Image.new("RGB", (6, 5), (next(shades), 0, 0))
            own.save(tmp_path / folder / name / "own.png")
    shutil.copy(tmp_path / "train/crow/own.png", tmp_path / "train/crow/again.png")
    assert not load(tmp_path).copies
    shutil.copy(tmp_path / "train/crow/own.png", tmp_path / "test/crow/a.png")
    shutil.copy(tmp_path / "val/jay/own.png", tmp_path / "test/jay/a.png")
    source = load(tmp_path)
    (note,) = (note for note in source.notes if "in two splits" in note)
    assert note == (
        "the same photo in two splits: 3 (3 the same file, 0 nearly the same), e.g. "
        "test/crow/a.png (test) and train/crow/again.png (train); --keep_together puts them into "
        "one"
    )
    assert len(source.copies) == 3


def scene(seed, size=(96, 64)):
    """A photo of smooth colors, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), "uint8")
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def make_scenes(root, images=8):
    for n, name in enumerate(("crow", "jay", "owl")):
        (root / name).mkdir(parents=True)
        for i in range(images):
            scene(100 * n + i).save(root / name / f"{i}.jpg", quality=95)
    return root


def test_a_photo_that_was_saved_again_smaller_or_lighter_is_found(tmp_path):
    make_scenes(tmp_path)
    assert not load(tmp_path).copies
    for i in range(8):
        image = scene(i)
        image.save(tmp_path / "crow" / f"{i} (1).jpg", quality=50)
        image.resize((72, 48)).save(tmp_path / "crow" / f"{i}_small.png")
        image.point(lambda v: min(255, int(1.15 * v + 8))).save(tmp_path / "crow" / f"{i}_l.webp")
    source = load(tmp_path)
    found = {row["file"][5] for row in source.copies}
    assert found == {row["other"][5] for row in source.copies} == set("1234567")  # 0: all in train
    assert not any(row["exact"] for row in source.copies)
    (note,) = (note for note in source.notes if "in two splits" in note)
    assert f": {len(source.copies)} (0 the same file, {len(source.copies)} nearly" in note


def test_copies_are_kept_together(tmp_path):
    make_scenes(tmp_path)
    for i in range(8):
        scene(i).save(tmp_path / "crow" / f"{i} (1).jpg", quality=50)
    assert load(tmp_path).copies
    source = load(tmp_path, keep_together=True)
    assert not source.copies
    for split in source.splits.values():
        names = {name for name in split.names if name.startswith("crow")}
        assert {name.replace(" (1)", "") for name in names} <= names


def test_copies_of_training_photos_leave_the_test_folder(tmp_path):
    make_scenes(tmp_path / "train")
    make_scenes(tmp_path / "test", images=2)
    scene(1000).save(tmp_path / "test" / "owl" / "new.jpg")
    source = load(tmp_path, keep_together=True)
    assert source.splits["test"].names == ("test/owl/new.jpg",)


def test_one_file_in_two_classes_is_named(tmp_path):
    make_scenes(tmp_path)
    shutil.copy(tmp_path / "crow" / "0.jpg", tmp_path / "owl" / "copy.jpg")
    source = load(tmp_path)
    (note,) = (note for note in source.notes if "in two classes" in note)
    assert note == (
        "the same file in two classes: 1, one of whose labels is wrong, e.g. crow/0.jpg (crow) and "
        "owl/copy.jpg (owl)"
    )


def moved(before, after):
    """Return the photos that are in another split than before."""
    where = {name: split for split, names in names_of(before).items() for name in names}
    return {
        name: (where[name], split)
        for split, names in names_of(after).items()
        for name in names
        if where.get(name, split) != split
    }


@pytest.mark.parametrize("options", [{}, {"group_regex": "^(.)"}])
def test_photos_that_come_and_go_move_no_other_one(tmp_path, options):
    make_folder(tmp_path, images=30)
    before = load(tmp_path, **options)
    for name in ("crow", "owl"):
        write_images(tmp_path / name, [f"{i}{c}" for c in "abcdef" for i in range(3)], (5, 5))
    assert not moved(before, load(tmp_path, **options))
    for name in list((tmp_path / "jay").iterdir())[::3]:
        name.unlink()
    assert not moved(before, load(tmp_path, **options))


@pytest.mark.parametrize("seed", range(6))
def test_in_small_classes_a_new_photo_moves_none_out_of_train(tmp_path, seed):
    make_folder(tmp_path, images=3)
    before = load(tmp_path, seed=seed)
    assert sizes(before) == {"train": 3, "validation": 3, "test": 3}
    write_images(tmp_path / "owl", ["a", "b", "c", "d"], (5, 5))
    assert "train" not in {old for old, _ in moved(before, load(tmp_path, seed=seed)).values()}


def known_of(source):
    return known.Known(known.rows_of(source))


def test_what_a_run_knows_stays_in_its_split_whatever_it_is_called(tmp_path):
    make_folder(tmp_path)
    before = load(tmp_path)
    trained, tested = before.splits["train"].names[0], before.splits["test"].names[0]
    rows = known_of(before)
    os.rename(tmp_path / trained, (tmp_path / trained).with_name("renamed.png"))
    os.rename(tmp_path / tested, tmp_path / trained)  # under the other's name
    write_images(tmp_path / "owl", ["new"], (7, 7))
    (tmp_path / "jay" / "01.png").unlink()
    source = load(tmp_path, known=rows)
    names = names_of(source)
    assert str(pathlib.PurePosixPath(trained).with_name("renamed.png")) in names["train"]
    assert trained in names["test"]
    assert source.changes == ("1 photo more than when the run began; 1 is gone",)
    assert source.changes[0] in source.notes
    assert load(tmp_path, known=known_of(source)).changes == ()


def test_a_photo_that_was_edited_is_known_by_its_name(tmp_path):
    make_folder(tmp_path)
    before = load(tmp_path)
    name = before.splits["train"].names[3]
    Image.new("RGB", (9, 9)).save(tmp_path / name)
    source = load(tmp_path, known=known_of(before), seed=5)
    assert names_of(source) == names_of(before)
    assert source.changes == ()


def test_what_was_trained_on_leaves_the_test_folder(tmp_path):
    for folder in ("train", "val", "test"):
        make_scenes(tmp_path / folder, images=3)
        scene(ord(folder[0])).save(tmp_path / folder / "owl" / "own.jpg")
    before = load(tmp_path)
    os.rename(tmp_path / "train" / "owl" / "own.jpg", tmp_path / "test" / "owl" / "moved.jpg")
    source = load(tmp_path, known=known_of(before))
    assert "test/owl/moved.jpg" in source.splits["train"].names


def test_what_was_trained_on_and_is_gone_stays_known(tmp_path):
    make_folder(tmp_path)
    before = load(tmp_path)
    name = before.splits["train"].names[0]
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    rows = known.rows_of(load(tmp_path, known=known_of(before)), known_of(before).rows)
    (tmp_path / name).with_name("back.png").write_bytes(content)
    source = load(tmp_path, known=known.Known(rows))
    assert str(pathlib.PurePosixPath(name).with_name("back.png")) in source.splits["train"].names


def test_a_folder_without_train_is_measured_whole(tmp_path):
    make_folder(tmp_path / "test")
    make_folder(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"a folder train.*Received: only test, which `rra e"):
        load(tmp_path / "alone" if (tmp_path / "alone").is_dir() else lone(tmp_path))
    for root in (lone(tmp_path), tmp_path / "bare"):
        source = load_all(root, ["crow", "owl", "wren"])
        assert sizes(source) == {"test": 20}
        assert source.splits["test"].labels.tolist() == [0] * 10 + [1] * 10
        assert source.changes == ("left out, no class of the run: jay",)
    with pytest.raises(ValueError, match="named as the run's classes"):
        load_all(tmp_path / "bare", ["wren", "emu"])


def lone(root):
    """Move the folder test of `root` into one of its own."""
    if not (root / "alone").is_dir():
        (root / "alone").mkdir()
        os.rename(root / "test", root / "alone" / "test")
    return root / "alone"


def test_of_another_folder_what_was_trained_on_is_not_measured(tmp_path):
    make_folder(tmp_path / "one")
    before = load(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    write_images(tmp_path / "other" / "owl", ["new"], (7, 7))
    source = load_all(tmp_path / "other", ["crow", "jay", "owl"], known_of(before))
    assert names_of(source)["train"] == names_of(before)["train"]
    assert names_of(source)["test"] == names_of(before)["test"] | {"owl/new.png"}
    assert "which stay there: 18 train, 3 validation" in source.changes[0]


SYSTEM = "@eaDir #recycle #snapshot $RECYCLE.BIN .thumbnails __MACOSX lost+found .@__thumb @Recycle"


@pytest.mark.parametrize("name", [*SYSTEM.split(), "System Volume Information"])
def test_folders_of_systems_are_left_out_and_counted(tmp_path, name):
    make_folder(tmp_path)
    for place in (tmp_path, tmp_path / "owl", tmp_path / "jay" / "deeper"):
        write_images(place / name / "owl", ["00", "01"])
    (tmp_path / "owl" / "._00.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "owl" / "Thumbs.db").write_bytes(b"x")
    source = load(tmp_path, strict=True)
    assert source.class_names == ("crow", "jay", "owl")
    assert sum(sizes(source).values()) == 30
    assert (
        f"left out, files that systems keep for themselves: 6 in {name}, 2 hidden files"
        in source.notes
    )


@pytest.mark.parametrize("name", ["@home", "#1", "trash", "Icons", "recycle"])
def test_classes_that_are_called_almost_so_stay(tmp_path, name):
    assert name in load(make_folder(tmp_path, classes=("crow", "jay", name))).class_names


@pytest.mark.parametrize(
    ("start", "ending", "says"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic", "HEIC, .*pillow-heif|JPEG"),
        (b"II*\0\x10\0\0\0CR\2\0", "cr2", "a camera's raw file, .*: save it as JPEG"),
        (b"II*\0\x08\0\0\0", "tif", "TIFF or a camera's raw file, .*: save it as JPEG or PNG"),
        (b"\0\0\0\x20ftypisom", "mp4", "a video, .*: save single pictures"),
        (b"%PDF-1.7", "pdf", "PDF, .*: save its pages"),
    ],
)
def test_a_class_in_another_format_says_which_and_what_to_do(tmp_path, start, ending, says):
    make_folder(tmp_path)
    (tmp_path / "wren").mkdir()
    for i in range(4):
        (tmp_path / "wren" / f"{i}.{ending}").write_bytes(start + bytes(500))
    with pytest.raises(
        ValueError, match=rf"of JPEG, PNG, GIF.*\(4 \.{ending}; the first is {says}"
    ):
        load(tmp_path)


def test_avif_is_read(tmp_path):
    make_scenes(tmp_path)
    for file in (tmp_path / "owl").iterdir():
        Image.open(file).save(file.with_suffix(".avif"))
        file.unlink()
    source = load(tmp_path)
    assert sum(sizes(source).values()) == 24
    for split in source.splits.values():
        assert len(list(pipeline.evaluation_batches(split, 16, 1))) == split.size


def test_a_link_out_of_the_folder_is_refused_by_name(tmp_path):
    make_folder(tmp_path / "photos")
    write_images(tmp_path / "private", ["secret"])
    link = tmp_path / "photos" / "owl" / "link.png"
    link.symlink_to(tmp_path / "private" / "secret.png")
    with pytest.raises(ValueError, match=r"links that stay inside.*link\.png → .*secret\.png"):
        load(tmp_path / "photos")
    link.unlink()
    for link in (tmp_path / "photos" / "emu", tmp_path / "photos" / "owl" / "deep"):
        link.symlink_to(tmp_path / "private")
        with pytest.raises(ValueError, match=rf"links that stay inside.*{link.name} → .*private"):
            load(tmp_path / "photos")
        link.unlink()
    assert sum(sizes(load(tmp_path / "photos")).values()) == 30


def test_split_folders_that_are_links_out_of_the_folder_are_refused(tmp_path):
    make_folder(tmp_path / "elsewhere")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"links that stay inside.*→ .*elsewhere.crow"):
        load(tmp_path / "photos")


def test_links_inside_of_the_folder_are_followed(tmp_path):
    make_folder(tmp_path / "photos")
    os.rename(tmp_path / "photos" / "owl" / "00.png", tmp_path / "photos" / "00.png")
    (tmp_path / "photos" / "owl" / "00.png").symlink_to("../00.png")
    (tmp_path / "link").symlink_to("photos")  # what is given may be a link itself
    assert sum(sizes(load(tmp_path / "link")).values()) == 30


def test_links_in_a_circle_are_refused(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "owl" / "jays").symlink_to("../jay")
    (tmp_path / "jay" / "owls").symlink_to("../owl")
    with pytest.raises(ValueError, match="links that do not lead in a circle"):
        load(tmp_path)


def test_links_to_nothing_and_pipes_are_skipped_by_name(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "owl" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "owl" / "pipe.png")
    note = load(tmp_path).notes[0]
    assert "2 files" in note
    assert f"owl{os.sep}gone.png (No such file or directory)" in note
    assert f"owl{os.sep}pipe.png (not a file)" in note


def test_bombs_are_refused_with_the_limit_named(tmp_path, monkeypatch):
    make_folder(tmp_path)
    write_images(tmp_path / "owl", ["huge"], size=(30, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert re.search(r"1 files: owl.huge\.png \(.*limit of 200 pixels", load(tmp_path).notes[0])
    with pytest.raises(ValueError, match="limit of 200 pixels"):
        load(tmp_path, strict=True)


def test_names_that_are_no_line_of_text(tmp_path):
    make_folder(tmp_path)
    for name in (b"two\nlines.png", b"\xff.png", b"\x1b[2J.png"):
        shutil.copy(tmp_path / "owl" / "00.png", os.fsencode(tmp_path / "owl") + b"/" + name)
    for name in ("Größe.png", "$(touch x).png", "🦉\u202f1.png", "<b>.png", "a;b %s {0}.png"):
        os.rename(next((tmp_path / "owl").glob("0*.png")), tmp_path / "owl" / name)
    source = load(tmp_path)
    assert sum(sizes(source).values()) == 30
    assert "3 files" in source.notes[0]
    assert r"two\nlines.png" in source.notes[0]
    assert r"\udcff.png" in source.notes[0]
    assert r"\x1b[2J.png" in source.notes[0]
    for split in source.splits.values():
        assert len(stored(split)) == split.size


@pytest.mark.parametrize("name", [b"two\nlines", b"\xff", b"\x1b[31m", "a\u2028b".encode()])
def test_classes_that_are_no_line_of_text_are_refused(tmp_path, name):
    make_folder(tmp_path)
    os.rename(os.fsencode(tmp_path) + b"/owl", os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(ValueError, match="one line of text") as error:
        load(tmp_path)
    assert str(error.value).isprintable()


def test_group_leaks_between_given_folders_are_told(tmp_path):
    for folder in ("train", "val", "test"):
        for name in ("a320", "b737"):
            write_images(tmp_path / folder / name, [f"{folder}_0", "shared_0"])
    source = load(tmp_path, group_regex="(.*)_")
    assert "groups both in train and in test: shared" in source.notes


def empty(root):
    pass


def empty_class(root):
    make_folder(root)
    (root / "emu").mkdir()


def one_class(root):
    make_folder(root, classes=("crow",))


def no_train(root):
    make_folder(root / "val")
    make_folder(root / "test")


def two_trains(root):
    make_folder(root / "train")
    make_folder(root / "Training")


def foreign_class(root):
    make_folder(root / "train")
    make_folder(root / "test", classes=("emu", "owl"))


def empty_test(root):
    make_folder(root / "train")
    (root / "test").mkdir()


def one_image_a_class(root):
    make_folder(root, images=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, r"at least two.*Received: 0 \(no folder\)"),
        (empty_class, r"at least one image in .*emu"),
        (one_class, r"at least two.*Received: 1 \(crow\)"),
        (no_train, r"Expected a train split. Received: test, val"),
        (two_trains, r"Expected one train split. Received: Training and train"),
        (foreign_class, r"only classes of the training images in .*test. Received: emu"),
        (empty_test, r"Expected one folder a class in .*test"),
        (one_image_a_class, r"at least 3 images.*Received: 3 images in 3 classes"),
    ],
)
def test_bad_folders(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_folder_may_be_called_by_its_path(tmp_path, monkeypatch):
    make_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    assert data.load("photos").name == "folder:photos"
    (tmp_path / "synthetic_birds").mkdir()
    assert data.full_name("synthetic_birds") == "synthetic_birds"  # the set goes first
    assert data.full_name("synthetic_birds/far") == "synthetic_birds/far"
    assert data.full_name("folder:photos") == "folder:photos"
    assert data.full_name("nowhere") == "nowhere"


def test_missing_folders():
    with pytest.raises(ValueError, match=r"a folder that exists. Received: '/no/such'"):
        data.load("folder:/no/such")
    with pytest.raises(ValueError, match=r"a folder that exists. Received: ''"):
        data.load("folder:")


@pytest.mark.parametrize(
    ("group_regex", "message"),
    [
        ("(", r"Expected a regular expression. Received: group_regex='\('"),
        ("x(.)", r"a match in every file's name.*crow.00\.png"),
        (r"\d(x)?", r"a match in every file's name.*crow.00\.png"),
        (r"(\.)", r"30 images in 3 classes and 1 groups, none left for test and validation"),
    ],
)
def test_bad_group_regex(tmp_path, group_regex, message):
    make_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, group_regex=group_regex)

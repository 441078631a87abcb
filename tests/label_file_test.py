"""Photos with several labels: what `labels.csv` says, and how such a folder is read and split."""

import re

import numpy as np
import pytest
from PIL import Image

from rra_keras.data import folder, label_file, pipeline


def write(root, text, encoding="utf-8"):
    (root / "labels.csv").write_bytes(text.encode(encoding))
    return root


@pytest.fixture
def album(tmp_path):
    """A folder of 24 photos, flat and deep; photo i is blue if even, big if divisible by 3."""
    rows = ["file,labels"]
    for i in range(24):
        name = f"deep/er/{i}.png" if i % 4 == 0 else f"{i}.png"
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3)).astype("uint8")
        Image.fromarray(pixels).save(path)
        labels = ["blue"] * (i % 2 == 0) + ["big"] * (i % 3 == 0)
        rows.append(f"{name},{';'.join(labels)}")
    return write(tmp_path, "\n".join(rows))


def test_labels_are_joined_or_a_column_each(tmp_path):
    write(tmp_path, "file,labels\na.jpg,tit; jay\nb/c.jpg,\nd.jpg,tit\n", "utf-8-sig")
    table = label_file.find(tmp_path)
    assert table.class_names == ("jay", "tit")
    assert table.labels == {"a.jpg": (0, 1), "b/c.jpg": (), "d.jpg": (1,)}
    write(tmp_path, "tit,file,jay\n1,a.jpg,1\n0,b\\c.jpg,0\n1,d.jpg,0\n")
    assert label_file.find(tmp_path) == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Received: an empty file"),
        ("name,labels\na.jpg,jay\n", "Received: name, labels"),
        ("file\na.jpg\n", "Received: file"),
        ("file,labels\na.jpg,jay;tit\na.jpg,jay\n", r"line 3. .* Received: a.jpg again"),
        ("file,labels\na.jpg,jay;jay\nb.jpg,tit\n", "each label once. Received: jay;jay"),
        ("file,labels\na.jpg,jay\n", "at least two labels. Received: jay"),
        ("file,labels\na.jpg\n", r"line 2. Expected 2 columns. Received: 1"),
        ("file,labels\na.jpg,jay,tit\n", r"line 2. Expected 2 columns"),
        ("file,jay,tit\na.jpg,1,yes\n", "0 or 1 in column tit. Received: 'yes'"),
        ("file,jay;tit,owl\na.jpg,1,0\n", "Received: 'jay;tit'"),
        ("file,labels\na.jpg,jäger\n".encode("latin-1").decode("latin-1"), "another encoding"),
    ],
)
def test_a_bad_table_is_named(tmp_path, text, message):
    write(tmp_path, text, "latin-1" if "encoding" in message else "utf-8")
    with pytest.raises(ValueError, match=message):
        label_file.find(tmp_path)


def test_a_folder_of_several_labels(album):
    Image.new("RGB", (8, 8)).save(album / "unlabeled.png")
    source = folder.load(album, seed=1)
    assert source.class_names == ("big", "blue")
    assert source.answer == "any"
    assert sum(split.size for split in source.splits.values()) == 24
    for split in source.splits.values():
        assert split.labels.shape == (split.size, 2)
        assert split.labels.any(axis=0).all()  # each label is in each split
        for name, row in zip(split.names, split.labels, strict=True):
            i = int(re.search(r"(\d+)\.png", name)[1])
            assert row.tolist() == [i % 3 == 0, i % 2 == 0]
    told = "\n".join(source.notes)
    assert "left out, without a row in labels.csv: 1 files" in told
    counts = ", ".join(str(split.labels[:, 1].sum()) for split in source.splits.values())
    assert f"\n  blue: {counts}\n" in told
    assert "\n  no label: " in told
    assert source.label_names(np.array([1, 1])) == "big;blue"


def test_batches_have_a_row_of_labels(album):
    train = folder.load(album).splits["train"]
    images, labels = next(iter(pipeline.evaluation_batches(train, 32, 5)))
    assert images.shape == (5, 32, 32, 3)
    np.testing.assert_array_equal(labels, train.labels[:5])
    some = train.subset([3, 1])
    np.testing.assert_array_equal(some.labels, train.labels[[1, 3]])
    for augment, kind in (("light", "int32"), ("mix", "float32")):
        batches = pipeline.training_batches(train, 32, 4, augment, num_classes=2)
        images, labels = next(iter(batches))
        assert (labels.shape, labels.dtype.name) == ((4, 2), kind)


def test_photos_that_come_move_no_other(album):
    before = folder.load(album, seed=3)
    rows = (album / "labels.csv").read_text()
    Image.new("RGB", (8, 8), "red").save(album / "new.png")
    write(album, f"{rows}\nnew.png,blue")
    after = folder.load(album, seed=3)
    for name, split in before.splits.items():
        assert set(split.names) <= set(after.splits[name].names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.png", "none.png"), "Received: 1 that are not there: deep/er/none.png"),
        (("23.png,", "23.png,owl"), None),
        ((",blue", ",blue;blue"), "each label once"),
    ],
)
def test_files_and_labels_are_checked(album, change, message):
    text = (album / "labels.csv").read_text().replace(*change, 1)
    write(album, text)
    if message:
        with pytest.raises(ValueError, match=message):
            folder.load(album)
    else:
        notes = "\n".join(folder.load(album).notes)
        assert "labels of a single training photo: owl" in notes

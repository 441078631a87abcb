"""FGVC-Aircraft, from an archive of the real one's layout with a few drawn photos."""

import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import tensorflow_only
from PIL import Image
from tensorflow_datasets.core.download import checksums

from rra_keras import data
from rra_keras.datasets.fgvc_aircraft.variants import VARIANTS

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")

URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz"
LISTED = {
    "train": ["1025794 707-320", "0034309 F-16A/B", "0034958 Cessna 172"],
    "val": ["0056978 707-320"],
    "test": ["0062765 Yak-42", "0064932 A380"],
}
BANNER = 20


def photo_file():
    """64 × 48 pixels of sky with something dark, then the banner in magenta; as a file's bytes."""
    photo = np.zeros((48 + BANNER, 64, 3), "uint8")
    photo[:48] = np.linspace([90, 140, 255], [200, 220, 255], 48)[:, None]
    photo[8:24, 16:48] //= 2
    photo[48:] = (255, 0, 255)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "jpeg", quality=90, subsampling="4:2:0")
    return file.getvalue()


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A folder with the archive where one puts it by hand."""
    names = [line.split()[0] for lines in LISTED.values() for line in lines]
    files = {f"images/{name}.jpg": photo_file() for name in names}
    files["images_box.txt"] = "".join(f"{name} 17 9 48 24\n" for name in names[1:])
    files["images_box.txt"] += f"{names[0]} 1 1 64 60\n"  # into the banner
    for split, lines in LISTED.items():
        files[f"images_variant_{split}.txt"] = "\n".join(lines) + "\n"
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    archive = manual / "fgvc-aircraft-2013b.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            content = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(f"fgvc-aircraft-2013b/data/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    info = checksums.compute_url_info(archive)
    builder = tfds.builder_cls("fgvc_aircraft")
    monkeypatch.setattr(builder, "url_infos", {URL: info})
    return tmp_path


def test_splits_and_labels_are_the_archives(data_dir):
    source = data.load("fgvc_aircraft", data_dir=data_dir)
    assert source.class_names == VARIANTS
    found = {
        name: sorted(VARIANTS[int(e["label"])] for e in split.examples(None))
        for name, split in source.splits.items()
    }
    assert found == {
        "train": ["707-320", "Cessna 172", "F-16A/B"],
        "validation": ["707-320"],
        "test": ["A380", "Yak-42"],
    }


def test_the_banner_is_cut_off_and_boxes_are_shares_of_what_is_left(data_dir):
    builder = tfds.builder("fgvc_aircraft", data_dir=data_dir)
    builder.download_and_prepare()
    stored = tfds.as_numpy(builder.as_dataset(split="train"))
    examples = {example["file_name"].decode(): example for example in stored}
    assert set(examples) == {"1025794.jpg", "0034309.jpg", "0034958.jpg"}
    whole, inner = examples["1025794.jpg"]["bbox"], examples["0034309.jpg"]["bbox"]
    np.testing.assert_allclose(whole, [0, 0, 1, 1])
    np.testing.assert_allclose(inner, [8 / 48, 16 / 64, 24 / 48, 48 / 64])
    for example in examples.values():
        assert example["image"].shape == (48, 64, 3)
        original = tf.io.decode_jpeg(photo_file()).numpy().astype(int)
        # Compressed twice by the same tables; the banner's color had bled into the last block.
        assert np.abs(example["image"] - original[:48])[:32].mean() < 1.2


def test_what_it_says_of_itself(tmp_path):
    info = tfds.builder("fgvc_aircraft", data_dir=tmp_path).info
    assert len(VARIANTS) == len(set(VARIANTS)) == 100
    assert "non-commercial research" in info.description
    assert "maji13" in info.citation


def test_without_a_network_it_says_what_to_fetch(tmp_path, monkeypatch):
    def fail(self):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    message = (
        r"Cannot prepare fgvc_aircraft .* Get fgvc-aircraft-2013b\.tar\.gz from https://www\.robots"
        r"\.ox\.ac\.uk/.* by hand, put them as they are into .*downloads.manual"
    )
    with pytest.raises(ValueError, match=message):
        data.load("fgvc_aircraft", data_dir=tmp_path)

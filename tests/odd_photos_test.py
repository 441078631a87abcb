"""One rule for reading a photo: training, prediction and the device give the same pixels."""

import os
import re

import numpy as np
import odd_photos
import pytest
from conftest import tensorflow_only

from export import classify
from rra_keras.data import decode, pipeline, walk

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for name, content in (odd_photos.photos() | odd_photos.others()).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", odd_photos.photos())
def test_training_and_the_device_read_the_same_pixels(folder, name):
    by_training = decode.read_image(folder / name).numpy()
    by_device = np.asarray(classify.read_image(folder / name))
    assert by_device.shape == by_training.shape
    # Two JPEG decoders, of which one smooths the colors that are stored at half of the size.
    tolerance = 30 if (folder / name).read_bytes().startswith(b"\xff\xd8") else 0
    assert np.abs(by_training.astype(int) - by_device).max() <= tolerance
    turned = "turned" in name or name in [f"orientation_{n}.jpg" for n in (5, 6, 7, 8)]
    turned &= name not in ("turned_by_2.webp", "turned_by_3.webp")
    turned |= name.startswith("exif_") and not name.startswith(("exif_o", "exif_empty", "exif_g"))
    assert by_training.shape == ((60, 40, 3) if turned else (40, 60, 3))


@pytest.mark.parametrize("name", odd_photos.REFUSED)
def test_training_and_the_device_refuse_for_the_same_reason(folder, name):
    said = []
    for read in (decode.read_image, classify.read_image):
        with pytest.raises(ValueError, match=r"Expected an image file\. Received: ") as caught:
            read(folder / name)
        said.append(str(caught.value))
    if name in ("cut.png", "zeros.png"):  # checksums find it in the one, decoding in the other
        damage = re.compile(r"(cut|zeros)\.png \((image file is truncated|Truncated|broken PNG)")
        assert all(map(damage.search, said))
    else:
        assert said[0] == said[1]


def test_prediction_reads_what_training_reads(folder):
    names = [*odd_photos.photos(), *odd_photos.REFUSED]
    batches = pipeline.photo_batches([folder / name for name in names], 32, 4)
    seen = {}
    for places, images in batches.as_numpy_iterator():
        seen |= {names[place]: image for place, image in zip(places, images, strict=True)}
    assert set(seen) == set(odd_photos.photos())
    for name, image in seen.items():
        expected = pipeline.resize(decode.read_image(folder / name), 32).numpy()
        np.testing.assert_allclose(image, expected, atol=1e-3)


def test_an_album_is_walked_alike(tmp_path):
    names = ["a.JPG", "b.jpe", "c.jfif", "no ending", "deep/d.MPO", os.fsdecode(b"caf\xe9.jpg")]
    hidden = [".trash/e.jpg", "@eaDir/a.JPG/thumb.jpg", "._a.JPG", "Thumbs.db", "#recycle/f.jpg"]
    for name in [*names, *hidden]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    by_training = sorted(map(str, walk.files(tmp_path, tmp_path)))
    assert by_training == classify._expand(str(tmp_path))
    assert by_training == sorted(str(tmp_path / name) for name in names)
    assert classify._shown(str(tmp_path / names[-1])).endswith(r"caf\udce9.jpg'")
    assert classify._shown("Größe 写真.jpg") == walk.shown("Größe 写真.jpg") == "Größe 写真.jpg"


def test_the_device_knows_the_same_names():
    assert walk.SYSTEM_NAMES == classify.SYSTEM_NAMES
    assert walk.SYSTEM_ENDINGS == classify.SYSTEM_ENDINGS
    assert decode.OTHER_FORMATS == classify.OTHER_FORMATS
    assert decode.FORMATS == classify.FORMATS

"""Image files as people have them, and files that are none."""

import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from conftest import tensorflow_only
from PIL import Image

from rra_keras import data
from rra_keras.data import decode, pipeline

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")

# What a camera stores of an upright picture, by the orientation it notes down (EXIF 2.3, 4.6.4 A).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: np.swapaxes(upright, 0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.swapaxes(upright[::-1, ::-1], 0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.fixture
def picture():
    """Smooth colors, `(30, 40, 3)` uint8, with no two sides alike."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), "uint8")
    return np.asarray(Image.fromarray(coarse).resize((40, 30), Image.Resampling.BICUBIC))


def save(folder, image, name, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(folder / name, **options)
    return folder / name


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def pixels(path):
    return decode.read_image(path).numpy()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("a.jpg", 25), ("a.webp", 0)])
def test_photos_are_turned_upright(tmp_path, picture, orientation, name, tolerance):
    stored = np.ascontiguousarray(STORED[orientation](picture))
    options = {"quality": 100} if name == "a.jpg" else {"lossless": True}
    path = save(tmp_path, stored, name, exif=oriented(orientation), **options)
    assert decode.needs_pillow(path) == (orientation > 1 or name == "a.webp")
    read = pixels(path).astype(int)
    assert read.shape == picture.shape
    assert np.abs(read - picture).max() <= tolerance


def test_jpeg_stays_with_tensorflow_bit_for_bit(tmp_path, picture):
    path = save(tmp_path, picture, "a.jpg", exif=oriented(1), quality=80)
    assert not decode.needs_pillow(path)
    expected = tf.io.decode_jpeg(path.read_bytes(), channels=3).numpy()
    np.testing.assert_array_equal(pixels(path), expected)

    path.write_bytes(path.read_bytes() + b"what some phones append")
    assert not decode.needs_pillow(path)
    np.testing.assert_array_equal(pixels(path), expected)

    second = Image.fromarray(255 - picture)
    both = save(
        tmp_path, picture, "b.jpg", format="MPO", save_all=True, append_images=[second], quality=80
    )
    assert not decode.needs_pillow(both)
    np.testing.assert_array_equal(pixels(both), expected)


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path, picture):
    large = Image.fromarray(picture).resize((1200, 900), Image.Resampling.BICUBIC)
    encoded = save(tmp_path, large, "a.jpg", quality=95).read_bytes()
    sides = {size: decode.decode(encoded, size).shape[0] for size in (500, 226, 225, 100, 20)}
    assert sides == {500: 900, 226: 900, 225: 450, 100: 225, 20: 113}
    for size in (225, 100):
        whole = pipeline.resize(decode.decode(encoded), size)
        apart = np.abs(pipeline.resize(decode.decode(encoded, size), size) - whole)
        assert apart.mean() < 1
        assert apart.max() < 4
    png = save(tmp_path, large, "a.png").read_bytes()
    assert decode.decode(png, 20).shape == (900, 1200, 3)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.bmp"])
def test_gray_is_spread_over_three_channels(tmp_path, picture, name):
    gray = picture[..., 0]
    path = save(tmp_path, gray, name, lossless=True)
    np.testing.assert_array_equal(pixels(path), np.repeat(gray[..., None], 3, axis=-1))


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGB"])
def test_every_kind_of_bmp(tmp_path, picture, mode):
    image = Image.fromarray(picture).convert(mode)
    path = save(tmp_path, image, "a.bmp")
    np.testing.assert_array_equal(pixels(path), np.asarray(image.convert("RGB")))


def test_cmyk(tmp_path, picture):
    for orientation in (1, 3):  # TensorFlow's and Pillow's
        stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](picture)))
        path = save(
            tmp_path, stored.convert("CMYK"), "a.jpg", quality=100, exif=oriented(orientation)
        )
        assert np.abs(pixels(path).astype(int) - picture).mean() < 3


@pytest.mark.parametrize("orientation", [1, 3])
def test_what_is_transparent_is_white_and_16_bits_are_cut(tmp_path, picture, orientation):
    stored = np.ascontiguousarray(STORED[orientation](picture))
    exif = oriented(orientation)
    clear = save(tmp_path, np.dstack([stored, stored[..., 0]]), "clear.png", exif=exif)
    alpha = picture[..., :1] / 255
    np.testing.assert_allclose(pixels(clear), 255 - alpha * (255.0 - picture), atol=1)

    deep = Image.fromarray(stored[..., 0].astype("uint16") * 256 + 255)
    deep = save(tmp_path, deep, "deep.png", exif=exif)
    np.testing.assert_array_equal(pixels(deep), np.repeat(picture[..., :1], 3, axis=-1))

    few = Image.fromarray(stored).quantize(8)
    palette = save(tmp_path, few, "palette.png", exif=exif, transparency=bytes(range(8)))
    shown = STORED[orientation](np.asarray(few.convert("RGB")))
    alpha = STORED[orientation](np.asarray(few))[..., None] / 255  # 0…7 of 255: nearly clear
    np.testing.assert_allclose(pixels(palette), 255 - alpha * (255.0 - shown), atol=1)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_the_first_frame_counts(tmp_path, name):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    path = save(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(pixels(path), np.asarray(frames[0]))


def test_black_to_the_last_byte(tmp_path):
    path = save(tmp_path, Image.new("RGB", (3, 2)), "a.webp")
    np.testing.assert_array_equal(pixels(path), np.zeros((2, 3, 3)))


def test_damaged_exif_leaves_a_photo(tmp_path, picture):
    good = save(tmp_path, picture, "good.png")
    path = save(tmp_path, picture, "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert not decode.needs_pillow(path)
    np.testing.assert_array_equal(pixels(path), pixels(good))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_is_found_out(tmp_path, picture, name, share):
    path = save(tmp_path, picture, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"(?i)truncated|could not create decoder"):
        decode.needs_pillow(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif"])
def test_a_file_that_ends_in_zeros_is_found_out(tmp_path, picture, name):
    path = save(tmp_path, picture, name)
    half = path.stat().st_size // 2
    path.write_bytes(path.read_bytes()[:half] + bytes(half))
    with pytest.raises(ValueError, match=r"truncated|broken|cannot load"):
        decode.needs_pillow(path)


def test_a_flipped_bit_in_a_png_is_found_out(tmp_path, picture):
    path = save(tmp_path, picture, "a.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        decode.needs_pillow(path)


@pytest.mark.parametrize("content", [b"", b"a shopping list", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"])
def test_no_image(tmp_path, content):
    path = tmp_path / "list.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^not a JPEG, PNG, GIF, BMP, WEBP or AVIF image$"):
        decode.needs_pillow(path)
    with pytest.raises(ValueError, match=r"^Expected an image file\. Received: .*list\.jpg \(not"):
        pixels(path)


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg"):
        with pytest.raises(ValueError, match="not a file"):
            pixels(path)
    with pytest.raises(FileNotFoundError, match=r"none\.jpg, not found"):
        pixels(tmp_path / "none.jpg")


def test_other_formats_are_not_opened(tmp_path, picture):
    path = save(tmp_path, picture, "a.tiff")
    with pytest.raises(ValueError, match="not a JPEG"):
        decode.needs_pillow(path)


def bomb(side):
    """The bytes of a PNG of a few hundred bytes that says it is `side` pixels wide and high."""
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    for kind, chunk in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        content += struct.pack(">I", len(chunk)) + kind + chunk
        content += struct.pack(">I", zlib.crc32(kind + chunk))
    return content


def test_a_bomb_is_refused_with_the_limit_named(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(50_000))
    with pytest.raises(ValueError, match=r"2500000000 pixels.* limit of 178956970 pixels"):
        decode.needs_pillow(path)
    with pytest.raises(ValueError, match=r"bomb\.png .* limit of 178956970 pixels"):
        pixels(path)


def test_a_large_photo_is_no_bomb(tmp_path, picture, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", picture[..., 0].size - 1)  # Pillow warns from it
    path = save(tmp_path, picture, "a.png")
    np.testing.assert_array_equal(pixels(path), picture)


def odd_folder(root, picture):
    """A class of odd files and one of ordinary ones, six each."""
    for name in ("odd", "plain"):
        (root / name).mkdir()
    half = Image.fromarray(np.ascontiguousarray(np.rot90(picture)))
    save(root / "odd", half, "0.jpg", exif=oriented(6))
    save(root / "odd", picture, "1.webp")
    save(root / "odd", Image.fromarray(picture).quantize(8), "2.bmp")
    save(root / "odd", picture, "3.gif")
    save(root / "odd", half, "4.png", exif=oriented(8))
    save(root / "odd", Image.fromarray(picture).convert("CMYK"), "5.jpg")
    for i in range(6):
        save(root / "plain", np.roll(picture, i, axis=0), f"{i}.jpg")
    return root


def test_training_and_prediction_read_the_same_pixels(tmp_path, picture):
    source = data.load(f"folder:{odd_folder(tmp_path, picture)}")
    assert not [note for note in source.notes if "skipped" in note]
    for split in source.splits.values():
        batches = pipeline.evaluation_batches(split, 24, 3)
        read = np.concatenate([images for images, _ in batches])
        for image, name in zip(read, split.names, strict=True):
            expected = pipeline.resize(decode.read_image(tmp_path / name), 24)
            np.testing.assert_array_equal(image, expected)


def test_a_resumed_stream_of_odd_files_goes_on_with_the_same_batches(tmp_path, picture):
    split = data.load(f"folder:{odd_folder(tmp_path, picture)}").splits["train"]

    def stream(**start):
        batches = pipeline.training_batches(split, 16, 2, epochs=2, **start)
        return [images.numpy() for images, _ in batches]

    whole, resumed = stream(), stream(start_step=1)
    assert len(whole) == 2 * (split.size // 2)
    for batch, again in zip(whole[1:], resumed, strict=True):
        np.testing.assert_array_equal(batch, again)


def damage(path):
    """Overwrite the middle of a file with what no JPEG has there; its end stays."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = b"\xff\xc3" * 50  # markers
    path.write_bytes(content)


@pytest.mark.parametrize("orientation", [1, 6])  # TensorFlow's and Pillow's
def test_a_jpeg_damaged_in_its_middle_is_found(tmp_path, orientation):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    path = save(tmp_path, noise, "a.jpg", exif=oriented(orientation))
    pillow = decode.needs_pillow(path)
    assert decode.thumbnail(path.read_bytes(), pillow).shape == (16, 17)
    damage(path)
    assert path.read_bytes().endswith(b"\xff\xd9")
    assert decode.needs_pillow(path) == pillow  # its header and end are fine
    with pytest.raises(ValueError, match="damaged JPEG data"):
        decode.thumbnail(path.read_bytes(), pillow)
    with pytest.raises(ValueError, match=r"Expected an image file\. Received: .*a\.jpg"):
        pixels(path)


def test_damaged_jpegs_are_skipped_by_name(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("jay", "owl"):
        (tmp_path / name).mkdir()
        for i in range(6):
            save(tmp_path / name, rng.integers(0, 256, (64, 64, 3), "uint8"), f"{i}.jpg")
    damage(tmp_path / "jay" / "2.jpg")
    damage(tmp_path / "owl" / "5.jpg")
    source = data.load(f"folder:{tmp_path}")
    assert source.notes[0] == (
        f"skipped, no image that can be read: 2 files: jay{os.sep}2.jpg (damaged JPEG data), "
        f"owl{os.sep}5.jpg (damaged JPEG data)"
    )
    for split in source.splits.values():
        assert not {"jay/2.jpg", "owl/5.jpg"} & set(split.names)
        list(pipeline.evaluation_batches(split, 16, 4))
    assert sum(split.size for split in source.splits.values()) == 10
    with pytest.raises(ValueError, match=r"2 files: jay.2\.jpg"):
        data.load(f"folder:{tmp_path}", strict=True)


def test_a_file_that_breaks_after_the_scan_is_named(tmp_path, picture):
    split = data.load(f"folder:{odd_folder(tmp_path, picture)}").splits["train"]
    odd = next(name for name in split.names if name.endswith((".webp", ".gif", ".bmp")))
    (tmp_path / odd).write_bytes(b"gone")
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"cannot decode .*{odd}"):
        list(pipeline.evaluation_batches(split, 16, 4))

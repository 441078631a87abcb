"""From an image file to pixels: one way for training and for prediction.

JPEG and PNG are TensorFlow's to decode, inside of the tf.data pipeline. What it does not read as
people see it (a photo that lies on its side, transparency, WebP, BMP with a palette), Pillow reads
and hands to it as a BMP. Which of the two is found out once a file, by `needs_pillow`, without
TensorFlow.
"""

import functools
import io
import os
import re
import stat
import warnings

import numpy as np
from PIL import ExifTags, Image, features

try:
    import pillow_heif
except ImportError:  # an extra: `pip install 'rra_keras[heic]'`
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "WEBP"),
    *(("AVIF",) if features.check("avif") else ()),
    *(("HEIF",) if pillow_heif else ()),
)
_JPEGS = ("JPEG", "MPO")  # MPO: a phone's JPEG with a second picture behind the first
_WHOLE = ("WEBP", "AVIF", "HEIF")  # of which nothing opens but the whole file
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_RATIOS = (2, 4, 8)  # by which a JPEG's decoder can reduce it
_SMALL_SIDE = 32  # pixels that a thumbnail is made of, at least
OTHER_FORMATS = (
    (
        rb".{4}ftyp(hei|hev|mif1|msf1)",
        "HEIC",
        "`pip install pillow-heif` reads it, or save it as JPEG",
    ),
    (rb".{4}ftypavi[fs]", "AVIF", "a newer Pillow reads it, or save it as JPEG"),
    (
        rb".{4}ftypcrx|II\*\0.{4}CR|FUJIFILMCCD-RAW|IIRO|IIU\0",
        "a camera's raw file",
        "save it as JPEG",
    ),
    (rb"II\*\0|MM\0\*", "TIFF or a camera's raw file", "save it as JPEG or PNG"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL", "save it as JPEG"),
    (rb"8BPS", "Photoshop", "save it as JPEG or PNG"),
    (rb"\s*<(svg|\?xml)", "SVG or XML", "save it as PNG"),
    (rb"%PDF", "PDF", "save its pages as JPEG or PNG"),
    (rb".{4}ftyp", "a video", "save single pictures of it as JPEG"),
)  # how files begin that people take for photos, what they are, and what to do
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation → what undoes it


def needs_pillow(path):
    """Look at a file's header and end, and find out who decodes it.

    Pixels are decoded only where that alone shows whether a file is whole: GIF, BMP, and JPEG
    that does not end as JPEG does. `thumbnail` finds damage in a file's middle.

    Args:
        path: an image file.

    Returns:
        Whether Pillow has to read it: it lies on its side, has transparency, or is neither JPEG
        nor PNG.

    Raises:
        ValueError: saying why, if it is no image, a damaged one, or larger than Pillow's limit of
            `2 * PIL.Image.MAX_IMAGE_PIXELS` pixels.
        OSError: if it cannot be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
        raise ValueError("not a file")
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error at the limit
        try:
            with Image.open(file, formats=FORMATS) as image:
                lies = orientation(image) in _UPRIGHT
                clear = image.has_transparency_data
                if image.format == "PNG" and image.fp is None:
                    pass  # decoded whole already
                elif image.format == "PNG":
                    image.verify()  # checksums; decoding would take forty times as long
                elif image.format in _JPEGS and _ends_with(file, _JPEG_END):
                    pass
                elif image.format not in _WHOLE:
                    image.load()
                return lies or clear or image.format not in (*_JPEGS, "PNG")
        except Image.UnidentifiedImageError:
            raise ValueError(_unreadable(path)) from None
        except Exception as error:  # what a damaged file raises is open-ended
            raise ValueError(_first_line(error)) from None


def thumbnail(content, pillow):
    """Decode a photo as training will, but as small as that goes, and shrink it to 16 × 17 grays.

    It fails where decoding the whole would fail. A JPEG is decoded at an eighth of its size, or
    so much larger that 32 pixels are left of each side.

    Args:
        content: the file's bytes.
        pillow: what `needs_pillow` said of it.

    Returns:
        `(16, 17)` uint8, what `copies.pairs` compares.

    Raises:
        ValueError: saying why, if it cannot be decoded.

    Example:
        example = next(iter(split.examples(seed=None)))
        assert decode.thumbnail(example["image"].numpy(), pillow=False).shape == (16, 17)
    """
    import tensorflow as tf

    jpeg = content.startswith(_JPEG_START)
    try:
        if jpeg and not pillow:
            with Image.open(io.BytesIO(content), formats=_JPEGS) as header:
                side = min(header.size)
            ratio = max(r for r in (1, *_RATIOS) if r == 1 or side // r >= _SMALL_SIDE)
            image = Image.fromarray(tf.io.decode_jpeg(content, 3, ratio).numpy())
        else:
            image = _open_upright(content, (_SMALL_SIDE, _SMALL_SIDE))
        return np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX))
    except Exception as error:  # what a damaged file raises is open-ended
        # TensorFlow's words for damage in a JPEG say less than this.
        raise ValueError("damaged JPEG data" if jpeg else _first_line(error)) from None


def upright(content, path, pillow):
    """Turn a file's bytes into what `decode` takes.

    Args:
        content: scalar string tensor.
        path: scalar string tensor, for messages.
        pillow: scalar bool tensor, what `needs_pillow` said of it.

    Returns:
        Scalar string tensor: the bytes as they are, or the upright photo as a BMP.
    """
    import tensorflow as tf

    encoded = tf.cond(
        pillow,
        lambda: tf.numpy_function(_upright_bmp, [content, path], tf.string),
        lambda: content,
    )
    return tf.ensure_shape(encoded, ())


def decode(encoded, size=None):
    """Decode an image; 16 bits are cut to 8.

    A JPEG so large that each side is at least four times the `size` is decoded at a half, a quarter
    or an eighth, but not below twice that: of 12 million pixels in half the time and a quarter of
    the memory. What comes of the resize differs by a fraction of a gray level.

    Args:
        encoded: JPEG, PNG or BMP, a scalar string tensor.
        size: side in pixels that it will be resized to; `None` decodes all there is.

    Returns:
        uint8 `(H, W, 3)`, RGB.

    Example:
        example = next(iter(split.examples(seed=None)))
        assert decode.decode(example["image"]).shape == (48, 72, 3)
    """
    import tensorflow as tf

    def whole():
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    def reduced():
        shorter = tf.reduce_min(tf.io.extract_jpeg_shape(encoded)[:2])
        larger_than = [shorter >= 2 * size * ratio for ratio in _RATIOS]
        return tf.switch_case(
            tf.reduce_sum(tf.cast(larger_than, tf.int32)),
            [whole, *(functools.partial(tf.io.decode_jpeg, encoded, 3, r) for r in _RATIOS)],
        )

    if size is None:
        image = whole()
    else:
        is_jpeg = tf.strings.substr(encoded, 0, 2) == _JPEG_START
        image = tf.cond(is_jpeg, reduced, whole)
    return tf.ensure_shape(image, (None, None, 3))


def read_image(path):
    """Read one photo as training reads it.

    Args:
        path: an image file; turned upright by its EXIF orientation.

    Returns:
        `(H, W, 3)` uint8 tensor, RGB.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no image, a damaged one, or too large.

    Example:
        image = decode.read_image(f"{photos}/red/g0_0.png")
        assert image.shape == (48, 72, 3)
    """
    import tensorflow as tf

    try:
        pillow, path_bytes = tf.constant(needs_pillow(path)), tf.constant(os.fsencode(path))
        return decode(upright(tf.io.read_file(path_bytes), path_bytes, pillow))
    except FileNotFoundError:
        raise FileNotFoundError(f"Expected an image file. Received: {path}, not found") from None
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise ValueError(
            f"Expected an image file. Received: {path} ({_first_line(error)})"
        ) from None


def _upright_bmp(content, path):
    """A file's first picture, turned upright, as the bytes of an RGB BMP."""
    # Eager TensorFlow hands over 0-d arrays instead of bytes.
    content, path = (x.item() if isinstance(x, np.ndarray) else x for x in (content, path))
    try:
        bmp = io.BytesIO()
        _open_upright(content).save(bmp, "BMP")
        return bmp.getvalue()
    except Exception as error:  # what a damaged file raises is open-ended
        raise ValueError(f"cannot decode {os.fsdecode(path)!r}: {_first_line(error)}") from None


def _open_upright(content, draft=None):
    """A file's first picture, RGB, turned upright; a JPEG not much larger than `draft`."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        turn = _UPRIGHT.get(orientation(image))
        if draft:
            image.draft(None, draft)
        image.load()
        if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip
            image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
        if turn is not None:
            image = image.transpose(turn)
        return _on_white(image).convert("RGB")


def _on_white(image):
    """What is transparent shows white, as most programs show it: its own color nobody sees."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def orientation(image):
    """Return a photo's EXIF orientation, wherever its format keeps it; `None` without one.

    Args:
        image: a `PIL.Image.Image` as it was opened.

    Example:
        from PIL import Image

        assert decode.orientation(Image.new("RGB", (4, 3))) is None
    """
    try:
        # A PNG may keep it behind its pixels: its own method decodes it whole, to get there.
        late = image.format == "PNG" and _mentions(image.fp, (b"eXIf", b"Raw profile type exif"))
        exif = image.getexif() if late else Image.Image.getexif(image)
        return exif.get(ExifTags.Base.Orientation)
    except Exception:  # a photo with damaged EXIF data is a photo still
        return None


def _mentions(file, words):
    position = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(position)
    return any(word in content for word in words)


def _unreadable(path):
    """Say what a file is that no decoder takes, as far as its first bytes tell."""
    with open(path, "rb") as file:
        start = file.read(32)
    read = f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
    for pattern, name, advice in OTHER_FORMATS:
        if re.match(pattern, start, re.DOTALL):
            return f"{name}, {read}: {advice}"
    return read


def _ends_with(file, end):
    position = file.tell()
    file.seek(-len(end), os.SEEK_END)
    found = file.read()
    file.seek(position)
    return found == end


def _first_line(error):
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"{{.*?}} | \[Op:.*", "", line)  # TensorFlow's names for its own parts

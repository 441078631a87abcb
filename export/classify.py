"""Classify photos on a device: `python -m export.classify model.tflite photo.jpg`.

This file stands alone: copy it beside a model. It needs ai-edge-litert, NumPy and Pillow.
"""

import argparse
import contextlib
import csv
import dataclasses
import glob
import io
import json
import math
import os
import re
import stat
import sys
import tempfile
import time
import unicodedata
import warnings
import zipfile
import zlib

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options
from PIL import ExifTags, Image, ImageDraw, ImageFont, features

_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")  # one a fixation (Okabe and Ito)
_SAME = 0.5  # share of a box inside another from which on both are of the same object
_HALF = 4  # XNNPACK's flag to compute in half floats
_STRIDE = 4  # pixels between samples of a crop, beyond which more are taken and averaged
try:
    import pillow_heif
except ImportError:  # `pip install pillow-heif` has it read HEIC
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "WEBP"),
    *(("AVIF",) if features.check("avif") else ()),
    *(("HEIF",) if pillow_heif else ()),
)
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
SYSTEM_NAMES = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@sharesnap"),
        *("#recycle", "#snapshot", "~snapshot", "network trash folder", "temporary items"),
        *("$recycle.bin", "recycler", "recycled", "system volume information"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("__macosx", "icon\r", "lost+found", "__pycache__"),
        *("picasa.ini", "_gsdata_"),
    )
)  # in lower case: what systems keep beside photos; as in training (rra_keras/data/walk.py)
SYSTEM_ENDINGS = (".lrdata", ".photoslibrary", ".aplibrary")
_TOP = 5
_MANY = 20  # photos, from which on it pays to find out which way is faster
_LATIN = 0x24F  # the last of the letters that Pillow's own font has
_FONTS = (
    *("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DroidSansFallbackFull.ttf"),
    *("msyh.ttc", "Arial Unicode.ttf", "PingFang.ttc", "DejaVuSans.ttf"),
)  # with many scripts, by the names of their files on Linux, Windows and macOS


@dataclasses.dataclass(frozen=True)
class Result:
    """The model's answer for a photo.

    Attributes:
        labels: class names, the most probable first.
        probabilities: theirs, in the same order.
        boxes: where it was read, in order, `(K, 4)` as `y0 x0 y1 x1` in [0, 1] of the photo; empty
            for a model that reads the whole photo.
        weights: `(K,)`, the share of each in the answer.
        refinements: `(K,)`, how many closer views each took.
        score: how much it is like the photos that the model was trained on.
        known_from: the least score of a photo that is of any of the classes; `None` for all.
        thresholds: of a model that may say several classes: the least probability of each, in the
            same order; `None` of others.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    boxes: np.ndarray
    weights: np.ndarray
    refinements: np.ndarray
    score: float
    known_from: float | None
    thresholds: tuple[float, ...] | None = None

    @property
    def said(self):
        """What to tell of a photo that is known: labels and probabilities, the surest first."""
        pairs = list(zip(self.labels, self.probabilities, strict=True))
        if self.thresholds is None:
            return pairs[:_TOP]
        return [
            pair for pair, least in zip(pairs, self.thresholds, strict=True) if pair[1] >= least
        ]

    @property
    def known(self):
        """Whether it is of any of the classes; if not, labels and probabilities mean nothing."""
        return self.known_from is None or self.score >= self.known_from


class Classifier:
    """A model file on this device.

    Args:
        path: a `.tflite` file that `rra export` wrote.
        threads: of the CPU.
        gpu: run on the GPU, and on the CPU what the GPU does not take.
        half: compute in half floats on the CPU, as most GPUs do.

    Attributes:
        labels: class names in the order of the logits.
        image_size: side in pixels that photos are resized to, and crops cut from.
        fixations: most places of a photo that are read; 0 for a model that is run in one call.
        refinements: most closer views of each.
        sure_from: evidence, the largest logit, from which on no further place is read.
        temperature: what logits are divided by in the probabilities.
        known_from: the least score of a photo of any of the classes; `None` for all photos.
        thresholds: the least probability of each class where a photo may be of several, or `None`.
        outputs: by signature, the outputs' names and shapes.
        sizes: by signature, height and width of the image that it takes.
        fully_accelerated: whether every op runs on the accelerator.
        one_call: whether a photo is classified by `full`: see `take_the_faster_way`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such model, or is damaged.
    """

    def __init__(self, path, threads=1, gpu=False, half=False):
        self.labels, metadata = _read_metadata(path)
        self.image_size = metadata["image_size"]
        self.fixations = metadata["fixations"]
        self.refinements = metadata["refinements"]
        self.attention_temperature = metadata["attention_temperature"]
        self.sure_from = metadata["sure_from"]
        self.temperature = metadata["temperature"]
        self.known_from = metadata["known_from"]
        self.thresholds = metadata.get("thresholds")
        kind = HardwareAccelerator.CPU
        if gpu:
            kind |= HardwareAccelerator.GPU
        cpu = CpuOptions(num_threads=threads, xnnpack_flags=_HALF if half else None)
        options = Options(hardware_accelerators=kind, cpu_options=cpu)
        try:
            self._model = CompiledModel.from_file(os.fspath(path), options=options)
        except RuntimeError as error:
            reason = "it found no GPU" if gpu else str(error).splitlines()[-1]
            raise ValueError(
                f"Expected a model that LiteRT runs. Received: {path}, {reason}"
            ) from None
        self.fully_accelerated = self._model.is_fully_accelerated()
        self.outputs, self.sizes, self._inputs, self._buffers = {}, {}, {}, {}
        for name in self._model.get_signature_list():
            inputs = self._model.get_input_tensor_details(name)
            outputs = self._model.get_output_tensor_details(name)
            self.outputs[name] = {key: tuple(value["shape"]) for key, value in outputs.items()}
            pixels = inputs.get("crop") or inputs.get("images")
            self.sizes[name] = tuple(map(int, pixels["shape"][1:3]))
            self._inputs[name] = {
                key: self._model.create_input_buffer_by_name(name, key) for key in inputs
            }
            self._buffers[name] = {
                key: self._model.create_output_buffer_by_name(name, key) for key in outputs
            }
        self.one_call = "read" not in self.outputs
        classes = self.outputs["full"]["logits"][-1]
        if classes != len(self.labels):
            raise ValueError(
                f"Expected a model with as many labels as classes. Received: {path}, with "
                f"{len(self.labels)} labels and {classes} classes"
            )

    def take_the_faster_way(self, times=5):
        """Time a photo in one call, and one that is sure at its first place; set `one_call`.

        On a fast GPU a call takes longer than what is in it. A CPU always saves by what it need not
        read.
        """
        if "read" not in self.outputs:
            return
        gray = np.full((self.image_size, self.image_size, 3), 127.5, np.float32)
        ways = (lambda: self._in_one_call(gray), lambda: self._place_by_place(gray, 1))
        taken = [[], []]
        for _ in range(times + 1):
            for seconds, way in zip(taken, ways, strict=True):
                start = time.perf_counter()
                way()
                seconds.append(time.perf_counter() - start)
        whole, pieces = (np.median(seconds[1:]) for seconds in taken)  # the first ones compile
        self.one_call = bool(whole < pieces)

    def run(self, signature, **inputs):
        """Run a signature.

        Args:
            signature: `"full"`, `"glance"`, `"refine"` or `"read"`; see `export/README.md`.
            **inputs: its arrays, with a batch axis of 1; pixels are RGB 0…255.

        Returns:
            A dict of float32 arrays.
        """
        for name, buffer in self._inputs[signature].items():
            buffer.write(np.ascontiguousarray(inputs[name], np.float32))
        self._model.run_by_name(signature, self._inputs[signature], self._buffers[signature])
        return {
            name: buffer.read(int(np.prod(shape)), np.float32).reshape(shape)
            for (name, shape), buffer in zip(
                self.outputs[signature].items(), self._buffers[signature].values(), strict=True
            )
        }

    def classify(self, photo, fixations=None):
        """Name what is on a photo; see `see`.

        Args:
            photo: a file, or a `PIL.Image.Image`.
            fixations: as of `see`.

        Returns:
            A `Result`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no image, or a damaged one.
        """
        image = photo if isinstance(photo, Image.Image) else read_image(photo, self.image_size)
        seen = self.see(resize(image, self.image_size), fixations)
        probabilities = seen["probabilities"]
        order = np.argsort(-probabilities, kind="stable")
        return Result(
            labels=tuple(self.labels[i] for i in order),
            probabilities=tuple(float(probabilities[i]) for i in order),
            boxes=seen["read_boxes"],
            weights=seen["weights"],
            refinements=seen["refinements"],
            score=float(seen["score"].item()),
            known_from=self.known_from,
            thresholds=self.thresholds and tuple(self.thresholds[i] for i in order),
        )

    def see(self, pixels, fixations=None):
        """Glance at a photo, refine a place until it is framed, read it; go on until sure.

        1. The whole photo, small → places, the most voted first (`glance`).
        2. The first place and its surroundings → a better box (`refine`), until it fills what was
           seen, or `refinements` are used up.
        3. The box → logits (`read`). If the largest reaches `sure_from`, that is all.
        4. Else the next place, unless it ends on an object that was read, or on a part of it.
        5. Softmax of each one's largest logit, divided by `attention_temperature`, weighs them.
           Where a photo may be of several classes, each place is read, and the largest logit of a
           class counts.

        A model without fixations is run in one call, and so is any where `one_call` is set: unless
        `fixations` are given, `full` then answers the same, and refines every place.

        Args:
            pixels: `(S, S, 3)`, the photo resized to `image_size`, RGB 0…255.
            fixations: most places to read; the model's own unless given.

        Returns:
            A dict of arrays: `logits` and `probabilities` `(C,)`, `score` `(1,)`, and of each place
            that was read, in order, `read_boxes` `(n, 4)`, `weights`, `refinements` `(n,)`.
        """
        if self.one_call and (fixations is None or "read" not in self.outputs):
            return self._in_one_call(pixels)
        return self._place_by_place(pixels, fixations)

    def _in_one_call(self, pixels):
        seen = self.run("full", images=pixels[None])
        said = {name: seen[name][0] for name in ("logits", "probabilities", "score")}
        weights, boxes = seen.get("weights", np.zeros((1, 0))), seen.get("boxes")
        read = weights[0] > 0
        return said | {
            "read_boxes": np.zeros((0, 4)) if boxes is None else boxes[0, read],
            "weights": weights[0, read],
            "refinements": np.full(read.sum(), self.refinements),
        }

    def _place_by_place(self, pixels, fixations):
        glance = self.run("glance", crop=shrink(pixels, self.sizes["glance"])[None])
        count = glance["votes"].shape[1]
        objects, read = [], []
        for k in range(count):
            if k and not glance["votes"][0, k] > 0:
                break  # what nothing votes for comes last
            seen = {name: glance[name][:, k] for name in ("object", "box", "view", "framed")}
            refined = 0
            while refined < self.refinements and not seen["framed"].item():
                view = seen["view"]
                crop = zoom_crop(pixels, view[0], self.sizes["refine"])
                seen = self.run("refine", crop=crop[None], view=view)
                refined += 1
            same = any(_share_inside(seen["object"][0], other) >= _SAME for other in objects)
            objects.append(seen["object"][0])
            if same:
                continue
            crop = zoom_crop(pixels, seen["box"][0], self.sizes["read"])
            said = self.run("read", crop=crop[None])
            read.append((said["logits"][0], said["score"][0], seen["box"][0], refined))
            sure = self.sure_from is not None and said["logits"].max() >= self.sure_from
            if sure or len(read) == fixations:
                break
        logits, scores, boxes, refinements = (np.stack(each) for each in zip(*read, strict=True))
        weights = _softmax(logits.max(axis=-1) / self.attention_temperature)
        answer, score = weights @ logits, weights @ scores
        if self.thresholds:
            weights = np.full(len(read), 1 / len(read), np.float32)
            answer, score = logits.max(axis=0), scores.max(axis=0)
        scaled = answer / self.temperature
        return {
            "logits": answer,
            "probabilities": 1 / (1 + np.exp(-scaled)) if self.thresholds else _softmax(scaled),
            "score": score,
            "read_boxes": boxes,
            "weights": weights,
            "refinements": refinements,
        }


def _softmax(values):
    shares = np.exp(values - values.max())
    return shares / shares.sum()


def _share_inside(box, other):
    """Return the share of a box that is inside another."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    area = np.prod(np.maximum(box[2:] - box[:2], 0))
    return np.prod(np.maximum(high - low, 0)) / (area + 1e-9)


def _read_metadata(path):
    """Return a model file's labels and metadata, after a check that it is whole."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        with zipfile.ZipFile(path) as appended:
            labels = appended.read("labels.txt").decode().splitlines()
            metadata = json.loads(appended.read("metadata.json"))
        if content[4:8] != b"TFL3":
            raise ValueError
        whole = zlib.crc32(content[: metadata["bytes"]]) == metadata["crc32"]
    except FileNotFoundError:
        raise FileNotFoundError(f"Expected a model file. Received: {path}, not found") from None
    except IsADirectoryError:
        raise ValueError(f"Expected a model file. Received: {path}, a folder") from None
    except (zipfile.BadZipFile, KeyError, ValueError):
        raise ValueError(
            f"Expected a .tflite file that `rra export` wrote. Received: {path}, which is "
            "another file or cut short"
        ) from None
    if not whole:
        raise ValueError(f"Expected a whole model file. Received: {path}, which is damaged")
    return labels, metadata


def read_image(path, size=None):
    """Read a photo: turned upright by its EXIF orientation, the first picture of an animation, RGB.

    What is transparent shows white, and 16 bits are cut to 8, as in training.

    Args:
        path: an image file.
        size: side in pixels that it will be resized to: a JPEG at least four times as large is
            decoded at a half, a quarter or an eighth, not below twice the size. That takes half
            the time or less, and changes what comes of it by a fraction of a gray level.

    Returns:
        A `PIL.Image.Image` in mode RGB.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no image, a damaged one, or larger than Pillow decodes.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
            raise ValueError("not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if size:
                    image.draft("RGB", (2 * size, 2 * size))  # of JPEGs: no other knows it
                turn = _UPRIGHT.get(_orientation(image))
                image.load()
                if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip
                    image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
                image = _on_white(image).convert("RGB")
                return image.transpose(turn) if turn is not None else image
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Expected an image file. Received: {_shown(path)}, not found"
        ) from None
    except Image.UnidentifiedImageError:
        reason = _unreadable(path)
        raise ValueError(f"Expected an image file. Received: {_shown(path)} ({reason})") from None
    except Exception as error:  # what a damaged file raises is open-ended
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = reason.replace(repr(os.fspath(path)), "it")
        raise ValueError(f"Expected an image file. Received: {_shown(path)} ({reason})") from None


def _on_white(image):
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation → what undoes it


def _unreadable(path):
    """Say what a file is that no decoder takes, as far as its first bytes tell."""
    with open(path, "rb") as file:
        start = file.read(32)
    read = f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
    for pattern, name, advice in OTHER_FORMATS:
        if re.match(pattern, start, re.DOTALL):
            return f"{name}, {read}: {advice}"
    return read


def _orientation(image):
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


def resize(image, size):
    """Resize to a square, bilinear and antialiased; the aspect is not kept, as in training.

    Args:
        image: a `PIL.Image.Image` in mode RGB.
        size: side in pixels.

    Returns:
        `(size, size, 3)` uint8.
    """
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def shrink(pixels, size):
    """Shrink a square photo for the glance: whole pixels averaged, then bilinearly.

    Args:
        pixels: `(S, S, 3)`, 0…255.
        size: `(g, g)`.

    Returns:
        `(g, g, 3)` float32.
    """
    side = len(pixels)
    factor = max(n for n in range(1, max(side // size[0], 1) + 1) if side % n == 0)
    small = side // factor
    at = np.clip((np.arange(size[0]) + 0.5) * small / size[0] - 0.5, 0, small - 1)
    for axis in (0, 1):
        pixels = _mix(_average(pixels, factor, axis), at, axis)
    return pixels


def zoom_crop(pixels, box, size):
    """Cut a box out of a square photo and resize it, bilinearly.

    Row `i` of `h` samples the photo's row `y0·(S−1) + i·(y1−y0)·(S−1)/(h−1)`. Where `h` rows of the
    whole photo would be more than `_STRIDE` apart, more are sampled, and groups of them averaged.

    Args:
        pixels: `(S, S, 3)`, 0…255.
        box: `(4,)` as `y0 x0 y1 x1` in [0, 1].
        size: `(h, w)`.

    Returns:
        `(h, w, 3)` float32.
    """
    last = len(pixels) - 1
    many = [max(1, math.ceil(last / length / _STRIDE)) for length in size]
    at = [
        np.clip(np.linspace(box[axis], box[axis + 2], many[axis] * size[axis]) * last, 0, last)
        for axis in (0, 1)
    ]
    left = int(at[1].min())  # columns beside the box only cost time
    pixels, at[1] = pixels[:, left : int(at[1].max()) + 2], at[1] - left
    for axis in (0, 1):
        pixels = _average(_mix(pixels, at[axis], axis), many[axis], axis)
    return pixels


def _average(pixels, count, axis):
    """Average each `count` neighbors along an axis."""
    if count == 1:
        return pixels
    every = [pixels[(slice(None),) * axis + (slice(n, None, count),)] for n in range(count)]
    return sum(every[1:], np.float32(every[0])) / np.float32(count)


def _mix(pixels, at, axis):
    """Return what lies at fractional positions `at` along an axis, mixed of its two neighbors."""
    low = np.minimum(at.astype(int), pixels.shape[axis] - 2)
    share = (at - low).astype(np.float32).reshape(-1, *(1 for _ in pixels.shape[axis + 1 :]))
    # Indexing copies no more than the rows that are asked for; of columns, `take` is faster.
    below, above = (pixels[low + n] if axis == 0 else pixels.take(low + n, axis) for n in (0, 1))
    return below + share * (above - np.float32(below))


def draw(image, result):
    """Return a copy of a photo with a box for each fixation, and what it is above."""
    image = image.convert("RGB")
    canvas = ImageDraw.Draw(image)
    width = max(2, round(max(image.size) / 200))
    strongest = int(np.argmax(result.weights)) if len(result.weights) else 0
    for k, (y0, x0, y1, x1) in enumerate(result.boxes):
        corners = (x0 * (image.width - 1), y0 * (image.height - 1))
        corners += (x1 * (image.width - 1), y1 * (image.height - 1))
        canvas.rectangle(
            corners, outline=_COLORS[k % len(_COLORS)], width=width * (1 + (k == strongest))
        )
    said = result.said[: 1 if result.thresholds is None else None]
    text = ", ".join(f"{label} {probability:.0%}" for label, probability in said)
    if not (result.known and said):
        text = f"none of these (score {result.score:.2f})"
    font = _font(text, max(12, round(max(image.size) / 30)))
    left, top, right, bottom = canvas.textbbox((width, width), text, font)
    canvas.rectangle((left - width, top - width, right + width, bottom + width), fill="black")
    canvas.text((width, width), text, "white", font)
    return image


def _font(text, size):
    """Return a font for a text; for other scripts than Latin one of the machine, if it has any."""
    if max(map(ord, text)) > _LATIN:
        for name in _FONTS:
            with contextlib.suppress(OSError):
                return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"error: {message}\n")


def _parse(argv):
    parser = _Parser(prog="classify", description="Name what is on photos, on this device.")
    parser.add_argument("model", help="a .tflite file that `rra export` wrote")
    parser.add_argument(
        "photos", nargs="+", metavar="photo", help="image files, folders of them, or patterns"
    )
    parser.add_argument("--draw", metavar="PNG", help="draw where it was read into this file")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each photo")
    parser.add_argument("--csv", metavar="FILE", help="file for a line for each photo; -: print")
    parser.add_argument(
        "--known_from", type=float, help="least score of a photo that is given a class"
    )
    parser.add_argument("--fixations", type=int, help="read at most so many places of a photo")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--gpu", action="store_true", help="run on the GPU")
    arguments = parser.parse_args(argv)
    arguments.photos = [path for name in arguments.photos for path in _expand(name)]
    if not arguments.photos:
        parser.error("argument photo: expected a folder with photos in it")
    if arguments.draw and len(arguments.photos) > 1:
        parser.error("argument --draw: expected one photo")
    if arguments.threads < 1:
        parser.error("argument --threads: expected a positive integer")
    if arguments.fixations is not None and arguments.fixations < 1:
        parser.error("argument --fixations: expected a positive integer")
    return arguments


def _expand(name):
    """Return the photos that a name stands for: a file's own, a folder's or a pattern's."""
    if os.path.exists(name) and not os.path.isdir(name):
        return [name]
    if os.path.isdir(name):
        found = []
        for folder, folders, files in os.walk(name):
            folders[:] = sorted(each for each in folders if not _is_system(each))
            found += [os.path.join(folder, file) for file in files if not _is_system(file)]
        return sorted(found)
    return sorted(glob.glob(name, recursive=True)) or [name]


def _is_system(name):
    """Whether a file or folder is hidden, or is kept by a system for itself."""
    name = name.lower()
    return name.startswith(".") or name in SYSTEM_NAMES or name.endswith(SYSTEM_ENDINGS)


def _shown(path):
    """Return a path as a line may hold it: as it is, or escaped."""
    path = os.fspath(path)
    unwritable = any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in path)
    return ascii(path) if unwritable else path


def _check_outputs(arguments):
    """Raise `ValueError` unless the files that were asked for can be written."""
    for flag, path in (("--csv", arguments.csv), ("--draw", arguments.draw)):
        if path in (None, "-"):
            continue
        problem = None
        if os.path.isdir(path):
            problem = "a folder"
        elif any(os.path.realpath(path) == os.path.realpath(photo) for photo in arguments.photos):
            problem = "one of the photos"
        else:
            try:
                with tempfile.TemporaryFile(dir=os.path.dirname(path) or "."):
                    pass
            except OSError as error:
                problem = f"which cannot be written ({error.strerror})"
        if problem:
            raise ValueError(
                f"argument {flag}: expected a file to write. Received: {path}, {problem}"
            )


def main(argv):
    """Classify the photos named on the command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal may not know a name's letters
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _classify(_parse(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # nobody reads what is printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _classify(arguments):
    try:
        _check_outputs(arguments)
        classifier = Classifier(arguments.model, arguments.threads, arguments.gpu)
        if arguments.gpu and len(arguments.photos) >= _MANY:
            classifier.take_the_faster_way()
        if arguments.known_from is not None:
            classifier.known_from = arguments.known_from
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    answers, status = [], 0
    for number, path in enumerate(arguments.photos, start=1):
        _progress(number, len(arguments.photos), arguments.csv)
        try:
            image = read_image(path, None if arguments.draw else classifier.image_size)
            result = classifier.classify(image, arguments.fixations)
            if arguments.draw:
                draw(image, result).save(arguments.draw)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        name = _shown(path)
        if arguments.csv:
            answers.append((name, result))
        else:
            print(_line(name, result) if arguments.json else _text(name, result))
    if arguments.csv:
        try:
            _write_csv(arguments.csv, answers)
        except OSError as error:
            print(f"error: argument --csv: {error}", file=sys.stderr)
            return 2
    return status


def _progress(number, count, quiet):
    """Count on the terminal while nothing else is printed there."""
    if quiet and sys.stderr.isatty():
        print(f"\r{number} of {count}", end="" if number < count else "\n", file=sys.stderr)


def _line(path, result):
    line = {
        "file": path,
        "said": [{"label": label, "probability": p} for label, p in result.said],
        "boxes": result.boxes.tolist(),
        "weights": result.weights.tolist(),
        "score": result.score,
        "known": result.known,
    }
    return json.dumps(line, ensure_ascii=False)


def _text(path, result):
    lines = [path]
    if count := len(result.boxes):
        lines = [f"{path} ({count} fixation{'s' * (count > 1)})"]
    if result.known and result.said:
        lines += [f"  {p:6.1%}  {label}" for label, p in result.said]
    elif result.known:
        lines.append("  none of these (each below its threshold)")
    else:
        scores = f"score {result.score:.2f}, known from {result.known_from:.2f}"
        lines.append(f"  none of these ({scores})")
    return "\n".join(lines)


def _write_csv(path, answers):
    """Write answers as a table: the file appears whole."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    ranks = ["", *(f"_{n}" for n in range(2, _TOP + 1))]
    for number, (name, result) in enumerate(answers):
        row = {"file": name}
        said = result.said
        if result.thresholds is None:
            row |= {"predicted": said[0][0], "probability": f"{said[0][1]:.6f}"}
        else:
            row["predicted"] = ";".join(label for label, _ in said)
            row["probability"] = ";".join(f"{probability:.6f}" for _, probability in said)
        row |= {"score": f"{result.score:.6f}", "known": int(result.known)}
        if result.thresholds is None:
            for rank, (label, probability) in zip(ranks[1:], said[1:], strict=False):
                row |= {f"predicted{rank}": label, f"probability{rank}": f"{probability:.6f}"}
        else:
            shares = dict(zip(result.labels, result.probabilities, strict=True))
            row |= {f"p({label})": f"{shares[label]:.6f}" for label in sorted(shares)}
        if not number:
            rows.writerow(row)
        rows.writerow(row.values())
    if path == "-":
        print(table.getvalue(), end="")
        return
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8", newline="") as file:
        file.write(table.getvalue())
    os.replace(partial, path)


def hush_native_log():
    """Send what native libraries write to standard error nowhere; Python's own lines stay."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    hush_native_log()
    sys.exit(main(sys.argv[1:]))

"""Classify photos on a device: `python -m export.classify model.tflite photo.jpg`.

This file stands alone: copy it beside a model. It needs ai-edge-litert, NumPy and Pillow.
"""

import argparse
import csv
import dataclasses
import glob
import io
import json
import math
import os
import sys
import warnings
import zipfile
import zlib

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options
from PIL import Image, ImageDraw, ImageFont, ImageOps

_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")  # one a look (Okabe and Ito)
_STRIDE = 4  # pixels between samples of a crop, beyond which more are taken and averaged
_PHOTOS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")  # of a folder
_TOP = 5


@dataclasses.dataclass(frozen=True)
class Result:
    """The model's answer for a photo.

    Attributes:
        labels: class names, the most probable first.
        probabilities: theirs, in the same order.
        boxes: where it looked closer, in order, `(looks, 4)` as `y0 x0 y1 x1` in [0, 1] of the
            photo; the answer was read in the last. Empty if the glance was enough.
        step_weights: `(T,)`, the weight of each recurrent step; empty likewise.
        score: how much it is like the photos that the model was trained on.
        known_from: the least score of a photo that is of any of the classes; `None` for all.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    boxes: np.ndarray
    step_weights: np.ndarray
    score: float
    known_from: float | None

    @property
    def looks(self):
        """How often it looked closer."""
        return len(self.boxes)

    @property
    def known(self):
        """Whether it is of any of the classes; if not, labels and probabilities mean nothing."""
        return self.known_from is None or self.score >= self.known_from


class Classifier:
    """A model file on this device.

    Args:
        path: a `.tflite` file that `python -m export` wrote.
        threads: of the CPU.
        gpu: run on the GPU, and on the CPU what the GPU does not take.

    Attributes:
        labels: class names in the order of the logits.
        image_size: side in pixels that photos are resized to, and crops cut from.
        confidence: the glance's probability from which on it is enough; `None` for a model that
            cannot stop there.
        refinements: most looks that a photo is given to frame its object, before it is read.
        temperature: by who answers, `"full"` or `"glance"`, what logits were divided by in the
            probabilities; empty where the file does not say.
        known_from: by who answers, the least score of a photo of any of the classes; without the
            key, or `None`, for all photos.
        outputs: by signature, the outputs' names and shapes.
        sizes: by signature, height and width of the image that it takes.
        fully_accelerated: whether every op runs on the accelerator.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such model, or is damaged.
    """

    def __init__(self, path, threads=1, gpu=False):
        self.labels, metadata = _read_metadata(path)
        self.image_size = metadata["image_size"]
        self.confidence = metadata["confidence"]
        self.refinements = metadata.get("refinements", 0)
        self.temperature = metadata.get("temperature", {})
        self.known_from = metadata.get("known_from", {})
        kind = HardwareAccelerator.CPU
        if gpu:
            kind |= HardwareAccelerator.GPU
        options = Options(hardware_accelerators=kind, cpu_options=CpuOptions(num_threads=threads))
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
        classes = self.outputs["full"]["logits"][-1]
        if classes != len(self.labels):
            raise ValueError(
                f"Expected a model with as many labels as classes. Received: {path}, with "
                f"{len(self.labels)} labels and {classes} classes"
            )

    def run(self, signature, **inputs):
        """Run a signature.

        Args:
            signature: `"full"`, `"glance"`, `"look"` or `"read"`; see the model's `README.md`.
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

    def classify(self, photo, confidence=None, looks=None):
        """Name what is on a photo; see `see`.

        Args:
            photo: a file, or a `PIL.Image.Image`.
            confidence: as of `see`.
            looks: as of `see`.

        Returns:
            A `Result`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no image, or a damaged one; or if the model does not look so often.
        """
        image = photo if isinstance(photo, Image.Image) else read_image(photo, self.image_size)
        outputs = self.see(resize(image, self.image_size), confidence, looks)
        probabilities = outputs["probabilities"][0]
        order = np.argsort(-probabilities, kind="stable")
        glanced = "read" in self.outputs and "boxes" not in outputs
        return Result(
            labels=tuple(self.labels[i] for i in order),
            probabilities=tuple(float(probabilities[i]) for i in order),
            boxes=outputs.get("boxes", np.zeros((1, 0, 4)))[0],
            step_weights=outputs.get("step_weights", np.zeros((1, 0)))[0],
            # Files of versions before have no score: the greatest logit.
            score=float(outputs.get("score", outputs["logits"]).max()),
            known_from=self.known_from.get("glance" if glanced else "full"),
        )

    def see(self, pixels, confidence=None, looks=None):
        """Glance at a photo, look closer until its object is framed, and read that.

        1. The whole photo, small → the glance's answer, and the object's box. If the answer is
           sure, that is all.
        2. The box and its surroundings → a better box, until that fills what was seen: closer
           looks would show no more. Or until `refinements` are used up.
        3. The last box → the answer.

        A model of several looks, or of none, is run in one call, as are files of versions before.

        Args:
            pixels: `(S, S, 3)`, the photo resized to `image_size`, RGB 0…255.
            confidence: the glance's probability from which on it is enough; above 1 always looks
                closer, 0 never. The model's own unless given.
            looks: how often to look closer, whatever the model makes of it; 0 is the glance alone.

        Returns:
            A dict of arrays with a batch axis of 1: `logits`, `probabilities`, `score`, and if it
            looked closer `step_weights` and `boxes` `(1, looks, 4)`, each look's in order.

        Raises:
            ValueError: if `looks` are given to a model that is run in one call.
        """
        if "read" not in self.outputs:
            if looks is not None:
                raise ValueError(
                    "Invalid value for `looks`. Expected None, as the model is run in one call. "
                    f"Received: looks={looks}"
                )
            return self.run("full", images=pixels[None])
        seen = self.run("glance", crop=shrink(pixels, self.sizes["glance"])[None])
        confidence = self.confidence if confidence is None else confidence
        if looks == 0 or (looks is None and seen["probabilities"].max() >= confidence):
            return {
                name: seen[name] for name in ("logits", "probabilities", "score") if name in seen
            }
        logits, boxes = seen["logits"], []
        while "look" in self.outputs and self._goes_on(seen, len(boxes), looks):
            boxes.append(seen["view"])
            crop = zoom_crop(pixels, seen["view"][0], self.sizes["look"])
            seen = self.run("look", crop=crop[None], view=seen["view"])
        boxes.append(seen["box"])
        crop = zoom_crop(pixels, seen["box"][0], self.sizes["read"])
        read = self.run("read", crop=crop[None], logits=logits)
        return {**read, "boxes": np.stack(boxes, axis=1)}

    def _goes_on(self, seen, refined, looks):
        if looks is not None:
            return refined < looks - 1
        return refined < self.refinements and not seen["framed"].item()


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
            f"Expected a .tflite file that `python -m export` wrote. Received: {path}, which is "
            "another file or cut short"
        ) from None
    if not whole:
        raise ValueError(f"Expected a whole model file. Received: {path}, which is damaged")
    return labels, metadata


def read_image(path, size=None):
    """Read a photo: turned upright by its EXIF orientation, the first picture of an animation, RGB.

    Transparency is dropped and 16 bits are cut to 8, as in training.

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if size:
                    image.draft("RGB", (2 * size, 2 * size))  # of JPEGs: no other knows it
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip
                    image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
                return image.convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"Expected an image file. Received: {path}, not found") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0].replace(repr(os.fspath(path)), "it")
        raise ValueError(f"Expected an image file. Received: {path} ({reason})") from None


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
    left = int(at[1].min())  # columns beside the box cost time alone
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
    """Return a copy of a photo with each look as a box and what it is above."""
    image = image.convert("RGB")
    canvas = ImageDraw.Draw(image)
    width = max(2, round(max(image.size) / 200))
    for look, (y0, x0, y1, x1) in enumerate(result.boxes):
        corners = (x0 * (image.width - 1), y0 * (image.height - 1))
        corners += (x1 * (image.width - 1), y1 * (image.height - 1))
        canvas.rectangle(corners, outline=_COLORS[look % len(_COLORS)], width=width)
    text = f"{result.labels[0]} {result.probabilities[0]:.0%}"
    if not result.known:
        text = f"none of these (score {result.score:.2f})"
    text += "" if result.looks else " at a glance"
    font = ImageFont.load_default(max(12, round(max(image.size) / 30)))
    left, top, right, bottom = canvas.textbbox((width, width), text, font)
    canvas.rectangle((left - width, top - width, right + width, bottom + width), fill="black")
    canvas.text((width, width), text, "white", font)
    return image


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"error: {message}\n")


def _parse(argv):
    parser = _Parser(prog="classify", description="Name what is on photos, on this device.")
    parser.add_argument("model", help="a .tflite file that `python -m export` wrote")
    parser.add_argument(
        "photos", nargs="+", metavar="photo", help="image files, folders of them, or patterns"
    )
    parser.add_argument("--draw", metavar="PNG", help="draw the looks at the photo into this file")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each photo")
    parser.add_argument("--csv", metavar="FILE", help="write a line for each photo to this file")
    parser.add_argument(
        "--confidence",
        type=float,
        help="probability from which on the glance is enough; 0: always, 2: never",
    )
    parser.add_argument(
        "--looks", type=int, help="look closer so often, instead of until framed or sure"
    )
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
    if arguments.confidence is not None and not arguments.confidence >= 0:
        parser.error("argument --confidence: expected 0 or more")
    if arguments.looks is not None and arguments.looks < 0:
        parser.error("argument --looks: expected 0 or more")
    return arguments


def _expand(name):
    """Return the photos that a name stands for: a file's own, a folder's or a pattern's."""
    if os.path.exists(name) and not os.path.isdir(name):
        return [name]
    if os.path.isdir(name):
        found = (os.path.join(folder, file) for folder, _, files in os.walk(name) for file in files)
        return sorted(path for path in found if path.lower().endswith(_PHOTOS))
    return sorted(glob.glob(name, recursive=True)) or [name]


def main(argv):
    """Classify the photos named on the command line; return the exit status."""
    arguments = _parse(argv)
    try:
        classifier = Classifier(arguments.model, arguments.threads, arguments.gpu)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    answers, status = [], 0
    for number, path in enumerate(arguments.photos, start=1):
        _progress(number, len(arguments.photos), arguments.csv)
        try:
            image = read_image(path, None if arguments.draw else classifier.image_size)
            result = classifier.classify(image, arguments.confidence, arguments.looks)
            if arguments.draw:
                draw(image, result).save(arguments.draw)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        if arguments.csv:
            answers.append((path, result))
        else:
            print(_line(path, result) if arguments.json else _text(path, result))
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
    top = list(zip(result.labels, result.probabilities, strict=True))[:_TOP]
    line = {
        "photo": path,
        "top": [{"label": label, "probability": p} for label, p in top],
        "boxes": result.boxes.tolist(),
        "step_weights": result.step_weights.tolist(),
        "looks": result.looks,
        "score": result.score,
        "known": result.known,
    }
    return json.dumps(line, ensure_ascii=False)


def _text(path, result):
    many = f"{result.looks} look{'s' * (result.looks > 1)}"
    lines = [f"{path} ({many if result.looks else 'at a glance'})"]
    top = list(zip(result.labels, result.probabilities, strict=True))[:_TOP]
    if result.known:
        lines += [f"  {p:6.1%}  {label}" for label, p in top]
    else:
        scores = f"score {result.score:.2f}, known from {result.known_from:.2f}"
        lines.append(f"  none of these ({scores})")
    return "\n".join(lines)


def _write_csv(path, answers):
    """Write answers as a table: the file appears whole."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "score", "known", "class", "probability", "looks"])
    for name, result in answers:
        best = (result.labels[0], f"{result.probabilities[0]:.6f}", result.looks)
        rows.writerow([name, f"{result.score:.6f}", int(result.known), *best])
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

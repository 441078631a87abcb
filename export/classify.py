"""Classify photos on a device: `python -m export.classify model.tflite photo.jpg`.

This file stands alone: copy it beside a model. It needs ai-edge-litert, NumPy and Pillow.
"""

import argparse
import dataclasses
import json
import os
import sys
import warnings
import zipfile
import zlib

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options
from PIL import Image, ImageDraw, ImageFont, ImageOps

_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")  # one a look (Okabe and Ito)
_LARGE = 50_000_000  # pixels; a JPEG above that is decoded smaller


@dataclasses.dataclass(frozen=True)
class Result:
    """The model's answer for a photo.

    Attributes:
        labels: class names, the most probable first.
        probabilities: theirs, in the same order.
        boxes: where it looked closer, `(looks, 4)` as `y0 x0 y1 x1` in [0, 1] of the photo; empty
            if the glance was enough.
        step_weights: `(T,)`, the weight of each recurrent step; empty likewise.
        glance: whether the glance was enough.
        score: the greatest logit, of the glance where that was enough.
        known_from: the least score of a photo that is of any of the classes; `None` for all.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    boxes: np.ndarray
    step_weights: np.ndarray
    glance: bool
    score: float
    known_from: float | None

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
        image_size: side of the model's input in pixels.
        confidence: the glance's probability from which on it is enough; `None` for a model that
            does not look closer.
        temperature: by who answers, `"full"` or `"glance"`, what logits were divided by in the
            probabilities; empty where the file does not say.
        known_from: by who answers, the least score of a photo of any of the classes; without the
            key, or `None`, for all photos.
        outputs: by signature, the outputs' names and shapes.
        fully_accelerated: whether every op runs on the accelerator.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such model, or is damaged.
    """

    def __init__(self, path, threads=1, gpu=False):
        self.labels, metadata = _read_metadata(path)
        self.image_size = metadata["image_size"]
        self.confidence = metadata["confidence"]
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
        self.outputs, self._inputs, self._buffers = {}, {}, {}
        for name in self._model.get_signature_list():
            inputs = self._model.get_input_tensor_details(name)
            outputs = self._model.get_output_tensor_details(name)
            self.outputs[name] = {key: tuple(value["shape"]) for key, value in outputs.items()}
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
            signature: `"full"`, `"glance"` or `"focus"`.
            **inputs: its float32 arrays; `images` is `(1, S, S, 3)`, RGB 0…255.

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

    def classify(self, photo, confidence=None):
        """Glance at a photo, and look closer if that leaves doubts.

        Args:
            photo: a file, or a `PIL.Image.Image`.
            confidence: the glance's probability from which on it is enough; above 1 always looks
                closer, 0 never. The model's own unless given.

        Returns:
            A `Result`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no image, or a damaged one.
        """
        image = photo if isinstance(photo, Image.Image) else read_image(photo, self.image_size)
        images = to_input(image, self.image_size)
        if self.confidence is None:
            return self._result(self.run("full", images=images), glance=False)
        glance = self.run("glance", images=images)
        if glance["probabilities"].max() >= (self.confidence if confidence is None else confidence):
            return self._result(glance, glance=True)
        seen = {name: glance[name] for name in ("boxes", "logits")}
        return self._result(self.run("focus", images=images, **seen), glance=False)

    def _result(self, outputs, glance):
        probabilities = outputs["probabilities"][0]
        order = np.argsort(-probabilities, kind="stable")
        closer = {} if glance else outputs
        return Result(
            labels=tuple(self.labels[i] for i in order),
            probabilities=tuple(float(probabilities[i]) for i in order),
            boxes=closer.get("boxes", np.zeros((1, 0, 4)))[0],
            step_weights=closer.get("step_weights", np.zeros((1, 0)))[0],
            glance=glance,
            score=float(outputs["logits"].max()),
            known_from=self.known_from.get("glance" if glance else "full"),
        )


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
        size: side in pixels that it will be resized to, to decode very large JPEGs smaller.

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
                if size and image.width * image.height > _LARGE:
                    image.draft("RGB", (4 * size, 4 * size))
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip
                    image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
                return image.convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"Expected an image file. Received: {path}, not found") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0].replace(repr(os.fspath(path)), "it")
        raise ValueError(f"Expected an image file. Received: {path} ({reason})") from None


def to_input(image, size):
    """Resize to a square, bilinear and antialiased; the aspect is not kept, as in training.

    Args:
        image: a `PIL.Image.Image` in mode RGB.
        size: side in pixels.

    Returns:
        `(1, size, size, 3)` float32, 0…255.
    """
    resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)[None]


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
    text += " at a glance" if result.glance else ""
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
    parser.add_argument("photos", nargs="+", metavar="photo", help="image files")
    parser.add_argument("--draw", metavar="PNG", help="draw the looks at the photo into this file")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each photo")
    parser.add_argument(
        "--confidence",
        type=float,
        help="probability from which on the glance is enough; 0: always, 2: never",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--gpu", action="store_true", help="run on the GPU")
    arguments = parser.parse_args(argv)
    if arguments.draw and len(arguments.photos) > 1:
        parser.error("argument --draw: expected one photo")
    if arguments.threads < 1:
        parser.error("argument --threads: expected a positive integer")
    if arguments.confidence is not None and not arguments.confidence >= 0:
        parser.error("argument --confidence: expected 0 or more")
    return arguments


def main(argv):
    """Classify the photos named on the command line; return the exit status."""
    arguments = _parse(argv)
    status = 0
    try:
        classifier = Classifier(arguments.model, arguments.threads, arguments.gpu)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in arguments.photos:
        try:
            image = read_image(path, classifier.image_size)
            result = classifier.classify(image, arguments.confidence)
            if arguments.draw:
                draw(image, result).save(arguments.draw)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        top = list(zip(result.labels, result.probabilities, strict=True))[:5]
        if arguments.json:
            line = {
                "photo": path,
                "top": [{"label": label, "probability": p} for label, p in top],
                "boxes": result.boxes.tolist(),
                "step_weights": result.step_weights.tolist(),
                "glance": result.glance,
                "score": result.score,
                "known": result.known,
            }
            print(json.dumps(line, ensure_ascii=False))
        else:
            print(f"{path}{' (at a glance)' if result.glance else ''}")
            if result.known:
                print("\n".join(f"  {p:6.1%}  {label}" for label, p in top))
            else:
                scores = f"score {result.score:.2f}, known from {result.known_from:.2f}"
                print(f"  none of these ({scores})")
    return status


def hush_native_log():
    """Send what native libraries write to standard error nowhere; Python's own lines stay."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    hush_native_log()
    sys.exit(main(sys.argv[1:]))

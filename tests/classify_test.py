"""The device runtime: one file that needs LiteRT, NumPy and Pillow."""

import csv
import io
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import tensorflow_only
from PIL import Image

from export import classify
from export.classify import Classifier, read_image, resize
from export.convert import tflite
from export.write import metadata

pytestmark = tensorflow_only("export")
LABELS = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def path(tflite_contents, distinct, tmp_path_factory):
    """A model file of a classifier with three fixations, each refined until it is framed."""
    file = tmp_path_factory.mktemp("model") / "model.tflite"
    file.write_bytes(tflite.attach(tflite_contents["fp32"], LABELS, metadata(distinct)))
    return file


@pytest.fixture(scope="module")
def classifier(path):
    return Classifier(path)


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (90, 120, 3)).astype("uint8")
    pixels[20:60, 50:90] = (255, 0, 0)
    file = tmp_path / "photo.png"
    Image.fromarray(pixels).save(file)
    return file


@pytest.mark.parametrize("size", [(301, 200), (150, 90), (40, 50), (300, 30)])
def test_resizes_as_training_does(size):
    from rra_keras.data import pipeline

    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (25, 40, 3)).astype("uint8"))
    image = coarse.resize(size, Image.Resampling.BICUBIC)
    expected = np.asarray(pipeline.resize(np.asarray(image), 64))
    difference = np.abs(resize(image, 64) - expected)
    assert difference.max() <= 1.0  # Pillow rounds to whole levels after each axis
    assert difference.mean() < 0.4


def test_classifies_like_keras(classifier, distinct, photo):
    result = classifier.classify(photo)
    images = resize(read_image(photo), 64)[None]
    names = ("logits", "score", "read_boxes", "fixation_weights", "refinements", "reads")
    seen = distinct.view(*names).predict(images, verbose=0)
    assert result.labels[0] == LABELS[int(np.argmax(seen["logits"]))]
    assert sum(result.probabilities) == pytest.approx(1.0)
    assert list(result.probabilities) == sorted(result.probabilities, reverse=True)
    read = seen["fixation_weights"][0] > 0
    assert len(result.boxes) == read.sum() == seen["reads"]
    np.testing.assert_allclose(result.boxes, seen["read_boxes"][0, read], atol=1e-4)
    np.testing.assert_allclose(result.weights, seen["fixation_weights"][0, read], atol=1e-3)
    np.testing.assert_array_equal(result.refinements, seen["refinements"][0, read])
    assert result.score == pytest.approx(seen["score"].item(), abs=1e-3)


def test_it_reads_as_many_places_as_it_is_told(classifier, photo):
    every = classifier.classify(photo)
    assert len(every.boxes) > 1
    first = classifier.classify(photo, fixations=1)
    np.testing.assert_array_equal(first.boxes, every.boxes[:1])
    np.testing.assert_array_equal(first.weights, [1.0])


def test_in_one_call_it_answers_the_same(path, photo):
    classifier = Classifier(path)
    assert not classifier.one_call  # a CPU saves by what it need not read
    pieces = classifier.classify(photo)
    classifier.one_call = True
    whole = classifier.classify(photo)
    assert whole.labels == pieces.labels
    np.testing.assert_allclose(whole.probabilities, pieces.probabilities, atol=1e-3)
    np.testing.assert_allclose(whole.boxes, pieces.boxes, atol=1e-5)
    np.testing.assert_allclose(whole.weights, pieces.weights, atol=1e-3)
    assert len(classifier.classify(photo, fixations=1).boxes) == 1


@pytest.mark.parametrize("slow", ["full", "read"])
def test_on_a_gpu_it_takes_the_faster_way(path, monkeypatch, slow):
    classifier, run = Classifier(path), Classifier.run
    clock = [0.0]

    def delayed(self, signature, **inputs):
        clock[0] += 5.0 if signature == slow else 1.0
        return run(self, signature, **inputs)

    monkeypatch.setattr(Classifier, "run", delayed)
    monkeypatch.setattr(classify.time, "perf_counter", lambda: clock[0])
    classifier.take_the_faster_way()
    assert classifier.one_call == (slow == "read")


def test_it_reads_on_until_it_is_sure(path, photo):
    counts = []
    for sure_from in (-1e6, 1e6, None):
        classifier = Classifier(path)
        classifier.sure_from = sure_from
        counts.append(len(classifier.classify(photo).boxes))
    assert counts[0] == 1 < counts[1] == counts[2]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (20, 20), (900, 90), (30, 1500)])
def test_tiny_photos_and_panoramas_get_boxes_and_numbers(classifier, size):
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype("uint8")
    result = classifier.classify(Image.fromarray(coarse).resize(size))
    assert sum(result.probabilities) == pytest.approx(1.0)
    low, high = result.boxes[:, :2], result.boxes[:, 2:]
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()


@pytest.mark.parametrize("color", [0, 128, 255])
def test_a_photo_without_any_object_gets_boxes_and_numbers(classifier, color):
    result = classifier.classify(Image.new("RGB", (200, 200), (color,) * 3))
    assert sum(result.probabilities) == pytest.approx(1.0)
    assert result.weights.sum() == pytest.approx(1.0)
    low, high = result.boxes[:, :2], result.boxes[:, 2:]
    assert len(result.boxes) >= 1
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()


@pytest.mark.parametrize("side", [64, 200])
@pytest.mark.parametrize(("shape", "box"), [((32, 48), (0, 0, 1, 1)), ((9, 7), (0.2, 0.5, 0.4, 1))])
def test_cuts_crops_as_the_model_does(side, shape, box):
    from rra_keras.layers.zoom_crop import STRIDE, zoom_crop

    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype("uint8")
    box = np.array(box, "float32")
    expected = zoom_crop(pixels[None].astype("float32"), box[None], shape, stride=STRIDE)
    np.testing.assert_allclose(classify.zoom_crop(pixels, box, shape), expected[0], atol=0.05)


@pytest.mark.parametrize(("side", "small"), [(64, 32), (64, 28), (96, 40), (64, 64)])
def test_shrinks_the_glance_as_the_model_does(side, small):
    import keras

    from rra_keras.layers.zoom_crop import shrink

    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype("uint8")
    expected = keras.ops.convert_to_numpy(shrink(pixels[None].astype("float32"), small))[0]
    np.testing.assert_allclose(classify.shrink(pixels, (small, small)), expected, atol=1e-3)


@pytest.fixture
def strict(tflite_contents, distinct, tmp_path):
    """A model file to which no photo is of its classes."""
    about = metadata(distinct) | {"known_from": 1e6}
    file = tmp_path / "strict.tflite"
    file.write_bytes(tflite.attach(tflite_contents["fp32"], LABELS, about))
    return file


def test_a_photo_is_known_by_its_score(classifier, strict, photo):
    result = classifier.classify(photo)
    assert result.known == (result.score >= classifier.known_from)
    assert not Classifier(strict).classify(photo).known
    classifier.known_from, before = None, classifier.known_from
    assert classifier.classify(photo).known
    classifier.known_from = before


def test_what_is_none_of_the_classes_is_given_no_name(strict, photo, capsys, tmp_path):
    assert classify.main([str(strict), str(photo), f"--draw={tmp_path / 'out.png'}"]) == 0
    score = Classifier(strict).classify(photo).score
    name, said = capsys.readouterr().out.splitlines()
    assert name.startswith(f"{photo} (")
    assert said == f"  none of these (score {score:.2f}, known from 1000000.00)"
    classify.main([str(strict), str(photo), "--json"])
    line = json.loads(capsys.readouterr().out)
    assert (line["known"], line["score"]) == (False, pytest.approx(score))


def save(folder, image, name, **options):
    image.save(folder / name, **options)
    return folder / name


def test_orientation_grayscale_alpha_16_bits_and_animation(tmp_path):
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (20, 30)).astype("uint8")
    image = Image.fromarray(gray)
    rgb = np.repeat(gray[..., None], 3, -1)

    np.testing.assert_array_equal(read_image(save(tmp_path, image, "gray.png")), rgb)

    deep = Image.fromarray(gray.astype("uint16") * 256 + 255)
    np.testing.assert_array_equal(read_image(save(tmp_path, deep, "deep.png")), rgb)

    clear = Image.fromarray(np.dstack([rgb, 255 - gray]))
    alpha = (255.0 - rgb) / 255
    white = 255 - alpha * (255.0 - rgb)
    np.testing.assert_allclose(read_image(save(tmp_path, clear, "clear.png")), white, atol=1)

    frames = [image, Image.fromarray(255 - gray)]
    moving = save(tmp_path, frames[0], "moving.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(moving), rgb)

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned = save(tmp_path, Image.fromarray(rgb), "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(turned), np.rot90(rgb, -1))


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
    image = Image.fromarray(coarse).resize((2000, 1500), Image.Resampling.BICUBIC)
    file = save(tmp_path, image, "large.jpg", quality=95)
    small = read_image(file, 150)
    assert small.size == (500, 375)
    difference = np.abs(resize(small, 150) - np.float32(resize(read_image(file), 150)))
    assert difference.mean() < 1.0
    assert difference.max() <= 6
    assert read_image(file, 500).size == (2000, 1500)


def test_what_pillow_holds_for_a_bomb_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    file = save(tmp_path, Image.new("RGB", (30, 30)), "bomb.png")
    with pytest.raises(ValueError, match=r"Expected an image file.*exceeds limit"):
        read_image(file)


def damaged(path, folder, kind):
    content = bytearray(path.read_bytes())
    if kind == "cut":
        content = content[: len(content) // 2]
    elif kind == "flipped":
        content[len(content) // 3] ^= 0xFF
    elif kind == "text":
        content = b"a shopping list"
    elif kind == "other":
        content = content[: content.index(b"PK\x03\x04")]
    file = folder / f"{kind}.tflite"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "cut short"),
        ("flipped", "damaged"),
        ("text", "another file"),
        ("other", "another file"),
    ],
)
def test_other_and_damaged_models_are_refused(path, tmp_path, kind, message):
    with pytest.raises(ValueError, match=message):
        Classifier(damaged(path, tmp_path, kind))


def test_labels_must_match_the_classes(path, distinct, tmp_path):
    content = path.read_bytes()
    content = content[: content.index(b"PK\x03\x04")]
    file = tmp_path / "two.tflite"
    file.write_bytes(tflite.attach(content, LABELS[:2], metadata(distinct)))
    with pytest.raises(ValueError, match="2 labels and 3 classes"):
        Classifier(file)


def run_alone(folder, *arguments):
    """Run the copied file as a script, TensorFlow and this package out of reach."""
    code = (
        "import runpy, sys\n"
        "for name in ('tensorflow', 'keras', 'rra_keras', 'export'): sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "classify.py", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def alone(tmp_path):
    folder = tmp_path / "device"
    folder.mkdir()
    shutil.copy(classify.__file__, folder / "classify.py")
    return folder


def test_the_file_stands_alone(alone, path, photo):
    status, printed, errors = run_alone(alone, path, photo, "--json", f"--draw={alone / 'out.png'}")
    assert (status, errors) == (0, "")
    said = json.loads(printed)
    assert [each["label"] for each in said["said"]] == list(Classifier(path).classify(photo).labels)
    assert np.shape(said["boxes"]) == (len(said["weights"]), 4)
    assert sum(said["weights"]) == pytest.approx(1.0)
    with Image.open(alone / "out.png") as drawn, Image.open(photo) as original:
        assert drawn.size == original.size
        assert (np.asarray(drawn) != np.asarray(original)).any()


def test_bad_photos_are_one_line_each_and_the_rest_is_done(alone, path, photo, tmp_path):
    text = tmp_path / "list.jpg"
    text.write_text("a shopping list")
    buffer = io.BytesIO()
    Image.open(photo).save(buffer, "JPEG")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    status, printed, errors = run_alone(alone, path, text, cut, tmp_path / "none.jpg", photo)
    assert status == 2
    lines = errors.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: Expected an image file. Received:") for line in lines)
    assert len(printed.splitlines()) in (2, 1 + len(LABELS))  # none of these, or all
    assert printed.splitlines()[0].startswith(f"{photo} (")


def test_a_folder_and_a_pattern_make_a_table(path, photo, tmp_path, capsys):
    folder = tmp_path / "album" / "inner"
    folder.mkdir(parents=True)
    for name in ("b.png", "a.png", "c [1].png"):
        shutil.copy(photo, folder / name)
    (folder / "notes.txt").write_text("no photo")
    (folder / "bad.jpg").write_text("a shopping list")
    table = tmp_path / "said.csv"
    status = classify.main([str(path), str(tmp_path / "album"), f"--csv={table}"])
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert [line.split("inner/")[1][:9] for line in printed.err.splitlines()] == [
        "bad.jpg (",
        "notes.txt",
    ]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [pathlib.Path(row["file"]).name for row in rows] == ["a.png", "b.png", "c [1].png"]
    result = Classifier(path).classify(photo)
    assert {row["predicted"] for row in rows} == {result.labels[0]}
    assert list(rows[0])[:5] == ["file", "predicted", "probability", "score", "known"]
    before = table.read_bytes()
    pattern = [str(folder / "[ab].png"), str(folder / "c [1].png")]
    assert classify.main([str(path), *pattern, f"--csv={table}"]) == 0
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads=0"],
        ["--fixations=0"],
        ["--nonsense"],
        ["--draw=x.png", "second"],
    ],
)
def test_bad_flags_are_one_line(path, photo, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        classify.main([str(path), str(photo), *arguments])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

"""The report of a run, from the command."""

import dataclasses
import html.parser
import json
import shlex

import keras
import numpy as np
import pytest
from conftest import command, last_line, tensorflow_only, vote_at_random
from PIL import Image

from rra_keras import report
from rra_keras.data import file_list
from rra_keras.data.annotated_boxes import Boxes
from rra_keras.explain.steps import Explainer, Explanation
from rra_keras.measures import doubts
from rra_keras.measures.calibration import calibration_errors, probabilities
from rra_keras.measures.predictions import accuracies
from rra_keras.reporting import page, sample, tables
from rra_keras.reporting import write as reporting
from rra_keras.reporting.closing import Reader, closing_table
from rra_keras.training.config import configure
from rra_keras.runs.collect import collect
from rra_keras.runs import Run

pytestmark = tensorflow_only("Grad-CAM by tf-keras-vis")
NAMES = ["$x$ & <b>bold", "_plain", "grün"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes with names that mean something elsewhere, twelve photos each."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    lines = ["file,y0,x0,y1,x1"]
    for label, name in enumerate(NAMES):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 90, (64, 64, 3), "uint8")
            pixels[16:48, 8:40, label] = 250
            file = f"{name}/<i>{i}.png"
            Image.fromarray(pixels).save(folder / "pictures" / file)
            lines.append(f"{file},0.25,0.125,0.75,0.625")
    (folder / "boxes.csv").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def make_run(photos, build, tmp_path_factory):
    """Write the directory of a run, as training does."""

    def make(looks):
        config = configure(
            model={"looks": looks, "image_size": 64}, dataset=f"folder:{photos / 'pictures'}"
        )
        run = Run.create(tmp_path_factory.mktemp("runs") / "run", dataclasses.asdict(config))
        run.write_text("labels.txt", "\n".join(NAMES) + "\n")
        keras.utils.set_random_seed(0)
        model = build(looks=looks, train_from="block_1", temperature=2.0 if looks else 1.0)
        if looks:
            model.known_from = 9.5  # which no photo reaches
        with run.replacing("model.keras") as path:
            model.save(path)
        if looks:
            run.write_text(
                "history.csv",
                "epoch,logits_accuracy,loss,val_logits_accuracy,val_loss\n0,0.3,2,0.4,1.5\n",
            )
            literal = "python train.py --dataset=folder:photos --looks=1"
            run.write_json("metrics.json", {"multiply_adds": 1_500_000, "command": literal})
        return run

    return make


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(1)


class Page(html.parser.HTMLParser):
    """What a page refers to, and the text it shows."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.shown, self.alts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "srcset", "href")]
        self.alts += [value for name, value in attrs if name == "alt"]

    def handle_data(self, data):
        self.shown.append(data)


@pytest.fixture(scope="module")
def written(run, photos):
    """A report's figures and its page."""
    status, printed, errors = command(
        report.main,
        f"--run={run}",
        f"--boxes={photos / 'boxes.csv'}",
        "--faithfulness_images=2",
        "--strips=2",
    )
    assert status == 0, errors
    assert str(run.path("report.html")) in printed.splitlines()[-1]
    assert "Looking: 100%" in errors
    text = run.path("report.json").read_text("utf-8")
    figures = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return figures, Page(run.path("report.html").read_text("utf-8"))


def test_the_figures_are_those_of_evaluation(written, run):
    figures, _ = written
    split, _, _ = sample.load(run)
    model = run.load_model()
    batches = reporting.pipeline.evaluation_batches(split, 64, 4, 3)
    streams, labels = collect(model, batches)
    assert figures["accuracy"] == accuracies(streams, labels)
    wrong = int(np.sum(streams["logits"].argmax(-1) != labels))
    assert figures["unknown"] == {"known_from": 9.5, "known": 0.0, "images": 6, "errors": wrong}
    assert figures["images"] == split.size == 6
    assert sum(row["images"] for row in figures["classes"]) == split.size
    assert [row["name"] for row in figures["classes"]] == NAMES
    assert sum(figures["calibration"]["count"]) == split.size
    errors = calibration_errors(streams["logits"], labels, 2.0)
    assert errors.items() <= figures["calibration"].items()
    assert figures["calibration"]["temperature"] == 2.0
    sure = probabilities(streams["logits"], 2.0).max(axis=-1)
    assert figures["calibration"]["mean_confidence"] == pytest.approx(sure.mean())
    assert figures["attention"]["answer"] == figures["accuracy"]["accuracy"]
    assert figures["attention"]["glance"] == figures["accuracy"]["glance_accuracy"]
    wrong = round(split.size * (1 - figures["accuracy"]["accuracy"]))
    assert len(figures["errors"]) == min(2, wrong)


def test_every_measure_stands_beside_what_knows_nothing(written):
    figures, _ = written
    assert figures["localization"]["images"] == 6
    names = [row["name"] for row in figures["localization"]["rows"]]
    assert names == [
        "plain CAM (the glance)",
        "steps, as weighed",
        "glance and steps",
        "activation, whole photo",
        "activation, look 1",
        "look 1",
        "same size, in the middle",
        "same size, anywhere",
    ]
    areas = [row["area"] for row in figures["localization"]["rows"]]
    assert areas[:5] == [None] * 5
    np.testing.assert_allclose(areas[5:], areas[5])
    own = [row["name"] for row in figures["localization"]["rows"] if row["own"]]
    assert own == ["steps, as weighed", "glance and steps", "activation, look 1", "look 1"]
    marks = [row["name"] for row in figures["faithfulness"]["maps"]]
    assert marks[:4] == ["glance", "step 1", "step 2", "steps, as weighed"]
    assert marks[4:] == ["glance and steps", "middle first", "random"]
    assert figures["faithfulness"]["maps"][-1]["deletion_gain"] == 0
    spans = figures["coarse_to_fine"]["area"]
    assert [span["kind"] for span in spans] == ["course", "look"]
    assert all(span["verdict"] in ("narrows", "widens", "stays") for span in spans)


def test_the_page_asks_for_nothing_and_escapes_names(written):
    _, read = written
    assert read.links
    assert all(link.startswith(("data:", "#")) for link in read.links)
    assert "script" not in read.tags
    assert read.tags.count("b") == 4  # the verdicts, and no name's
    shown = " ".join(read.shown)
    for name in NAMES:
        assert name in shown
    assert "<i>" in shown
    assert "2 M" in shown  # multiply-adds
    assert "divided by a temperature of 2.00" in shown
    assert "below 9.50 is none of these classes" in shown
    assert sum(alt.endswith(": none of these, wrong") for alt in read.alts) >= 2


def test_the_command_is_the_one_that_was_given(written):
    figures, read = written
    assert figures["command"] == "python train.py --dataset=folder:photos --looks=1"
    assert figures["command"] in read.shown


def test_doubted_labels_are_listed(written, run):
    figures, read = written
    split, _, _ = sample.load(run)
    model = run.load_model()
    streams, labels = collect(model, reporting.pipeline.evaluation_batches(split, 64, 4, 3))
    shares = probabilities(streams["logits"], model.temperature)
    places = doubts.doubted_labels(labels, shares)
    table = doubts.doubts_csv(places, labels, shares, NAMES, split.names)
    assert run.path("label_issues.csv").read_text("utf-8") == table
    assert figures["label_issues"]["count"] == len(places)
    assert "Doubted labels" in read.shown


def test_a_plain_backbone_has_a_report_too(make_run, photos, monkeypatch):
    run = make_run(0)
    monkeypatch.setattr(reporting, "doubted_labels", lambda *_: np.array([4, 1]))
    status, _, errors = command(
        report.main, f"--run={run}", "--images=5", "--faithfulness_images=0", "--strips=1"
    )
    assert status == 0, errors
    figures = json.loads(run.path("report.json").read_text("utf-8"))
    assert figures["images"] == 5
    # A run that kept no command has it from its configuration.
    assert figures["command"] == reporting.training_command(run.config)
    for name in ("attention", "coarse_to_fine", "faithfulness", "localization", "unknown"):
        assert figures[name] is None
    assert figures["accuracy"]["glance_accuracy"] is None
    # Two labels stand for doubted ones: as rows, figures and thumbnails.
    split, _, _ = sample.load(run, images=5)
    files = file_list.read(run.path("label_issues.csv"))
    assert list(files) == [split.names[4], split.names[1]]
    issues = figures["label_issues"]
    assert (issues["count"], [row["image"] for row in issues["first"]]) == (2, list(files))
    assert all(row["label_probability"] <= row["probability"] for row in issues["first"])
    read = Page(run.path("report.html").read_text("utf-8"))
    for row in issues["first"]:
        (caption,) = (text for text in read.shown if text.startswith(f"{row['image']}: labeled "))
        assert f"labeled {row['label']} (" in caption
        assert f"answered {row['answer']} (" in caption


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--boxes=nowhere.csv"], "nowhere.csv"),
        (["--dataset=folder:nowhere"], "nowhere"),
        (["--images=0"], "images"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_one_line_and_keeps_the_report(run, written, flags, named):
    before = run.path("report.json").read_bytes()
    status, _, errors = command(report.main, f"--run={run}", *flags)
    assert status == 2
    assert last_line(errors).startswith("error: ")
    assert named in last_line(errors)
    assert run.path("report.json").read_bytes() == before


def test_without_a_run(tmp_path):
    status, _, errors = command(report.main, f"--run={tmp_path}")
    assert status == 2
    assert "model.keras" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, ["python", "train.py"]),
        (
            {"model": {"looks": 0}, "seed": 3, "dataset": "folder:my photos"},
            ["python", "train.py", "--dataset=folder:my photos", "--looks=0", "--seed=3"],
        ),
        (
            {"preset": "paper_vgg19", "strict": True, "epochs": 2, "weights": "random"},
            "python train.py --preset=paper_vgg19 --strict --weights=random --epochs=2".split(),
        ),
        (
            {"model": {"backbone": "mobilenet_v2", "patch_size": (96, 192)}},
            "python train.py --backbone=mobilenet_v2 --patch_size=96x192".split(),
        ),
    ],
)
def test_the_command_says_what_is_not_usual(flags, expected):
    config = json.loads(json.dumps(dataclasses.asdict(configure(**flags))))
    words = shlex.split(reporting.training_command(config))
    assert words[:2] == expected[:2]
    assert sorted(words) == sorted(expected)


def test_picked_images_are_the_split_s_own_in_order(photos, run):
    split, boxes, _ = sample.load(run, boxes=photos / "boxes.csv", images=3)
    assert split.size == len(split.names) == len(boxes.objects) == 3
    whole, _, _ = sample.load(run)
    indices = sample.spread(whole.size, 3)
    assert [whole.names[i] for i in indices] == list(split.names)
    images = sample.read(whole, 64, indices)
    again = sample.read(split, 64, range(3))
    for i, index in enumerate(indices):
        np.testing.assert_array_equal(again[i], images[index])


def test_a_look_holds_a_share_of_the_parts_that_tell():
    look = np.array([[[0.0, 0.0, 0.5, 0.5]]] * 2)  # of two photos: the upper left quarter
    seen = Explanation(
        classes=np.zeros(2, int),
        logits=np.zeros((2, 2)),
        scores=np.zeros(2),
        glance_logits=np.zeros((2, 2)),
        step_logits=np.zeros((2, 1, 2)),
        step_weights=np.ones((2, 1)),
        boxes=look,
        object_boxes=look[:, :0],
        views=look[:, :0],
        refined=np.zeros(2, int),
        glance_map=np.ones((2, 2, 2)),
        step_maps=np.ones((2, 1, 2, 2)),
        look_weight=1.0,
        temperature=1.0,
        known_from=None,
    )
    inside, outside = [0.1, 0.1, 0.2, 0.2], [0.7, 0.7, 0.8, 0.8]
    parts = np.array([[inside, outside], [inside, inside]])
    table = tables.localization_table(seen, Boxes(np.array([[0, 0, 1, 1.0]] * 2), parts), 64)
    (row,) = (row for row in table if row["kind"] == "look_box")
    assert row["part_hit"] == 0.75


def test_thumbnails_are_small_pictures():
    data = page.webp(np.full((448, 448, 3), 300.0), 64)
    assert page._uri(data).startswith("data:image/webp;base64,UklGR")


def test_intervals_have_a_minus_and_no_negative_zero():
    assert page._span((-0.0123, 0.5)) == "−0.012 to +0.500"
    assert page._span((-1e-9, 1e-9), 4) == "+0.0000 to +0.0000"
    assert page._span((None, None)) == "–"


def test_each_look_is_worth_what_is_read_at_its_box(build, batch):
    model = build(
        **{"localizer": "box", "train_from": "block_1", "glance_size": 32, "refinements": 2}
    )
    vote_at_random(model.localizer)
    images, labels = batch[0][:4], batch[1][:4]
    seen = Explainer(model)(images)
    own, others = Reader(model).each_look(images, seen)
    assert own.shape == others.shape == (4, 3, 3)
    np.testing.assert_allclose(own[:, -1], seen.logits, atol=1e-4)
    assert np.abs(others[:, -1] - seen.logits).max() > 1e-5
    last = seen.object_boxes[:, -1].copy()
    last[0] = np.nan  # not known
    last[1] = [0.0, 0.0, 0.01, 0.01]  # elsewhere
    table = closing_table(seen, labels, own, others, last)
    assert [row["name"] for row in table] == ["glance", "look 1", "look 2"]
    assert [row["needed"] for row in table] == [1.0, 0.75, 0.25]  # they need 1, 2, 0 and 1
    assert table[-1]["found"] == pytest.approx(2 / 3)
    assert table[-1]["accuracy"] == np.mean(seen.logits.argmax(-1) == labels)
    assert table[0]["area"] > table[-1]["area"]
    assert closing_table(seen, labels, own, others)[0]["found"] is None

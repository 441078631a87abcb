"""The report of a run, from the command."""

import dataclasses
import html.parser
import io
import json
import shlex

import keras
import numpy as np
import pytest
from conftest import command, last_line, tensorflow_only, vote_at_random
from PIL import Image

from rra_keras import data, report
from rra_keras.data import file_list
from rra_keras.data.boxes import Boxes
from rra_keras.explain import Explainer
from rra_keras.measures import doubts
from rra_keras.measures.calibration import calibration_errors, probabilities
from rra_keras.measures.predictions import accuracies
from rra_keras.reporting import page, sample, tables
from rra_keras.reporting import write as reporting
from rra_keras.runs import Run, collect, files
from rra_keras.training.config import configure

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

    def make(localizer):
        config = configure(
            model={"localizer": localizer, "image_size": 64},
            dataset=f"folder:{photos / 'pictures'}",
        )
        run = Run.create(tmp_path_factory.mktemp("runs") / "run", dataclasses.asdict(config))
        run.write_text("labels.txt", "\n".join(NAMES) + "\n")
        run.write_splits(data.load(config.dataset))
        keras.utils.set_random_seed(0)
        model = build(localizer=localizer, train_from="block_1")
        if localizer:
            vote_at_random(model.attention.localizer)
            model.calibration.temperature = 2.0
            model.calibration.known_from = 9.5  # which no photo reaches
        with run.replacing("model.keras") as path:
            model.save(path)
        if localizer:
            run.write_text(
                "history.csv", "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.3,2,0.4,1.5\n"
            )
            literal = "python train.py --dataset=folder:photos --max_fixations=2"
            run.write_json("metrics.json", {"multiply_adds": 1_500_000, "command": literal})
        return run

    return make


@pytest.fixture(scope="module")
def run(make_run):
    return make_run("box")


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
    split, _ = sample.load(run.load_data())
    seen, labels = collect(run.load_model(), split)
    logits = seen["logits"]
    assert figures["accuracy"] == accuracies(logits, labels)
    wrong = int(np.sum(logits.argmax(-1) != labels))
    assert figures["unknown"] == {
        "known_from": 9.5,
        "known": 0.0,
        "images": split.size,
        "errors": wrong,
    }
    assert figures["images"] == split.size
    assert sum(row["images"] for row in figures["classes"]) == split.size
    assert [row["name"] for row in figures["classes"]] == NAMES
    assert sum(figures["calibration"]["count"]) == split.size
    errors = calibration_errors(logits, labels, 2.0)
    assert errors.items() <= figures["calibration"].items()
    assert figures["calibration"]["temperature"] == 2.0
    sure = probabilities(logits, 2.0).max(axis=-1)
    assert figures["calibration"]["mean_confidence"] == pytest.approx(sure.mean())
    assert figures["by_fixation"]["rows"][-1]["accuracy"] == figures["accuracy"]["accuracy"]
    assert len(figures["errors"]) == min(2, wrong)


def test_every_measure_stands_beside_what_knows_nothing(written):
    figures, _ = written
    assert figures["localization"]["images"] == figures["images"]
    rows = figures["localization"]["rows"]
    assert [row["name"] for row in rows] == [
        *("evidence", "first fixation", "chosen fixation"),
        *("same size, in the middle", "same size, anywhere"),
    ]
    np.testing.assert_allclose([row["area"] for row in rows[3:]], rows[2]["area"], rtol=1e-6)
    assert [row["own"] for row in rows] == [True] * 3 + [False] * 2
    marks = [row["name"] for row in figures["faithfulness"]["maps"]]
    assert marks == ["evidence", "chosen part", "middle first", "random"]
    assert figures["faithfulness"]["maps"][-1]["deletion_gain"] == 0
    assert [row["name"] for row in figures["refinements"]] == ["glance", "refinement 1"]
    by_fixation = figures["by_fixation"]
    assert [row["name"] for row in by_fixation["rows"]] == ["fixation 1", "fixation 2"]
    assert by_fixation["rows"][0]["read"] == 1.0
    assert 1 <= by_fixation["reads"] <= 2
    costs = [point["reads"] for point in by_fixation["curve"]]
    assert costs == sorted(costs)
    assert by_fixation["curve"][-1]["accuracy"] == figures["accuracy"]["accuracy"]


def test_the_page_asks_for_nothing_and_escapes_names(written):
    _, read = written
    assert read.links
    assert all(link.startswith(("data:", "#")) for link in read.links)
    assert "script" not in read.tags
    assert "b" not in read.tags  # of no name
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
    assert figures["command"] == "python train.py --dataset=folder:photos --max_fixations=2"
    assert figures["command"] in read.shown


def test_doubted_labels_are_listed(written, run):
    figures, read = written
    split, _ = sample.load(run.load_data())
    model = run.load_model()
    seen, labels = collect(model, split)
    shares = probabilities(seen["logits"], model.calibration.temperature)
    places = doubts.doubted_labels(labels, shares)
    table = files.table(*doubts.doubt_rows(places, labels, shares, NAMES, split.names))
    assert run.path("label_issues.csv").read_text("utf-8") == table
    assert figures["label_issues"]["count"] == len(places)
    assert "Doubted labels" in read.shown


def test_a_plain_backbone_has_a_report_too(make_run, photos, monkeypatch):
    run = make_run(None)
    monkeypatch.setattr(reporting, "doubted_labels", lambda *_: np.array([4, 1]))
    status, _, errors = command(
        report.main, f"--run={run}", "--images=5", "--faithfulness_images=0", "--strips=1"
    )
    assert status == 0, errors
    figures = json.loads(run.path("report.json").read_text("utf-8"))
    assert figures["images"] == 5
    # A run that kept no command has it from its configuration.
    assert figures["command"] == reporting.training_command(run.config)
    for name in (
        "by_fixation",
        "refinements",
        "by_step",
        "faithfulness",
        "localization",
        "unknown",
    ):
        assert figures[name] is None
    # Two labels stand for doubted ones: as rows, figures and thumbnails.
    split, _ = sample.load(run.load_data(), images=5)
    listed = file_list.read(run.path("label_issues.csv"))
    assert list(listed) == [split.names[4], split.names[1]]
    issues = figures["label_issues"]
    assert (issues["count"], [row["image"] for row in issues["first"]]) == (2, list(listed))
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
        ({}, ["rra", "train"]),
        (
            {"model": {"localizer": None}, "seed": 3, "dataset": "folder:my photos"},
            ["rra", "train", "--dataset=folder:my photos", "--localizer=none", "--seed=3"],
        ),
        (
            {"preset": "paper_vgg19", "strict": True, "epochs": 2, "weights": "random"},
            "rra train --preset=paper_vgg19 --strict --weights=random --epochs=2".split(),
        ),
        (
            {"model": {"backbone": "mobilenet_v2", "crop_size": (96, 192)}},
            "rra train --backbone=mobilenet_v2 --crop_size=96x192".split(),
        ),
        ({"model": {"image_size": 896}}, "rra train --image_size=896".split()),
        (
            {"model": {"image_size": 896, "glance_size": 128}},
            "rra train --image_size=896 --glance_size=128".split(),
        ),
    ],
)
def test_the_command_says_what_is_not_usual(flags, expected):
    config = json.loads(json.dumps(dataclasses.asdict(configure(**flags))))
    words = shlex.split(reporting.training_command(config))
    assert words[:2] == expected[:2]
    assert sorted(words) == sorted(expected)


def test_picked_images_are_the_split_s_own_in_order(photos, run):
    split, boxes = sample.load(run.load_data(), boxes=photos / "boxes.csv", images=3)
    assert split.size == len(split.names) == len(boxes.objects) == 3
    whole, _ = sample.load(run.load_data())
    indices = sample.spread(whole.size, 3)
    assert [whole.names[i] for i in indices] == list(split.names)
    images = sample.read(whole, 64, indices)
    again = sample.read(split, 64, range(3))
    for i, index in enumerate(indices):
        np.testing.assert_array_equal(again[i][0], images[index][0])
        assert again[i][1] == images[index][1] == 1.0


def test_a_fixation_holds_a_share_of_the_parts_that_decide(distinct, batch):
    box = np.array([[[0.0, 0.0, 0.5, 0.5]]] * 2)  # of two photos: the upper left quarter
    seen = Explainer(distinct)(batch[0][:2])
    about = {"objects": box, "boxes": box, "weights": np.ones((2, 1)), "maps": seen.maps[:, :1]}
    seen = dataclasses.replace(seen, **about)
    inside, outside = [0.1, 0.1, 0.2, 0.2], [0.7, 0.7, 0.8, 0.8]
    parts = np.array([[inside, outside], [inside, inside]])
    table = tables.localization_table(seen, Boxes(np.array([[[0, 0, 1, 1.0]]] * 2), parts=parts))
    (row,) = (row for row in table if row["name"] == "chosen fixation")
    assert row["part_hit"] == 0.75


def test_thumbnails_are_small_pictures():
    data = page.webp(np.full((448, 448, 3), 300.0), 2.0, 64)
    assert page._uri(data).startswith("data:image/webp;base64,UklGR")
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (64, 32)  # in the photo's own proportions


def test_intervals_have_a_minus_and_no_negative_zero():
    assert page._span((-0.0123, 0.5)) == "−0.012 to +0.500"
    assert page._span((-1e-9, 1e-9), 4) == "+0.0000 to +0.0000"
    assert page._span((None, None)) == "–"


def test_each_refinement_is_worth_what_is_read_at_its_box(distinct, batch):
    images, labels = batch[0][:4], batch[1][:4]
    seen = Explainer(distinct)(images)
    own, others = tables.Reader(distinct).each_refinement(images, seen)
    assert own.shape == others.shape == (4, 3, 3)
    np.testing.assert_allclose(own[:, -1], seen.part_logits[:, 0], atol=1e-3)
    assert np.abs(others[:, -1] - own[:, -1]).max() > 1e-5
    last = seen.found[:, 0, -1].copy()
    last[0] = np.nan  # not known
    last[1] = [0.0, 0.0, 0.01, 0.01]  # elsewhere
    table = tables.refinement_table(seen, labels, own, others, last[:, None])
    assert [row["name"] for row in table] == ["glance", "refinement 1", "refinement 2"]
    needed = [np.mean(seen.refinements[:, 0] >= k) for k in range(3)]
    assert [row["needed"] for row in table] == needed
    assert table[-1]["found"] == pytest.approx(2 / 3)
    assert table[-1]["accuracy"] == np.mean(own[:, -1].argmax(-1) == labels)
    assert tables.refinement_table(seen, labels, own, others)[0]["found"] is None


def test_one_dominating_fixation_has_no_entropy_and_even_ones_all(distinct, batch):
    seen, labels = Explainer(distinct)(batch[0]), batch[1]
    even = dataclasses.replace(seen, weights=np.full((9, 3), 1 / 3))
    assert tables.fixation_table(even, labels, 1.0)["entropy"] == pytest.approx(1)
    sure = np.tile([1 - 2e-9, 1e-9, 1e-9], (9, 1))
    table = tables.fixation_table(dataclasses.replace(seen, weights=sure), labels, 1.0)
    assert table["entropy"] == pytest.approx(0, abs=1e-6)
    assert table["reads"] == 3.0

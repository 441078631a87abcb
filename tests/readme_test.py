"""The README and `docs/`, as they stand: their Python, their links, the table of rooms."""

import pathlib
import re

import numpy as np
import pytest
from conftest import tensorflow_only
from rooms_test import ROOMS

from export import classify

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md"))]
PAGES += [ROOT / name / "README.md" for name in ("benchmarks", "export")]


def blocks(page, language):
    """Return the fenced blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def links(page):
    """Return the targets of a page's links and pictures, without those in code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"(?:\]\(|<img src=\")([^)\"\s]+)", prose)


def anchors(page):
    """Return the addresses that GitHub gives to a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@tensorflow_only("Grad-CAM by tf-keras-vis")
def test_the_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {
        "images": rng.integers(0, 256, (2, 448, 448, 3)).astype("uint8"),
        "labels": np.array([0, 19]),
        "more_images": rng.integers(0, 256, (1, 448, 448, 3)).astype("uint8"),
        "more_labels": np.array([7]),
        "photos": rng.integers(0, 256, (1, 448, 448, 3)).astype("uint8"),
    }
    # The docs go on from the README: its model is saved where theirs is loaded.
    code = {page.name: "".join(blocks(page, "python")) for page in (README, *DOCS)}
    written = {"README.md", "device.md", "design.md", "explain.md", "training.md"}
    assert {name for name, text in code.items() if text} == written
    exec("".join(code.values()), names)

    assert names["logits"].shape == (1, 20)
    assert names["seen"]["boxes"].shape == names["explanation"].boxes.shape == (1, 4, 4)
    assert names["maps"].shape == (1, 4, 448, 448)
    assert names["shares"].sum() == pytest.approx(1.0, abs=1e-5)
    assert names["known"].shape == (1,)
    photo, box = rng.integers(0, 256, (20, 20, 3)), [0.1, 0.2, 0.7, 1.0]
    cropped = names["crop"](photo.tolist(), box, 3, 4)
    np.testing.assert_allclose(cropped, classify.zoom_crop(photo, box, (3, 4)), atol=1e-3)
    shrunk = names["shrink"](photo.tolist(), 8)
    np.testing.assert_allclose(shrunk, classify.shrink(photo, (8, 8)), atol=1e-3)
    own = names["own"]
    own.fit(rng.uniform(0, 255, (2, 128, 128, 3)), names["labels"], verbose=0)
    assert own.predict(np.zeros((1, 128, 128, 3)), verbose=0).shape == (1, 20)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in links(page):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page):
    assert f"docs/{page.name}" in {target.partition("#")[0] for target in links(README)}


def test_the_readme_is_one_page():
    lines = README.read_text("utf-8").splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 110


def test_the_readme_has_the_command_that_ci_runs():
    command = "pip install -e '.[test]' && pytest"
    assert any(line.startswith(command) for line in "".join(blocks(README, "bash")).splitlines())


def test_the_table_has_every_room():
    rows = re.findall(r"^\| (`.*?`) \|", house(), re.MULTILINE)
    assert {room for row in rows for room in re.findall(r"`(\w+)`", row)} == ROOMS.keys()


def test_the_drawing_shows_imports_going_down():
    drawing = re.findall(r"^    \S.*$", house(), re.MULTILINE)
    level = {word: i for i, line in enumerate(drawing) for word in re.findall(r"\w+", line)}
    assert level.keys() >= ROOMS.keys()
    for room, allowed in ROOMS.items():
        assert all(level[room] < level[below] for below in allowed), room


def house():
    """Return the section on the rooms."""
    text = (ROOT / "docs" / "design.md").read_text("utf-8")
    return text.partition("\n## The house\n")[2].partition("\n## ")[0]
